#pragma once

// Calls a function again after it has failed, with longer and longer pauses, so that the other side is not overrun.
//
//     Job job = retry({.name = "fetch job", .attempts = 5}, [&](const Until& limit) { return fetch(url, limit); },
//                     please_stop | absl::Minutes(1));
//
// Blocks while the function does, and in the pauses, which suspend only the fiber that calls, or block the thread that has none. The first
// attempt is always made. The limit is total: it counts from the call, and a function that takes an Until gets what is left of it.
//
// How an attempt that throws goes on:
//
//     what it throws                                                       retry()
//     no std::exception: a fiber's cancellation, pthread_exit()            passes it on
//     Misuse; Stopped, and every EndedEarly whose why() is `stopped`       passes it on, whatever `try_again_if` would say
//     another std::logic_error, if there is no `try_again_if`              passes it on
//     anything else for which `try_again_if` is false                      passes it on
//     anything else, by the last of `attempts`                             gives up
//     anything else, or its pause, when the time of the limit has come     gives up
//     anything else, or its pause, when the Signal of the limit has gone   throws Stopped, which says how many attempts failed and why
//     anything else                                                        logs it (info), pauses, and makes the next attempt
//
// To give up is to throw the last failure on, as the object of its own type that it is, and to log (warning) how many attempts were made, and in
// what time.
//
// The pauses grow from `first_pause` by `factor` up to `max_pause`, and stay there. Of each a part is left to chance, so that many who failed
// together do not come back together; in a testing::World chance follows from its seed. Time is the clock of the calling thread or fiber.
//
// When not to use it: for what must not be done twice when an answer was lost on its way, such as an order or a payment, unless the other side
// can tell. Nor around another retry(): attempts multiply.
//
// Thread safety: retry() may be called anywhere, with one `options` by many at a time, as far as its `try_again_if` allows. Not on the
// library's own threads (a then() function of a Till), where a pause is Misuse.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "mothreads/instant.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

struct RetryOptions {
  static constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

  std::string name = "retry";                            // in the log, and in Stopped
  std::size_t attempts = 5;                              // in all, with the first; kAnyNumber for as many as the limit allows
  absl::Duration first_pause = absl::Milliseconds(100);  // zero for none, also later
  absl::Duration max_pause = absl::Seconds(30);
  double factor = 2;                                     // at least 1: so much longer is each pause than the one before
  double jitter = 0.5;                                   // from 0 to 1: at most this part of a pause is left out, by chance
  absl::Duration attempt_limit = absl::InfiniteDuration();  // for each call of a function that takes an Until

  // Whether this failure is worth another attempt. What it throws is thrown on.
  absl::AnyInvocable<bool(const std::exception& failure) const> try_again_if = nullptr;
};

template <typename F>
concept Attempt = std::invocable<F&, const Until&> || std::invocable<F&>;

// Gives what `f` returns. `f` may be one that only moves, and so may its result. Throws Misuse for options that say no pauses: those that are
// outside the ranges above, negative or without an end.
template <Attempt F>
decltype(auto) retry(const RetryOptions& options, F&& f, const Until& until = {});

// --- implementation --------------------------------------------------------------------------------------------------------------

namespace internal {

// One call of retry(): counts, decides, and pauses.
class Retrying {
 public:
  Retrying(const RetryOptions& options, const Until& until);
  Retrying(const Retrying&) = delete;
  Retrying& operator=(const Retrying&) = delete;

  // Of the attempt that begins now.
  Until attempt_limit() const;
  // In the handler of that failure: returns when there is to be another attempt, or throws.
  void attempt_failed(const std::exception& failure);
  // Until the next attempt. Outside of the handler, since other code runs meanwhile.
  void pause();

 private:
  bool is_worth_another(const std::exception& failure) const;
  absl::Duration next_pause();
  // Throws when the limit has come.
  void check_limit(const std::exception_ptr& failure) const;
  [[noreturn]] void give_up(const char* why, const std::exception_ptr& failure) const;

  const RetryOptions& options_;
  const Limit limit_;
  const Instant began_;
  std::size_t attempts_ = 0;
  absl::Duration pause_;  // before chance
  std::exception_ptr failure_;
};

}  // namespace internal

template <Attempt F>
decltype(auto) retry(const RetryOptions& options, F&& f, const Until& until) {
  internal::Retrying retrying(options, until);
  while (true) {
    try {
      if constexpr (std::invocable<F&, const Until&>) {
        const Until limit = retrying.attempt_limit();
        return std::invoke(f, limit);
      } else {
        return std::invoke(f);
      }
    } catch (const std::exception& failure) {
      retrying.attempt_failed(failure);
    }
    retrying.pause();
  }
}

}  // namespace mothreads
