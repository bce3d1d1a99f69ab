#include "mothreads/internal/tree/stop_watch.h"

#include <exception>
#include <utility>

#include "mothreads/clock.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::inline v0::internal {

void StopWatch::watch_until(Instant deadline) noexcept {
  ref();  // for the timer
  try {
    clock_.watch_timers(kAccess).add(*this, deadline.time_since_epoch().count());
    if (has_ended()) end_watch();
  } catch (const std::exception& refused) {
    log::error("the stop of \"{}\" has no deadline, because the timer for it cannot be had: {}", watched_name(), refused.what());
    unref();
  }
}

void StopWatch::end_watch() noexcept {
  if (clock_.watch_timers(kAccess).cancel(*this)) unref();
}

void StopWatch::fire(TimerNode& timer) {
  StopWatch& watch = static_cast<StopWatch&>(timer);
  if (!watch.has_ended()) {
    const bool is_first = !std::exchange(watch.grace_given_, true);
    const bool goes_on = (is_first && watch.may_unwind()) || watch.give_up();
    if (!goes_on && !watch.has_ended()) watch.report();
    watch.watch_until(Instant(std::chrono::nanoseconds(timer.when)) + absl::ToChronoNanoseconds(kUnwindGrace));
  }
  watch.unref();
}

}  // namespace mothreads::internal
