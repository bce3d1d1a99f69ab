#include "mothreads/internal/base/interrupt.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <new>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/futex.h"
#include "mothreads/internal/base/made_once.h"

namespace mothreads::inline v0::internal {
namespace {

constexpr std::chrono::milliseconds kPatience{500};

// One at a time. Its number travels with the signal, so that a thread that answers too late finds that nobody asks.
enum Phase : std::uint32_t { kAsked, kRuns, kDone, kWithdrawn };
constexpr std::uint32_t kPhases = 4;

struct Request {
  std::atomic<std::uint32_t> word{kWithdrawn};  // number * kPhases + phase
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
  const void* interrupted = nullptr;  // the instruction
};

constinit Request request;
constinit std::mutex asking;

constinit ForkPart part{.in_child = []() noexcept {
  new (&asking) std::mutex;  // whoever asked is not here
  request.word.store(kWithdrawn, std::memory_order_relaxed);
}};
[[maybe_unused]] const bool takes_part = (take_part_in_forks(part), true);

int signal_number() { return SIGRTMIN + 5; }

void handle(int, siginfo_t* info, void* context) {
  const int saved = errno;
  const std::uint32_t asked = static_cast<std::uint32_t>(info->si_value.sival_int) * kPhases + kAsked;
  std::uint32_t word = asked;
  // acquire pairs with the release in interrupt_thread().
  if (request.word.compare_exchange_strong(word, asked + kRuns, std::memory_order_acquire, std::memory_order_relaxed)) {
    request.interrupted = reinterpret_cast<const void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
    request.function(request.argument);
    word = asked + kRuns;
    // release pairs with the acquire in await(). Fails when nobody waited so long.
    if (request.word.compare_exchange_strong(word, asked + kDone, std::memory_order_release, std::memory_order_relaxed)) {
      futex_wake(&request.word, 1);
    }
  }
  errno = saved;
}

constexpr bool kReady = true;
constexpr bool kNotReady = false;
constinit MadeOnce<const bool> readiness;

bool is_ready() {
  return readiness.get([] {
    void* warm_up[1];
    backtrace(warm_up, 1);  // its first call loads a library, which a signal handler must not do
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    return sigaction(signal_number(), &action, nullptr) == 0 ? &kReady : &kNotReady;
  });
}

bool send(std::uint64_t os_thread_id, std::uint32_t number) {
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = static_cast<int>(number);
  return syscall(SYS_rt_tgsigqueueinfo, getpid(), os_thread_id, signal_number(), &info) == 0;
}

// The phase that it is in when it is over, or has taken too long.
std::uint32_t await(std::uint32_t first) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const std::uint32_t word = request.word.load(std::memory_order_acquire);
    if (word == first + kDone) return kDone;
    if (futex_wait(&request.word, word, deadline) == FutexEnd::timed_out) return request.word.load(std::memory_order_acquire) - first;
  }
}

}  // namespace

Interrupted interrupt_thread(std::uint64_t os_thread_id, void (*function)(void*), void* argument) {
  std::lock_guard lock(asking);
  if (!is_ready() || os_thread_id == 0) return Interrupted::refused;
  // At most 29 bits of it are used, so that it and its phase fit.
  const std::uint32_t number = (request.word.load(std::memory_order_relaxed) / kPhases + 1) % (UINT32_MAX / kPhases);
  const std::uint32_t first = number * kPhases;
  request.function = function;
  request.argument = argument;
  request.word.store(first + kAsked, std::memory_order_release);
  std::uint32_t phase = send(os_thread_id, number) ? await(first) : kAsked;
  if (phase == kAsked) {
    std::uint32_t word = first + kAsked;
    if (request.word.compare_exchange_strong(word, first + kWithdrawn, std::memory_order_relaxed)) return Interrupted::refused;
    phase = await(first);  // it has begun just now
  }
  return phase == kDone ? Interrupted::ran : Interrupted::runs;
}

const void* interrupted_instruction() noexcept { return request.interrupted; }

int interrupted_frames(void** frames, int max) noexcept {
  std::array<void*, 96> all;
  const int count = backtrace(all.data(), all.size());
  // Not found where a sanitizer has put the handler off: then the handler's own frames are shown, too.
  const auto end = all.begin() + count;
  auto first = std::find(all.begin(), end, request.interrupted);
  if (first == end) first = all.begin();
  const int kept = std::min(max, static_cast<int>(end - first));
  std::copy_n(first, kept, frames);
  return kept;
}

}  // namespace mothreads::internal
