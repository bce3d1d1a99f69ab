#include "mothreads/internal/base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MO_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define MO_THREAD_SANITIZER
#endif

namespace mothreads::inline v0::internal {
namespace {

FutexEnd wait_once(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                   const std::optional<Instant>& deadline) noexcept {
  timespec at{};
  const timespec* timeout = nullptr;
  if (deadline) {
    const auto since_boot = deadline->time_since_epoch().count();
    if (since_boot <= 0) return FutexEnd::timed_out;
    at.tv_sec = static_cast<time_t>(since_boot / 1'000'000'000);
    at.tv_nsec = static_cast<long>(since_boot % 1'000'000'000);
    timeout = &at;
  }
  // FUTEX_WAIT_BITSET takes an absolute timeout; plain FUTEX_WAIT a relative one, which would drift over restarts.
  const long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout, nullptr,
                              FUTEX_BITSET_MATCH_ANY);
  if (result == -1 && errno == ETIMEDOUT) return FutexEnd::timed_out;
  return FutexEnd::woken;
}

}  // namespace

#if defined(MO_THREAD_SANITIZER)
// ThreadSanitizer puts a signal's handler off until the thread comes to a function that it intercepts; this system call is
// none. With a timeout it ends at a signal, whatever SA_RESTART says, and the handler runs in the nanosleep(). The timeout is
// short for the signal that came just before.
FutexEnd futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                    const std::optional<Instant>& deadline) noexcept {
  const Instant look_again = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
  const bool is_final = deadline && *deadline <= look_again;
  const FutexEnd end = wait_once(word, expected, is_final ? *deadline : look_again);
  const timespec nothing{};
  nanosleep(&nothing, nullptr);
  return is_final ? end : FutexEnd::woken;
}
#else
FutexEnd futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                    const std::optional<Instant>& deadline) noexcept {
  return wait_once(word, expected, deadline);
}
#endif

void futex_wake(const std::atomic<std::uint32_t>* word, int count) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

}  // namespace mothreads::internal
