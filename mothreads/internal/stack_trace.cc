#include "mothreads/internal/stack_trace.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>

#include <fmt/core.h>

#include "absl/debugging/symbolize.h"
#include "mothreads/contexts/futex.h"

namespace mothreads::internal {
namespace {

constexpr int kMaxFrames = 64;
constexpr int kOwnFrames = 2;  // the handler and the kernel's trampoline
constexpr std::chrono::milliseconds kPatience{500};

// Where the interrupted thread leaves its frames. The number tells a late answer from an awaited one.
struct Answer {
  std::array<void*, kMaxFrames> frames{};
  int count = 0;
  std::atomic<std::uint32_t> asked{0};
  std::atomic<std::uint32_t> answered{0};
};

constinit Answer answer;
constinit std::mutex asking;

int signal_number() { return SIGRTMIN + 5; }

void handle(int, siginfo_t* info, void*) {
  const int saved = errno;
  // The number travels with the signal: a thread that answers too late writes nothing.
  const auto number = static_cast<std::uint32_t>(info->si_value.sival_int);
  if (number == answer.asked.load(std::memory_order_acquire)) {
    answer.count = backtrace(answer.frames.data(), kMaxFrames);
    answer.answered.store(number, std::memory_order_release);  // pairs with the acquire in stack_of_thread()
    futex_wake(&answer.answered, 1);
  }
  errno = saved;
}

bool send(std::uint64_t os_thread_id, std::uint32_t number) {
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = static_cast<int>(number);
  return syscall(SYS_rt_tgsigqueueinfo, getpid(), os_thread_id, signal_number(), &info) == 0;
}

}  // namespace

std::vector<std::string> stack_of_thread(std::uint64_t os_thread_id) {
  std::vector<std::string> lines;
  std::lock_guard lock(asking);
  static const bool ready = [] {
    void* warm_up[1];
    backtrace(warm_up, 1);  // its first call loads a library, which a signal handler must not do
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    return sigaction(signal_number(), &action, nullptr) == 0;
  }();
  const std::uint32_t number = answer.asked.load(std::memory_order_relaxed) + 1;
  answer.asked.store(number, std::memory_order_release);
  if (!ready || os_thread_id == 0 || !send(os_thread_id, number)) return lines;

  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (answer.answered.load(std::memory_order_acquire) != number) {
    const std::uint32_t seen = answer.answered.load(std::memory_order_acquire);
    if (seen != number && futex_wait(&answer.answered, seen, deadline) == FutexEnd::timed_out) {
      answer.asked.store(number + 1, std::memory_order_release);
      return lines;
    }
  }
  for (int i = kOwnFrames; i < answer.count; ++i) {
    char symbol[512];
    void* const frame = answer.frames[static_cast<std::size_t>(i)];
    // A return address belongs to the call before it.
    const bool known = absl::Symbolize(static_cast<char*>(frame) - 1, symbol, sizeof symbol);
    lines.push_back(fmt::format("#{} {} {}", i - kOwnFrames, frame, known ? symbol : "(unknown)"));
  }
  return lines;
}

}  // namespace mothreads::internal
