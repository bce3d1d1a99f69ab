#include "mothreads/clock.h"

#include <utility>

#include "mothreads/internal/context.h"
#include "mothreads/internal/steady_timers.h"

namespace mothreads {
namespace {

class SteadyClock final : public Clock {
 public:
  explicit SteadyClock(internal::TimerQueue& timers) : Clock(timers, /*is_real=*/true) {}
  Instant now() const noexcept override { return std::chrono::steady_clock::now(); }
};

}  // namespace

namespace internal {

SteadyTimers& steady_timers() {
  static SteadyTimers& instance = *new SteadyTimers;  // outlives every thread
  return instance;
}

}  // namespace internal

Clock& Clock::steady() {
  static SteadyClock& instance = *new SteadyClock(internal::steady_timers());  // outlives every thread
  return instance;
}

Clock& Clock::current() { return *internal::Context::current().clock; }

UseClock::UseClock(Clock& clock) : before_(std::exchange(internal::Context::current().clock, &clock)) {}

UseClock::~UseClock() { internal::Context::current().clock = before_; }

}  // namespace mothreads
