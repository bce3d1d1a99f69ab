#pragma once

// "Until when": the last parameter of every wait of the library. Made in place from
//
//     nothing                            for ever
//     absl::Duration, std::chrono's      so long from the call; zero or less: do not wait; a NaN is Misuse
//     Instant, a time_point              a point of the steady clock, of the system's or of any other clock
//     absl::Time                         a wall-clock time
//     Signal                             until it goes
//     signal | duration | instant | ...  whichever comes first, in any order; up to three Signals allocate nothing
//
// Times of other clocks become a point of the steady clock when the Until is made: later changes of those clocks do not move it.
//
// An Until borrows the Signals that have a name and owns those that are temporaries, so `const Until limit = reader.stopped() |
// absl::Seconds(5);` is safe. It cannot be copied: a class that keeps a limit keeps a Signal or an Instant. A function that passes
// a limit on takes `const Until&`; each wait with it starts a duration anew.
//
// Thread safety: one const Until serves any number of waits, in any number of threads and fibers, at a time.

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/time/time.h"
#include "mothreads/instant.h"
#include "mothreads/internal/from_chrono.h"
#include "mothreads/internal/limit_signals.h"
#include "mothreads/limit.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0 {

class Until {
 public:
  Until() = default;
  Until(absl::Duration duration) : duration_(duration), is_limited_(duration != absl::InfiniteDuration()) {}
  template <typename Rep, typename Period>
  Until(std::chrono::duration<Rep, Period> duration) : Until(internal::from_chrono(duration)) {}
  Until(Instant instant) : instant_(instant), is_limited_(true) {}
  template <typename AnyClock, typename Duration>
  Until(std::chrono::time_point<AnyClock, Duration> point) {
    include(instant_of(point));
  }
  Until(absl::Time time) { include(instant_of(time)); }
  Until(const Signal& signal ABSL_ATTRIBUTE_LIFETIME_BOUND) { include(signal); }
  Until(const Signal&& signal) { include(std::move(signal)); }
  // One that has started goes on: it borrows the same Signals.
  Until(const Limit& limit) { include(limit); }
  template <std::integral Number>
  Until(Number) = delete;  // of which unit? use absl::Seconds() and its like

  Until(const Until&) = delete;
  Until& operator=(const Until&) = delete;

  // Both limits, of which each may be any of the above.
  struct Both {};
  template <typename A, typename B>
  Until(Both, A&& a, B&& b) {
    include(std::forward<A>(a));
    include(std::forward<B>(b));
  }

  // True when it sets no limit at all.
  bool is_never() const { return !is_limited_; }

  // Whether the limit has come already; then why.
  std::optional<Why> has_come() const;

  // Its duration, when that is all it is.
  std::optional<absl::Duration> only_duration() const { return is_only_duration() ? std::optional(duration_) : std::nullopt; }
  bool is_only_duration() const { return signals_.empty() && instant_ == kNoInstant; }

  // The shortest, infinite for none. Whether when it comes depends on when it starts.
  absl::Duration duration() const { return duration_; }
  bool counts_from_now() const { return duration_ > absl::ZeroDuration() && duration_ != absl::InfiniteDuration(); }

  // The same limit with its durations counted from now, for a function that waits more than once. It borrows the same Signals.
  Until from_now() const { return Limit(*this); }

 private:
  friend class Limit;
  static constexpr Instant kNoInstant = Limit::kNever;

  void include(absl::Duration duration) {
    duration_ = std::min(duration_, duration);
    is_limited_ = is_limited_ || duration != absl::InfiniteDuration();
  }
  void include(Instant instant) {
    instant_ = std::min(instant_, instant);
    is_limited_ = true;
  }
  void include(const Signal& signal) {
    signals_.emplace_back(signal.state(internal::kAccess));
    is_limited_ = true;
  }
  void include(const Signal&& signal) {
    signals_.emplace_back(internal::OwnedSignal{signal.state(internal::kAccess)});
    is_limited_ = true;
  }
  void include(const Until& other);
  void include(const Limit& limit) {
    instant_ = std::min(instant_, limit.when_);
    if (limit.signals_ != nullptr) [[unlikely]] include(*limit.signals_);
    is_limited_ = is_limited_ || !limit.is_never();
  }
  void include(const internal::LimitSignals& more);

  void include(const std::optional<Instant>& instant) {
    if (instant) include(*instant);
  }

  // Nothing for a point that never comes.
  template <typename AnyClock, typename Duration>
  static std::optional<Instant> instant_of(std::chrono::time_point<AnyClock, Duration> point) {
    const absl::Duration since_epoch = internal::from_chrono(point.time_since_epoch());
    if constexpr (std::is_same_v<AnyClock, std::chrono::steady_clock>) {
      return at_steady(since_epoch);
    } else if constexpr (std::is_same_v<AnyClock, std::chrono::system_clock>) {
      return instant_of(absl::UnixEpoch() + since_epoch);
    } else {
      return after(since_epoch - internal::from_chrono(AnyClock::now().time_since_epoch()));
    }
  }
  static std::optional<Instant> instant_of(absl::Time time);
  static std::optional<Instant> at_steady(absl::Duration since_epoch);
  static std::optional<Instant> after(absl::Duration from_now);

  // The earliest time that it names. One that has come for want of a duration is the first of all.
  Instant earliest(Instant now) const;

  Instant instant_ = kNoInstant;
  absl::Duration duration_ = absl::InfiniteDuration();
  internal::LimitSignals signals_;
  bool is_limited_ = false;
};

template <typename T>
concept IsLimit = std::same_as<std::remove_cvref_t<T>, Until> || std::same_as<std::remove_cvref_t<T>, Limit>;

// A limit of two: at least one side is a Signal, an Until or a Limit, and not both are Signals (which make a Signal).
template <typename A, typename B>
concept TwoLimits = std::is_convertible_v<A, const Until&> && std::is_convertible_v<B, const Until&> &&
                    (std::derived_from<std::remove_cvref_t<A>, Signal> != std::derived_from<std::remove_cvref_t<B>, Signal> ||
                     IsLimit<A> || IsLimit<B>);

template <typename A, typename B>
  requires TwoLimits<A, B>
Until operator|(A&& a, B&& b) {
  return Until(Until::Both{}, std::forward<A>(a), std::forward<B>(b));
}

}  // namespace mothreads
