#pragma once

// Waiting for time, and for one's turn.

#include <chrono>
#include <type_traits>

#include "absl/time/time.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {
namespace internal {

template <typename T>
inline constexpr bool kIsPoint = std::is_same_v<T, absl::Time> || std::is_same_v<T, mothreads::Instant>;
template <typename AnyClock, typename Duration>
inline constexpr bool kIsPoint<std::chrono::time_point<AnyClock, Duration>> = true;

}  // namespace internal

// Waits until the limit comes: a duration, an instant, a Signal. Always lets others run first, also when it has come already.
// On a thread without fibers it blocks the thread. Integers are refused: of which unit? Gives what ended it, which may be ignored: `timed_out`
// when the time came, `stopped` when the Signal went.
mothreads::Why sleep(const mothreads::Until& until);

// The same for a point of time alone: an Instant, a time_point of any clock, an absl::Time.
template <typename Point>
mothreads::Why sleep_until(const Point& point) {
  static_assert(internal::kIsPoint<Point>,
                "sleep_until() takes a point of time, an Instant, time_point or absl::Time: for a duration or a Signal call sleep()");
  if constexpr (internal::kIsPoint<Point>) return sleep(point);
}

// Lets everything that is ready now run once. Nothing on a thread without fibers.
COOPERATIVE_INLINED void yield() {
  if (internal::SchedulerCore* core = internal::SchedulerCore::current_or_null()) core->yield();
}

// Lets others run until nothing is ready, or the limit comes. Others that yield without end keep it waiting. `ready` when nothing is.
mothreads::Why yield_until_idle(const mothreads::Until& until = {});

// Of those that are waiting for a cancellation, none is thrown in this scope: it comes with the first wait after it.
class [[nodiscard]] NoCancel {
 public:
  [[nodiscard]] NoCancel() = default;
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  mothreads::internal::NoUnwind no_unwind_;
};

}  // namespace cooperative
