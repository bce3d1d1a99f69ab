#include "mothreads/stopping.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace mothreads::inline v0 {
namespace {

constinit std::atomic<std::int64_t> stop_deadline_nanoseconds{30'000'000'000};

// Longer is never: sums with the clock's time must not overflow.
constexpr absl::Duration kLongest = absl::Hours(24 * 365 * 10);

}  // namespace

void set_stop_deadline(absl::Duration duration) {
  stop_deadline_nanoseconds.store(
      duration > kLongest ? INT64_MAX : std::max<std::int64_t>(0, absl::ToInt64Nanoseconds(duration)),
      std::memory_order_relaxed);
}

absl::Duration stop_deadline() {
  const std::int64_t nanoseconds = stop_deadline_nanoseconds.load(std::memory_order_relaxed);
  return nanoseconds == INT64_MAX ? absl::InfiniteDuration() : absl::Nanoseconds(nanoseconds);
}

}  // namespace mothreads
