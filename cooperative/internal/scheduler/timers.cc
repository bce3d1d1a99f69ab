#include "cooperative/internal/scheduler/timers.h"

#include <chrono>
#include <new>

#include "absl/time/time.h"
#include "mothreads/ended.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;
using mothreads::internal::WaitNode;

const TimerOps TimeLimit::kOps{
    .take = [](TimerNode& timer) { return static_cast<TimeLimit&>(timer).node.claim_on_host(); },
    .fire = [](TimerNode& timer) { static_cast<TimeLimit&>(timer).node.finish_on_host(Why::timed_out); },
};

// Whether `until` is the usual limit: nothing but a duration of kSoon or more, by this clock. Then `when` is the time when the limit comes.
inline bool Timers::start_usual(const Until& until, const mothreads::Clock* of_context, std::int64_t& when) noexcept {
  if (!until.is_only_duration() || of_context != clock_) return false;
  const std::int64_t nanoseconds = absl::ToInt64Nanoseconds(until.duration());
  return nanoseconds >= Pacing::kSoon && !__builtin_add_overflow(not_before_now().time_since_epoch().count(), nanoseconds, &when);
}

Limit Timers::start(const Until& until, const mothreads::Clock& of_context) noexcept {
  if (until.is_never()) return {};
  std::int64_t when = 0;
  if (start_usual(until, &of_context, when)) [[likely]] return Limit().sooner(Instant(std::chrono::nanoseconds(when)));
  if (!until.counts_from_now()) return Limit(until, Instant());
  return Limit(until, &of_context == clock_ ? now_for(absl::ToInt64Nanoseconds(until.duration())) : of_context.now());
}

bool Timers::set_limit(RoomForLimit& room, WaitNode& node, const Until& until, const mothreads::Clock* of_context) noexcept {
  std::int64_t when = 0;
  if (!start_usual(until, of_context, when)) [[unlikely]] return set_limit(room, node, start(until, *of_context), of_context);
  wheel_.add(*new (&room.limit) TimeLimit(node), when);  // it does not come soon
  return true;
}

bool Timers::set_limit(RoomForLimit& room, WaitNode& node, Limit limit, const mothreads::Clock* of_context) noexcept {
  if (!limit.is_only_time() || of_context != clock_) return false;
  add_near(*new (&room.limit) TimeLimit(node), limit.time()->time_since_epoch().count());
  return true;
}

std::optional<Instant> Timers::next_wake() noexcept {
  const std::int64_t when = wheel_.next_wake();
  if (when == TimerWheel::kNever) return std::nullopt;
  return Instant(std::chrono::nanoseconds(when));
}

std::int64_t Timers::begin_look() noexcept {
  pacing_.looks();
  return wheel_.is_empty() ? 0 : nanoseconds();
}

void Timers::fire_due(std::int64_t now) noexcept {
  if (wheel_.is_empty()) return;
  mothreads::internal::ExpiredTimers expired;
  wheel_.expire(now, expired);
  while (TimerNode* timer = expired.pop_front()) {
    if (timer->ops->take(*timer)) timer->ops->fire(*timer);
  }
  if (wheel_.earliest() - now < Pacing::kSoon) {
    if (const std::int64_t next = wheel_.next_wake(); next - now < Pacing::kSoon) pacing_.expect_soon(next);
  }
}

}  // namespace cooperative::internal
