#include "mothreads/clock.h"

#include <utility>

#include "mothreads/internal/steady_timers.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0 {
namespace {

class SteadyClock final : public Clock {
 public:
  SteadyClock() : Clock(internal::steady_timers(), internal::stop_watch_timers(), /*is_real=*/true) {}
  Instant now() const noexcept override { return std::chrono::steady_clock::now(); }
};

}  // namespace

namespace internal {

SteadyTimers& steady_timers() {
  static SteadyTimers& instance = *new SteadyTimers("timers");  // outlives every thread
  return instance;
}

SteadyTimers& stop_watch_timers() {
  static SteadyTimers& instance = *new SteadyTimers("stop watch");  // outlives every thread
  return instance;
}

}  // namespace internal

Clock& Clock::steady() {
  static SteadyClock& instance = *new SteadyClock;  // outlives every thread
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (Clock::steady(), true);

Clock& Clock::current() { return *internal::Context::current().clock; }

UseClock::UseClock(Clock& clock) : before_(std::exchange(internal::Context::current().clock, &clock)) {}

UseClock::~UseClock() { internal::Context::current().clock = before_; }

}  // namespace mothreads
