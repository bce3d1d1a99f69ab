#pragma once

// A Signal that goes at a time of the current clock: never early, on an idle machine less than a millisecond late.
//
//     (cancelled | Till(absl::Minutes(6))).wait();
//     Till(absl::Seconds(5)).then(remind);            // fires although nobody holds it
//
// Any number may exist; making and dropping one is constant time, and dropping it cancels it (unless then() was called). As
// the limit of a wait a plain duration does the same for less.
//
// When the main thread is asked to stop, the Tills that exist go early, once, so that loops over Tills look at their
// please_stop; those made later run normally, so that grace periods work. Once the timers have ended, with MainThread::run, a
// new Till is DONE. went_early() tells such an end from the time's; a wait with the Till as its limit ends `stopped` then, not
// `timed_out`. Functions given to then() run on the timer thread and delay the other timers: they must not block.
//
// Thread safety: as Signal.

#include <chrono>
#include <concepts>

#include "absl/time/time.h"
#include "mothreads/instant.h"
#include "mothreads/internal/from_chrono.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0 {

class [[nodiscard]] Till : public Signal {
 public:
  // So long from now; gone at once for zero or less.
  [[nodiscard]] explicit Till(absl::Duration duration);
  template <typename Rep, typename Period>
  [[nodiscard]] explicit Till(std::chrono::duration<Rep, Period> duration) : Till(internal::from_chrono(duration)) {}

  // At a point of the steady clock; gone at once when it has passed.
  [[nodiscard]] explicit Till(Instant instant);

  // At a wall-clock time, converted now: later changes of the wall clock do not move it.
  [[nodiscard]] explicit Till(absl::Time time);

  template <std::integral Number>
  explicit Till(Number) = delete;  // of which unit? use absl::Seconds() and its like

  // True when it has gone without its time: at the stop, or by somebody's go(). False before it goes.
  bool went_early() const noexcept;
};

}  // namespace mothreads
