#pragma once

// The clock under every timed wait. Normally the system's steady clock; tests install testing::VirtualClock, and then no
// wait of the contexts that use it takes real time. A context inherits its clock from the one that made it.
//
// Thread safety: every member may be called from any thread.

#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/wait/timer_queue.h"

namespace mothreads::inline v0 {

class Clock {
 public:
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  virtual Instant now() const noexcept = 0;

  // The civil time that goes with it, for points of time that are given as an absl::Time or a time_point of the system's clock. The system's,
  // unless the clock has a time of its own.
  virtual absl::Time wall_now() const noexcept { return absl::Now(); }

  // CLOCK_MONOTONIC.
  static Clock& steady();

  // The clock of the calling thread or fiber.
  static Clock& current();

  // Whether the clock's time passes by itself, so that the kernel can time a wait.
  bool is_real() const noexcept { return is_real_; }

  // For the library: where waits and Tills on this clock are kept.
  internal::TimerQueue& timers(internal::Access) noexcept { return *timers_; }
  // The timers of stop deadlines: on the steady clock they have a thread of their own, which no user's function can hold up.
  internal::TimerQueue& watch_timers(internal::Access) noexcept { return *watch_timers_; }

 protected:
  Clock(internal::TimerQueue& timers, internal::TimerQueue& watch_timers, bool is_real)
      : timers_(&timers), watch_timers_(&watch_timers), is_real_(is_real) {}
  ~Clock() = default;

 private:
  internal::TimerQueue* timers_;
  internal::TimerQueue* watch_timers_;
  bool is_real_;
};

// The calling thread or fiber, and what it makes, use another clock within a scope.
class [[nodiscard]] UseClock {
 public:
  [[nodiscard]] explicit UseClock(Clock& clock);
  ~UseClock();
  UseClock(const UseClock&) = delete;
  UseClock& operator=(const UseClock&) = delete;

 private:
  Clock* before_;
};

}  // namespace mothreads
