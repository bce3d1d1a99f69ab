#pragma once

// Something that happens to one thread's fibers, with a value.
//
//     co::Event<double> ready("ready");                     // a name, for reports, may be left out
//     auto reader = co::spawn("reader", [&] { return ready.wait(absl::Seconds(2)); });
//     ready.signal(3.5);
//
// It holds one value at most: a signal that nobody waited for is overwritten by the next. With Reset::automatic a signal goes to the
// first who waits, directly: nobody can take it from him; who comes later waits for the next. With Reset::manual a copy goes to each, and
// it stays until reset(); when one of the copies throws, signal() does, and nobody has got any. Signalling never waits. Like all of a
// scheduler's own, it is used on that thread alone.

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/wait/branch.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

enum class Reset : bool { automatic, manual };

template <typename T = void>
class Event {
  struct Nothing {};
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;
  static constexpr bool kCopies = std::is_copy_constructible_v<Value>;

 public:
  // Throws mothreads::Misuse for a manual one of values that cannot be copied: it could not go to all.
  explicit Event(Reset reset = Reset::automatic) : reset_(reset) { check_copies(); }
  explicit Event(std::string_view name, Reset reset = Reset::automatic) : label_(kName, name), reset_(reset) { check_copies(); }
  ~Event() { internal::check_nobody_waits(waiters_, kName, label_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Gives the value, or throws what signal_exception() was given; at once if there is one. When the limit comes first throws Timedout.
  COOPERATIVE_INLINED T wait() { return wait_with(); }
  COOPERATIVE_INLINED T wait(const mothreads::Until& until) { return wait_with(until); }

  // Never waits. For an Event<void> without an argument.
  template <typename... Args>
  COOPERATIVE_INLINED void signal(Args&&... args) {
    home_.check(kName);
    if constexpr (std::is_constructible_v<Value, Args...>) {
      put(OfValue(), Value(std::forward<Args>(args)...));
    } else {
      put(OfValue(), Value{std::forward<Args>(args)...});
    }
  }

  // Whoever would get the value gets this thrown.
  void signal_exception(std::exception_ptr exception) {
    home_.check(kName);
    put(OfException(), std::move(exception));
  }

  // Forgets the value that it holds.
  void reset() {
    home_.check(kName);
    held_.reset();
  }

  // Whether a wait() would not wait.
  explicit operator bool() const {
    home_.check(kName);
    return held_.has_value();
  }

  class Branch;  // for wait_for_any() and wait_for_all()

 private:
  static constexpr const char* kName = "an Event";
  static constexpr const char* kObject = "event";

  void check_copies() const {
    if (reset_ == Reset::manual && !kCopies) {
      throw mothreads::Misuse("an Event with Reset::manual gives its value to all who wait: its type must be one that can be copied");
    }
  }

  struct OfValue {};
  struct OfException {};
  struct Held {
    Held(OfValue, Value&& its_value) : value(std::in_place, std::move(its_value)) {}
    Held(OfException, std::exception_ptr&& its_exception) : exception(std::move(its_exception)) {}
    std::optional<Value> value;
    std::exception_ptr exception;
  };
  struct Waiter : mothreads::internal::WaitNode {
    using WaitNode::WaitNode;
    std::optional<Held> got;
  };

  Held take_held() {
    if constexpr (kCopies) {
      if (reset_ == Reset::manual) return *held_;
    }
    Held taken(*std::move(held_));
    held_.reset();
    return taken;
  }

  static T give(Held&& held) {
    if (held.exception) std::rethrow_exception(std::move(held.exception));
    if constexpr (!std::is_void_v<T>) return *std::move(held.value);
  }

  template <typename... Limit>
  COOPERATIVE_INLINED T wait_with(const Limit&... until) {
    home_.check(kName);
    if (held_) return wait_when_ready(until...);
    return wait_for_next(until...);
  }

  // Only what is ready is an act: another wait begins a new turn. Others may take it in the turn that they are given.
  template <typename... Limit>
  T wait_when_ready(const Limit&... until) {
    home_.core().spend_act();
    return held_ ? give(take_held()) : wait_for_next(until...);
  }

  template <typename... Limit>
  COOPERATIVE_INLINED T wait_for_next(const Limit&... until) {
    Waiter waiter;
    const mothreads::Why why = home_.core().wait(waiters_, waiter, label_.waits("waits for event"), until...);
    if (why != mothreads::Why::ready) [[unlikely]] throw_ended(why);
    return give(*std::move(waiter.got));
  }

  [[noreturn, gnu::cold, gnu::noinline]] void throw_ended(mothreads::Why why) const { internal::throw_wait_ended(label_, kObject, why); }

  // What makes a Held: a value, an exception, or another one.
  template <typename... What>
  COOPERATIVE_INLINED void put(What&&... what) {
    if (reset_ == Reset::manual) [[unlikely]] return give_to_all(std::move(what)...);
    if constexpr (!std::is_nothrow_move_constructible_v<Value>) return give_with_care(std::move(what)...);
    if (auto* waiter = static_cast<Waiter*>(waiters_.claim_front_on_host())) {
      waiter->got.emplace(std::move(what)...);
      home_.core().end_wait(*waiter, mothreads::Why::ready);
    } else {
      held_.emplace(std::move(what)...);
    }
  }

  // A copy to each. What one throws it does before anybody is claimed, and then nothing has happened.
  template <typename... What>
  [[gnu::noinline]] void give_to_all(What&&... what) {
    if constexpr (kCopies) {
      std::optional<Held> made(std::in_place, std::move(what)...);
      try {
        for_each_waiter([&](Waiter& waiter) { waiter.got.emplace(*made); });
        held_.emplace(*std::move(made));
      } catch (...) {
        for_each_waiter([](Waiter& waiter) { waiter.got.reset(); });
        throw;
      }
      while (auto* waiter = waiters_.claim_front_on_host()) home_.core().end_wait(*waiter, mothreads::Why::ready);
    }
  }
  template <typename F>
  void for_each_waiter(F&& f) {
    for (auto* node = waiters_.front(); node != nullptr; node = waiters_.after(*node)) f(static_cast<Waiter&>(*node));
  }

  // To the first, by moves that may throw: they do so before anybody is claimed.
  template <typename... What>
  void give_with_care(What&&... what) {
    std::optional<Held> held(std::in_place, std::move(what)...);
    for (auto* node = waiters_.front(); node != nullptr; node = waiters_.after(*node)) {
      auto& waiter = static_cast<Waiter&>(*node);
      waiter.got.emplace(*std::move(held));
      if (waiters_.claim_on_host(waiter)) return home_.core().end_wait(waiter, mothreads::Why::ready);
      held.emplace(*std::move(waiter.got));
    }
    held_.emplace(*std::move(held));
  }

  internal::Home home_;
  const internal::Label label_{};
  const Reset reset_;
  std::optional<Held> held_;
  mothreads::internal::WaitList waiters_;
};

template <typename T>
class Event<T>::Branch final : public internal::Branch {
 public:
  using Result = T;

  explicit Branch(Event& event) : event_(event) { event.home_.check(kName); }

  bool hold() override {
    if (!event_.held_) return false;
    waiter_.got.emplace(event_.take_held());
    return true;
  }
  bool link(mothreads::internal::Wait& wait) override {
    waiter_.arm(wait, mothreads::Why::ready);
    event_.waiters_.push_back(waiter_);
    return true;
  }
  void unlink() noexcept override { event_.waiters_.remove(waiter_); }
  bool has_won() const noexcept override { return waiter_.has_won(); }
  void throw_failure() override {
    if (waiter_.got->exception) std::rethrow_exception(std::move(waiter_.got->exception));
  }
  // A later signal has overwritten it, as if it had stayed.
  void put_back() override {
    if (event_.reset_ == Reset::manual || event_.held_) return;
    event_.put(*std::move(waiter_.got));
  }
  std::string name() const override { return event_.label_.object(kObject); }
  T take() { return give(*std::move(waiter_.got)); }

 private:
  Event& event_;
  Waiter waiter_;
};

}  // namespace cooperative
