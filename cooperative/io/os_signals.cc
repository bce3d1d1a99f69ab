#include "cooperative/io/os_signals.h"

#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>

#include <fmt/core.h>

#include "cooperative/io/io_error.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Ended;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::TinyLock;
using mothreads::internal::TinyMutex;
using Side = Descriptor::Side;

namespace {

struct Registration {
  std::atomic<int> eventfd{-1};
  std::atomic<int> handlers{0};  // that are at it
  struct sigaction before {};    // guarded by the mutex
};

constinit TinyMutex registering;
std::array<Registration, NSIG> registrations;

void handle(int number) {
  const int saved = errno;
  Registration& registration = registrations[static_cast<std::size_t>(number)];
  // seq_cst, both: pairs with end(), which takes the descriptor away and then looks for handlers. One of the two sees the other.
  registration.handlers.fetch_add(1, std::memory_order_seq_cst);
  const int eventfd = registration.eventfd.load(std::memory_order_seq_cst);
  if (eventfd >= 0) {
    constexpr std::uint64_t kOne = 1;
    [[maybe_unused]] const ssize_t written = ::write(eventfd, &kOne, sizeof kOne);  // fails after 2^64 that nobody took
  }
  registration.handlers.fetch_sub(1, std::memory_order_release);  // pairs with the loads of end()
  errno = saved;
}

std::string described(int number) {
  const char* const name = sigabbrev_np(number);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

void check_can_be_taken(int number) {
  switch (number) {
    case SIGKILL:
    case SIGSTOP: throw Misuse(described(number) + " cannot be handled by a program: wait for another signal");
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT: throw Misuse(described(number) + " tells of a fault of the program, which goes on in no fiber: wait for another signal");
    default: break;
  }
  if (number < 1 || number >= NSIG) throw Misuse(fmt::format("{} is the number of no signal", number));
}

void begin(int number, int eventfd) {
  TinyLock lock(registering);
  Registration& registration = registrations[static_cast<std::size_t>(number)];
  struct sigaction now {};
  if (sigaction(number, nullptr, &now) != 0) throw IoError(errno, described(number), "wait for it");
  if ((now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)) {
    throw Misuse(described(number) +
                 " is handled by something else in this process already: let one OsSignal be shared, and leave SIGINT and SIGTERM to "
                 "MainThread's please_stop, or run it with {.take_signals = false}");
  }
  registration.before = now;
  registration.eventfd.store(eventfd, std::memory_order_seq_cst);
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

// When it returns no handler uses the descriptor any more.
void end(int number) noexcept {
  TinyLock lock(registering);
  Registration& registration = registrations[static_cast<std::size_t>(number)];
  struct sigaction now {};
  sigaction(number, nullptr, &now);
  // A handler that somebody has put over ours meanwhile stays.
  if ((now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == handle) sigaction(number, &registration.before, nullptr);
  registration.eventfd.store(-1, std::memory_order_seq_cst);
  while (registration.handlers.load(std::memory_order_seq_cst) != 0) sched_yield();
}

// The parent's eventfds are not to hear of the child's signals, which do there what they did before.
void go_on_in_child() noexcept {
  new (&registering) TinyMutex;
  for (std::size_t number = 1; number < registrations.size(); ++number) {
    Registration& registration = registrations[number];
    registration.handlers.store(0, std::memory_order_relaxed);
    if (registration.eventfd.load(std::memory_order_relaxed) >= 0) end(static_cast<int>(number));
  }
}

constinit mothreads::internal::ForkPart part{.in_child = go_on_in_child};
[[maybe_unused]] const bool takes_part = (mothreads::internal::take_part_in_forks(part), true);

}  // namespace

OsSignal::OsSignal(int number) : number_(number) {
  check_can_be_taken(number);
  // A semaphore: each read takes one.
  const int eventfd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
  if (eventfd < 0) throw IoError(errno, described(number), "wait for it");
  descriptor_ = Descriptor(eventfd, Descriptor::NonBlocking{});
  begin(number, eventfd);
}

OsSignal::~OsSignal() {
  if (descriptor_.is_open() && !born_.is_left_behind()) end(number_);
}

void OsSignal::close() {
  if (!descriptor_.is_open()) return;
  descriptor_.check_thread("an OsSignal");
  if (!born_.is_left_behind()) end(number_);
  descriptor_.close();
}

std::string OsSignal::name() const { return described(number_); }

Ended OsSignal::wait(const Until& until) {
  if (born_.is_left_behind()) {
    throw Misuse(described(number_) + " was to be waited for by an OsSignal of the process that made this one by fork(): make another here");
  }
  const auto its_name = [this] { return name(); };
  const auto [taken, why] = descriptor_.until_done(Side::read, {"an OsSignal", its_name, "wait for it"}, internal::SchedulerCore::current().start(until), [this] {
    std::uint64_t one = 0;
    return ::read(descriptor_.native(), &one, sizeof one);
  });
  return taken < 0 ? why : Why::ready;
}

}  // namespace cooperative
