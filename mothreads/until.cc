#include "mothreads/until.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

// `duration` after `instant`, or nothing where the clock cannot count so far.
std::optional<Instant> sum(Instant instant, absl::Duration duration) {
  std::int64_t when = 0;
  const std::int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);  // the nearest number there is
  if (!__builtin_add_overflow(instant.time_since_epoch().count(), nanoseconds, &when)) return Instant(std::chrono::nanoseconds(when));
  return duration > absl::ZeroDuration() ? std::nullopt : std::optional(Instant::min());
}

}  // namespace

void internal::refuse_nan() {
  throw Misuse("a duration or time of NaN seconds says no time: check the calculation that it comes from");
}

std::optional<Instant> Until::instant_of(absl::Time time) { return after(time - Clock::current().wall_now()); }

std::optional<Instant> Until::after(absl::Duration from_now) {
  if (from_now == absl::InfiniteDuration()) return std::nullopt;
  return sum(Clock::current().now(), from_now);
}

std::optional<Instant> Until::at_steady(absl::Duration since_epoch) {
  if (since_epoch == absl::InfiniteDuration()) return std::nullopt;
  // The nearest number there is: a point that the clock cannot count is its last or its first.
  return Instant(std::chrono::nanoseconds(absl::ToInt64Nanoseconds(since_epoch)));
}

void Until::include(const internal::LimitSignals& more) {
  for (const internal::LimitSignal& signal : more) signals_.push_back(signal);
}

void Until::include(const Until& other) {
  instant_ = std::min(instant_, other.instant_);
  duration_ = std::min(duration_, other.duration_);
  include(other.signals_);
  is_limited_ = is_limited_ || other.is_limited_;
}

std::optional<Why> Until::has_come() const {
  return Limit(*this, Instant::max()).has_come();  // of a duration that starts now nothing has passed
}

Instant Until::earliest(Instant now) const {
  if (duration_ <= absl::ZeroDuration()) return Limit::kNow;
  if (duration_ == absl::InfiniteDuration()) return instant_;
  // A duration longer than the clock can count is as good as never.
  return std::min(instant_, sum(now, duration_).value_or(kNoInstant));
}

}  // namespace mothreads
