#include "mothreads/until.h"

#include <algorithm>

#include "absl/time/clock.h"

#include "mothreads/clock.h"

namespace mothreads {

Until::Until(absl::Time time) : Until(time - absl::Now()) {}

std::optional<Why> Until::has_come() const {
  for (const Until* limit = this; limit != nullptr; limit = limit->also_) {
    if (limit->signal_ != nullptr && *limit->signal_) return limit->signal_->state().as_limit();
    if (limit->duration_ <= absl::ZeroDuration()) return Why::timed_out;
    if (limit->instant_ != kNoInstant && Clock::current().now() >= limit->instant_) return Why::timed_out;
  }
  return std::nullopt;
}

Until::Until(Resolved, const Until& limit)
    : also_(&limit), is_limited_(limit.is_limited_), ignores_durations_(true), instant_(limit.deadline(Clock::current()).value_or(kNoInstant)) {}

Until Until::resolved() const { return {Resolved{}, *this}; }

std::optional<Instant> Until::deadline(const Clock& clock) const {
  std::optional<Instant> earliest;
  std::optional<Instant> now;
  const auto consider = [&](Instant instant) { earliest = earliest ? std::min(*earliest, instant) : instant; };
  for (const Until* limit = this; limit != nullptr; limit = limit->also_) {
    if (limit->instant_ != kNoInstant) consider(limit->instant_);
    if (limit->ignores_durations_) break;
    if (limit->duration_ == absl::InfiniteDuration()) continue;
    if (!now) now = clock.now();
    // A duration longer than the clock can count is as good as never.
    std::int64_t when = 0;
    const std::int64_t nanoseconds = std::max<std::int64_t>(absl::ToInt64Nanoseconds(limit->duration_), 0);
    if (!__builtin_add_overflow(now->time_since_epoch().count(), nanoseconds, &when)) consider(Instant(std::chrono::nanoseconds(when)));
  }
  return earliest;
}

std::optional<Instant> Until::only_time(const Clock& clock) const {
  for (const Until* limit = this; limit != nullptr; limit = limit->also_) {
    if (limit->signal_ != nullptr) return std::nullopt;
  }
  return deadline(clock);
}

std::optional<Why> Until::attach(const internal::Wait& wait) const {
  for (const Until* limit = this; limit != nullptr; limit = limit->also_) {
    if (limit->signal_ == nullptr) continue;
    internal::SignalState& state = limit->signal_->state();
    if (state.is_gone()) return state.as_limit();
    wait.context().open_wait();
    limit->node_.of_signal.arm(wait, Why::stopped);
    if (!state.link(limit->node_.of_signal)) return state.as_limit();
  }
  return std::nullopt;
}

void Until::detach() const noexcept {
  for (const Until* limit = this; limit != nullptr; limit = limit->also_) {
    if (limit->signal_ != nullptr) limit->signal_->state().unlink(limit->node_.of_signal);
  }
}

}  // namespace mothreads
