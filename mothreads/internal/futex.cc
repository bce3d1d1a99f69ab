#include "mothreads/internal/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace mothreads::internal {

FutexEnd futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
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

void futex_wake(const std::atomic<std::uint32_t>* word, int count) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

}  // namespace mothreads::internal
