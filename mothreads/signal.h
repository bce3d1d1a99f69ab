#pragma once

// A one-way state that many may wait on: it is false until somebody calls go(), then true for ever.
//
// A Signal is a cheap handle: copies share one state. Everything before go() happens before everything after a true bool()
// or a wait() that ended ready, and before the functions given to then().
//
// Some Signals are the library's to let go: `stopped()` of a thread or a fiber, `closed()` of a queue. go() on them is Misuse.
// A `please_stop` is a request, and anybody may make it.
//
// Thread safety: every member may be called from any thread or fiber at any time.

#include <compare>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/signal_state.h"
#include "mothreads/internal/then_on.h"

namespace mothreads::inline v0 {

class Executor;
class Until;

// Names a function given to then(), for remove_then(). Once that function is over the name is of no use, and does no harm.
class ThenId {
 public:
  ThenId() = default;
  friend bool operator==(const ThenId&, const ThenId&) = default;

 private:
  friend class Signal;
  explicit ThenId(internal::CallbackId id) noexcept : id_(std::move(id)) {}
  internal::CallbackId id_;
};

class Signal {
 public:
  Signal() : state_(internal::SignalState::make()) {}
  explicit Signal(std::string_view name) : state_(internal::SignalState::make(name)) {}
  explicit Signal(std::nullptr_t) = delete;  // no name is Signal()

  Signal(const Signal& other) noexcept : state_(other.state_) { state_->ref(); }
  Signal(Signal&& other) noexcept;  // leaves NEVER behind
  Signal& operator=(const Signal& other) noexcept;
  Signal& operator=(Signal&& other) noexcept;
  ~Signal() { state_->unref(); }

  // The current state; never blocks.
  explicit operator bool() const noexcept { return state_->test(); }

  // Makes it true: releases all waiters in the order they came, then runs the then() functions in the order they were given,
  // in this thread. True for the one call that did it; later calls change nothing and do not wait for those functions.
  //
  // Called inside a then() function, it makes the Signal true and releases its waiters at once, but leaves its functions to the
  // go() that runs that function: they run after it, in the order in which the Signals went, before that go() returns. So a
  // chain of any length needs no stack. If the function waits, they run before it blocks, since it may wait for what they do.
  //
  // Throws Misuse on a Signal that is the library's to let go.
  bool go() const { return state_->go_by_user(); }

  // Blocks until it goes.
  void wait() const;

  // Blocks until it goes or the limit comes first; says which. An already true Signal is `ready` whatever the limit.
  Ended wait(const Until& until) const;

  // Runs `function` once when it goes, in the thread that calls go() (for a Till the library's timer thread); now, if it has
  // gone, or after the function that runs now if that one was run so itself. `function` must not block: a wait in it is
  // reported, and on the library's own threads refused. What it throws goes to `on_error`, or is logged. A function that can
  // only be moved will do. std::bad_alloc leaves everything as it was.
  //
  // It is kept, and so is what can make this signal go, also without any handle to it, until it has run or can no longer run;
  // then it is destroyed, and what only it holds. What a function holds cannot be seen from outside: one that holds the last
  // handle of what can make its own signal go, as in (a | b).then([a] {}), is kept for ever unless `a` or `b` goes, or
  // remove_then() takes it back. Let it hold something else, or a Signal that goes sooner or later.
  // A function that is destroyed with the last handle of its signal, while another function is destroyed, is so after that one.
  template <std::invocable F>
  ThenId then(F&& function) const {
    return ThenId(state_->then(absl::AnyInvocable<void()>(std::forward<F>(function))));
  }
  template <std::invocable F, std::invocable<std::exception_ptr> OnError>
  ThenId then(F&& function, OnError&& on_error) const {
    return then([f = std::forward<F>(function), e = std::forward<OnError>(on_error)]() mutable {
      try {
        f();
      } catch (...) {
        e(std::current_exception());
      }
    });
  }

  // The same, but `executor` runs the function, on its own thread (mothreads/executor.h): a Scheduler, a CallbackQueue, a user's loop.
  // Whoever calls go(), or this on a Signal that has gone, only posts it, which does not block, and does no more with the function than move
  // it; go() allocates nothing for it, unless the executor does. So a function may wait as far as its executor lets it. What it throws goes to
  // `on_error`, there, too; else, as a cancellation does always, to the executor, which reports it as it does for its callbacks. An
  // executor that is closed or full when the Signal goes loses the function: it is destroyed, and a warning names both. One that ends
  // later destroys it, too, and says how many it has destroyed.
  // remove_then() takes it back until it begins, also after go(), and waits for it while it runs.
  template <std::invocable F>
  ThenId then(const Executor& executor, F&& function) const {
    return ThenId(state_->then_on(executor, absl::AnyInvocable<void()>(std::forward<F>(function))));
  }
  template <std::invocable F, std::invocable<std::exception_ptr> OnError>
  ThenId then(const Executor& executor, F&& function, OnError&& on_error) const {
    return ThenId(state_->then_on(executor, internal::with_error_function(std::forward<F>(function), std::forward<OnError>(on_error))));
  }

  // Takes the function back, in constant time. True when it will never run. When it is running in another thread or fiber, waits
  // until it has ended; from inside the function itself returns at once.
  bool remove_then(ThenId id) const { return state_->remove_then(id.id_); }

  // As given, or made of the inputs' names ("a | b"); "anonymous signal" without one.
  std::string name() const;

  // The same state? Not whether both are true.
  friend bool operator==(const Signal& a, const Signal& b) noexcept { return a.state_ == b.state_; }

  // A Signal that goes when either does. It keeps its inputs; dropped, it leaves them, in constant time. DONE when either has
  // gone already.
  friend Signal operator|(const Signal& a, const Signal& b);
  // One that goes when both have gone.
  friend Signal operator&(const Signal& a, const Signal& b);

  // A plain truth value on one side: a | false is a, a | true is DONE, a & true is a, a & false is NEVER.
  friend Signal operator|(const Signal& a, std::same_as<bool> auto b);
  friend Signal operator|(std::same_as<bool> auto a, const Signal& b) { return b | a; }
  friend Signal operator&(const Signal& a, std::same_as<bool> auto b);
  friend Signal operator&(std::same_as<bool> auto a, const Signal& b) { return b & a; }

  // The same of many. any_of({}) is NEVER, all_of({}) is DONE.
  static Signal any_of(std::span<const Signal> inputs);
  static Signal all_of(std::span<const Signal> inputs);

  // For the library.
  internal::SignalState& state(internal::Access) const noexcept { return *state_; }
  // Takes over a reference.
  constexpr Signal(internal::SignalState* state, internal::Access) noexcept : state_(state) {}

 private:
  internal::SignalState* state_;
};

std::ostream& operator<<(std::ostream& out, const Signal& signal);

// Has gone.
extern const Signal DONE;
// Never goes: go() does nothing, functions given to then() are dropped at once.
extern const Signal NEVER;

Signal operator|(const Signal& a, std::same_as<bool> auto b) { return b ? DONE : a; }
Signal operator&(const Signal& a, std::same_as<bool> auto b) { return b ? a : NEVER; }

}  // namespace mothreads
