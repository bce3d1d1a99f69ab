#pragma once

// "Until when": the last parameter of every wait of the library. Made in place from
//
//     nothing                            for ever
//     absl::Duration, std::chrono's      so long from the call; zero or less: do not wait
//     Instant                            a point of the steady clock
//     absl::Time                         a wall-clock time, converted at the call
//     Signal                             until it goes
//     signal | duration | instant | ...  whichever comes first; nothing is allocated
//
// An Until borrows its Signals and holds the nodes of one wait, so it cannot be copied or stored: who keeps a limit keeps a
// Signal. A function that passes a limit on takes `const Until&`; each wait with it starts a duration anew.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/time/time.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/instant.h"
#include "mothreads/internal/from_chrono.h"
#include "mothreads/signal.h"

namespace mothreads {

class Until {
 public:
  Until() = default;
  Until(absl::Duration duration) : is_limited_(duration != absl::InfiniteDuration()), duration_(duration) {}
  template <typename Rep, typename Period>
  Until(std::chrono::duration<Rep, Period> duration) : Until(internal::from_chrono(duration)) {}
  Until(Instant instant) : is_limited_(true), instant_(instant) {}
  Until(absl::Time time);
  Until(const Signal& signal ABSL_ATTRIBUTE_LIFETIME_BOUND) : signal_(&signal), is_limited_(true), node_(std::in_place) {}
  template <std::integral Number>
  Until(Number) = delete;  // of which unit? use absl::Seconds() and its like

  Until(const Until&) = delete;
  Until& operator=(const Until&) = delete;

  // Both limits: `a` is borrowed for as long as the result lives.
  Until(const Until& a, absl::Duration b)
      : also_(&a), is_limited_(a.is_limited_ || b != absl::InfiniteDuration()), duration_(b) {}
  Until(const Until& a, Instant b) : also_(&a), is_limited_(true), instant_(b) {}
  Until(const Until& a, const Signal& b) : also_(&a), signal_(&b), is_limited_(true), node_(std::in_place) {}
  Until(const Signal& a, absl::Duration b) : signal_(&a), is_limited_(true), duration_(b), node_(std::in_place) {}
  Until(const Signal& a, Instant b) : signal_(&a), is_limited_(true), instant_(b), node_(std::in_place) {}

  // True when it sets no limit at all.
  bool is_never() const { return !is_limited_; }

  // Whether the limit has come already; then why.
  std::optional<Why> has_come() const;

  // Its duration, when that is all it is.
  std::optional<absl::Duration> only_duration() const {
    if (also_ != nullptr || signal_ != nullptr || instant_ != kNoInstant) return std::nullopt;
    return duration_;
  }

  // When it comes, on `clock`, with its durations counted from now, where no Signal may come before; nothing else, nor for one that never comes.
  std::optional<Instant> only_time(const Clock& clock) const;

  // Whether its time may have come without any waiting: then a look at the clock is worth it.
  bool may_have_expired() const {
    return instant_ != kNoInstant || duration_ <= absl::ZeroDuration() || (also_ != nullptr && also_->may_have_expired());
  }

  // The same limit with its durations counted from now, for a function that waits more than once. Borrows this one, which must
  // have a name. To keep a limit longer than a call take an Instant: Clock::current().now() and some.
  Until from_now() const& ABSL_ATTRIBUTE_LIFETIME_BOUND { return is_limited_ ? resolved() : Until(); }
  Until from_now() const&& = delete;

 private:
  friend class internal::Wait;
  static constexpr Instant kNoInstant = Instant::max();
  struct Resolved {};
  Until(Resolved, const Until& limit);
  Until resolved() const ABSL_ATTRIBUTE_LIFETIME_BOUND;

  // The earliest time it names, on `clock`, counted from now.
  std::optional<Instant> deadline(const Clock& clock) const;

  // Links the wait to each Signal; the first that has gone already is the answer.
  std::optional<Why> attach(const internal::Wait& wait) const;
  void detach() const noexcept;

  const Until* also_ = nullptr;
  const Signal* signal_ = nullptr;
  bool is_limited_ = false;         // it, or what it includes
  bool ignores_durations_ = false;  // of those it includes
  absl::Duration duration_ = absl::InfiniteDuration();
  Instant instant_ = kNoInstant;

  // Made only where there is a Signal: an Until is made at each wait, and most have none.
  struct Node {
    Node() {}
    explicit Node(std::in_place_t) : of_signal() {}
    union {
      internal::WaitNode of_signal;
    };
  };
  mutable Node node_;
};

inline Until operator|(const Signal& a, absl::Duration b) { return {a, b}; }
inline Until operator|(const Signal& a, Instant b) { return {a, b}; }
template <typename Rep, typename Period>
Until operator|(const Signal& a, std::chrono::duration<Rep, Period> b) {
  return {a, internal::from_chrono(b)};
}
inline Until operator|(const Until& a, absl::Duration b) { return {a, b}; }
inline Until operator|(const Until& a, Instant b) { return {a, b}; }
inline Until operator|(const Until& a, const Signal& b) { return {a, b}; }
template <typename Rep, typename Period>
Until operator|(const Until& a, std::chrono::duration<Rep, Period> b) {
  return {a, internal::from_chrono(b)};
}

}  // namespace mothreads
