#include "mothreads/clock.h"

#include <utility>

#include "mothreads/internal/base/made_once.h"
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

namespace {

constinit MadeOnce<SteadyTimers> timers;
constinit MadeOnce<SteadyTimers> timers_of_stops;

}  // namespace

SteadyTimers& steady_timers() {
  return timers.get([] { return new SteadyTimers("timers"); });
}

SteadyTimers& stop_watch_timers() {
  return timers_of_stops.get([] { return new SteadyTimers("stop watch"); });
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
