#include "mothreads/internal/signal_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "mothreads/internal/aliens.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/sudden_end.h"
#include "mothreads/internal/drain.h"
#include "mothreads/internal/library_thread.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/stop_report.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"

namespace mothreads::inline v0::internal {
namespace {

// What the pipe carries: a signal's number, or one of these.
constexpr unsigned char kEnd = 0;
constexpr unsigned char kWatchStdin = 255;

constexpr std::array kSignals{SIGINT, SIGTERM};

constinit std::atomic<int> pipe_in{-1};
constinit std::atomic<int> first_signal{0};
constinit std::atomic<int> signals_taken{0};
constinit std::array<int, 2> pipe_ends{-1, -1};  // made once: a handler that was interrupted may still write there much later

constinit volatile pid_t owner = 0;  // whose signals these are

// What the signals did before the library took them. Not of an object: a fork() may come while the SignalThread is made or destroyed.
constinit std::array<struct sigaction, kSignals.size()> before{};
constinit std::array<bool, kSignals.size()> is_taken{};

void restore_handlers() noexcept {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (std::exchange(is_taken[i], false)) sigaction(kSignals[i], &before[i], nullptr);
  }
}

void tell(unsigned char what) {
  // A full pipe (64 KiB of signals) loses nothing that matters.
  [[maybe_unused]] const ssize_t written = write(pipe_in.load(std::memory_order_acquire), &what, 1);
}

void handle(int number) {
  if (getpid() != owner) return;  // a child of vfork(), which shares the memory, or of clone(), which shares the pipe
  const int saved = errno;
  // Counted here, because the thread may be busy with the first.
  if (signals_taken.fetch_add(1, std::memory_order_relaxed) >= 2) end_suddenly(128 + number);
  tell(static_cast<unsigned char>(number));
  errno = saved;
}

class SignalThread {
 public:
  SignalThread() {
    if (pipe_ends[0] < 0) pipe_ends = make_pipe();
    pipe_out_ = pipe_ends[0];
    pipe_in.store(pipe_ends[1], std::memory_order_release);
    first_signal.store(0, std::memory_order_relaxed);
    signals_taken.store(0, std::memory_order_relaxed);
    owner = getpid();
    take_handlers();
    // After the handlers: the thread unblocks the signals, and one may be pending.
    try {
      thread_ = start_without_signals("signals", [this] { run(); });
    } catch (...) {
      restore_handlers();
      throw;
    }
  }

  ~SignalThread() {
    restore_handlers();
    tell(kEnd);
    thread_.join();
  }

 private:
  static void take_handlers() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      sigaction(kSignals[i], nullptr, &before[i]);
      if (is_to_stay_ignored(kSignals[i], before[i])) continue;
      is_taken[i] = true;
      struct sigaction action {};
      action.sa_handler = handle;
      action.sa_flags = SA_RESTART;
      sigemptyset(&action.sa_mask);
      sigaction(kSignals[i], &action, nullptr);
    }
  }

  // nohup, and a shell that runs a program in the background, ignore SIGINT so that a Ctrl-C for others leaves the program alone. SIGTERM is
  // for this program, whoever has ignored it.
  static bool is_to_stay_ignored(int number, const struct sigaction& action) {
    return number == SIGINT && (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
  }

  // All other threads may have inherited a mask that blocks them.
  static void unblock_signals() {
    sigset_t taken;
    sigemptyset(&taken);
    for (const int number : kSignals) sigaddset(&taken, number);
    pthread_sigmask(SIG_UNBLOCK, &taken, nullptr);
  }

  static std::array<int, 2> make_pipe() {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      throw std::system_error(errno, std::generic_category(), "cannot make the pipe for SIGINT and SIGTERM");
    }
    return ends;
  }

  void run() noexcept {
    const LibraryThread thread("signals");
    unblock_signals();
    const Born here;
    while (serve()) {
      if (here.is_left_behind()) end_forked_process();  // a then() function has called fork(), and has returned in the child
    }
  }

  // False when told to end.
  bool serve() {
    std::array<pollfd, 2> wanted{pollfd{pipe_out_, POLLIN, 0}, pollfd{watches_stdin_ ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(wanted.data(), wanted.size(), -1) < 0) return true;  // EINTR
    unsigned char what = 0;
    while (read(pipe_out_, &what, 1) == 1) {
      if (what == kEnd) return false;
      if (what == kWatchStdin) {
        watches_stdin_ = true;
      } else {
        take_signal(what);
      }
    }
    if (watches_stdin_ && wanted[1].revents != 0) read_stdin();
    return true;
  }

  void take_signal(int number) {
    switch (++signals_) {
      case 1:
        first_signal.store(number, std::memory_order_release);
        log::info("Stop requested by {}!  Stopping...", name_of(number));
        Drain::instance().begin();
        break;
      default:  // the second: the handler does not tell of a third
        log::critical("{} a second time; who has not stopped:{}{}", name_of(number), describe_unstopped(main_node(), true),
                      Drain::instance().describe());
    }
  }

  static std::string_view name_of(int number) { return number == SIGINT ? "SIGINT" : "SIGTERM"; }

  void read_stdin() {
    std::array<char, 1024> bytes;
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (count <= 0) {
      watches_stdin_ = false;
      return;
    }
    line_.append(bytes.data(), static_cast<std::size_t>(count));
    for (std::size_t end = line_.find('\n'); end != std::string::npos; end = line_.find('\n')) {
      if (is_exit(std::string_view(line_).substr(0, end))) {
        log::info("\"exit\" on standard input.  Stopping...");
        Drain::instance().begin();
      }
      line_.erase(0, end + 1);
    }
    constexpr std::size_t kLongest = 4096;
    if (line_.size() > kLongest) line_.clear();  // no line "exit" is that long
  }

  static bool is_exit(std::string_view line) {
    constexpr std::string_view kSpace = " \t\r";
    const std::size_t begin = line.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return false;
    return line.substr(begin, line.find_last_not_of(kSpace) - begin + 1) == "exit";
  }

  int pipe_out_ = -1;
  int signals_ = 0;
  bool watches_stdin_ = false;
  std::string line_;
  std::thread thread_;
};

constinit std::mutex life;
constinit SignalThread* instance = nullptr;

// A signal to the child is none to the parent: it does there what it did before the library took it.
void go_on_in_child() noexcept {
  new (&life) std::mutex;
  instance = nullptr;
  restore_handlers();
  pipe_in.store(-1, std::memory_order_relaxed);
  for (int& end : pipe_ends) {
    if (end >= 0) close(std::exchange(end, -1));
  }
  first_signal.store(0, std::memory_order_relaxed);
  signals_taken.store(0, std::memory_order_relaxed);
}

constinit ForkPart part{.in_child = go_on_in_child};
[[maybe_unused]] const bool takes_part = (take_part_in_forks(part), true);

}  // namespace

void begin_signal_thread() {
  std::lock_guard lock(life);
  if (instance == nullptr) instance = new SignalThread;
}

void end_signal_thread() {
  std::lock_guard lock(life);
  delete std::exchange(instance, nullptr);
}

int stop_signal() { return first_signal.load(std::memory_order_acquire); }

void watch_stdin_for_exit() { tell(kWatchStdin); }

}  // namespace mothreads::internal
