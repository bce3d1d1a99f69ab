#pragma once

// A one-way state that many may wait on: it is false until somebody calls go(), then true for ever.
//
// A Signal is a cheap handle: copies share one state. Everything before go() happens before everything after a true bool()
// or a wait() that ended ready, and before the functions given to then().
//
// Thread safety: every member may be called from any thread or fiber at any time.

#include <compare>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "mothreads/ended.h"
#include "mothreads/internal/signal_state.h"

namespace mothreads {

class Until;

// Names a function given to then(), for remove_then().
class ThenId {
 public:
  ThenId() = default;
  friend bool operator==(ThenId, ThenId) = default;

 private:
  friend class Signal;
  explicit ThenId(std::uint64_t number) : number_(number) {}
  std::uint64_t number_ = 0;
};

class Signal {
 public:
  Signal() : state_(internal::SignalState::make()) {}
  explicit Signal(std::string_view name) : state_(internal::SignalState::make(name)) {}

  Signal(const Signal& other) noexcept : state_(other.state_) { state_->ref(); }
  Signal(Signal&& other) noexcept;  // leaves NEVER behind
  Signal& operator=(const Signal& other) noexcept;
  Signal& operator=(Signal&& other) noexcept;
  ~Signal() { state_->unref(); }

  // The current state; never blocks.
  explicit operator bool() const noexcept { return state_->is_gone(); }

  // Makes it true: releases all waiters in the order they came, then runs the then() functions in the order they were given,
  // in this thread. True for the one call that did it; later calls change nothing and do not wait for those functions.
  bool go() const { return state_->go(0); }

  // Blocks until it goes.
  void wait() const;

  // Blocks until it goes or the limit comes first; says which. An already true Signal is `ready` whatever the limit.
  Ended wait(const Until& until) const;

  // Runs `function` once when it goes, in the thread that calls go() (for a Till the library's timer thread); now, if it has
  // gone. `function` must not block: a wait in it is reported, and on the library's own threads refused. What it throws goes
  // to `on_error`, or is logged. It is kept, and so is what can make this signal go, also without any handle to it, until it
  // has run or can no longer run.
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

  // Takes the function back. True when it will never run. When it is running in another thread, waits until it has ended;
  // from inside the function itself returns at once.
  bool remove_then(ThenId id) const { return state_->remove_then(id.number_); }

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
  internal::SignalState& state() const noexcept { return *state_; }

  // Takes over a reference.
  explicit constexpr Signal(internal::SignalState* state) noexcept : state_(state) {}

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
