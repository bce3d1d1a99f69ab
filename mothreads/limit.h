#pragma once

// A limit that has started: what a verb makes of its `Until`, once, and gives to all below it, down to the Wait (docs/decisions/0013).
//
//     Ended Thing::verb(const Until& until) {          // what users give
//       const Limit limit(until);                      // its durations count from here
//       ... wait.park(limit);                          // any number of waits
//
// A Limit is a time of the caller's clock, and the Signals of the Until, which it borrows: so it is two words, copied freely, and must not
// outlive that Until. Users meet it where they implement a Stream. It can be given to any verb that takes an Until: it stays what it is.

#include <algorithm>
#include <optional>

#include "absl/base/attributes.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/limit_signals.h"

namespace mothreads::inline v0 {

class Until;

namespace internal {
class Wait;
}

class Limit {
 public:
  Limit() = default;  // never comes
  // By the clock of the calling context, which is asked only where there is a duration.
  explicit Limit(const Until& until ABSL_ATTRIBUTE_LIFETIME_BOUND);
  // For a caller that knows the time.
  Limit(const Until& until ABSL_ATTRIBUTE_LIFETIME_BOUND, Instant now);

  // One of zero.
  static Limit now() noexcept { return Limit().sooner(kNow); }

  bool is_never() const noexcept { return when_ == kNever && signals_ == nullptr; }
  // Whether the Until was a duration of zero: the caller takes what is there. That waits for nothing, and ends no call of several steps.
  bool is_now() const noexcept { return when_ == kNow && signals_ == nullptr; }

  // Whether it has come; then why.
  std::optional<Why> has_come() const;
  // has_come() between the steps of a call.
  std::optional<Why> ends_steps() const { return is_never() || is_now() ? std::nullopt : has_come(); }

  // This limit, or that time, whichever comes first.
  Limit sooner(Instant time) const noexcept {
    Limit both = *this;
    both.when_ = std::min(when_, time);
    return both;
  }

  std::optional<Instant> time() const noexcept { return when_ == kNever ? std::nullopt : std::optional(when_); }
  // Whether the limit is nothing but a time: no Signal may come before, and it is no limit of zero, which has come already.
  bool is_only_time() const noexcept { return signals_ == nullptr && when_ != kNow && when_ != kNever; }

 private:
  friend class Until;
  friend class internal::Wait;
  static constexpr Instant kNever = Instant::max();
  static constexpr Instant kNow = Instant::min();

  Instant when_ = kNever;
  const internal::LimitSignals* signals_ = nullptr;  // null for none
};

}  // namespace mothreads
