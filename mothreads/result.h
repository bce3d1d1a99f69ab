#pragma once

// What a take gives (pop, next, next_connection ...): a value, or the reason why there is none.
//
//     Result<Job> job = todo.pop(please_stop);
//     if (job) job->perform();
//     else log::info("no job: {}", to_string(job.why()));
//
//     Job must_have = todo.pop(absl::Seconds(1)).value();   // or throws Timedout, Stopped or Closed, naming the queue
//
// Needs no default constructor and no assignment of T; moves where T moves, copies where T copies. It outlives what gave it.
// Allocates nothing, but for a constructor's `object` of more than 15 bytes.
//
// Failure: `*`, `->` without a value throw Misuse; value() throws the exception that belongs to the reason (ended_early.h).
// Thread safety: that of T.

#include <concepts>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mothreads/ended.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/shared_name.h"

namespace mothreads::inline v0 {

namespace internal {
[[noreturn]] void throw_no_value(Why why, const SharedName& object);
[[noreturn]] void fail_without_value(Why why, const SharedName& object);
[[noreturn]] void fail_ready_without_value();
}  // namespace internal

template <typename T>
class [[nodiscard("it has the value, or says why there is none")]] Result {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T>,
                "a Result holds a value of its own: for a reference use a pointer or a std::reference_wrapper");
  static constexpr bool kIsReason = std::is_same_v<T, Why> || std::is_same_v<T, Ended>;  // then Result(why) would mean two things
  static constexpr bool kMovesSafely = std::is_nothrow_move_constructible_v<T>;

 public:
  using value_type = T;

  // A value.
  template <typename... Args>
    requires std::constructible_from<T, Args...>
  explicit Result(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...), why_(Why::ready) {}
  explicit(false) Result(T&& value)
    requires(!kIsReason)
      : Result(std::in_place, std::move(value)) {}
  explicit(false) Result(const T& value)
    requires(!kIsReason && std::copy_constructible<T>)
      : Result(std::in_place, value) {}
  // None; `object` names what it was to come from. Throws Misuse for `ready`.
  explicit(false) Result(Why why, std::string_view object = {}) : object_(object), why_(why) {
    if (why == Why::ready) [[unlikely]] internal::fail_ready_without_value();
  }

  Result(Result&& other) noexcept(kMovesSafely) { begin_as(std::move(other)); }
  Result(const Result& other)
    requires std::copy_constructible<T>
  {
    begin_as(other);
  }
  // What a move constructor of T throws leaves it `closed`.
  Result& operator=(Result&& other) noexcept(kMovesSafely) {
    if (this != std::addressof(other)) replace_by(std::move(other));
    return *this;
  }
  Result& operator=(const Result& other)
    requires std::copy_constructible<T>
  {
    return *this = Result(other);
  }
  ~Result() { end(); }

  // True when it has a value.
  explicit operator bool() const noexcept { return why_ == Why::ready; }
  Why why() const noexcept { return why_; }  // ready, closed, timed_out or stopped

  T& operator*() & { return there(); }
  const T& operator*() const& { return there(); }
  T&& operator*() && { return std::move(there()); }
  T* operator->() { return std::addressof(there()); }
  const T* operator->() const { return std::addressof(there()); }

  // The value, or throws what belongs to the reason.
  T value() && { return std::move(must_have()); }
  T& value() & { return must_have(); }
  const T& value() const& { return must_have(); }

  // Puts a value in the place of what it has.
  template <typename... Args>
    requires std::constructible_from<T, Args...>
  T& emplace(Args&&... args) {
    end();
    return begin_with_value(std::forward<Args>(args)...);
  }

  // True when it has that value.
  friend bool operator==(const Result& result, const T& value)
    requires(!kIsReason && requires {
      { value == value } -> std::convertible_to<bool>;
    })
  {
    return result.why_ == Why::ready && result.value_ == value;
  }

  // For the library: `object` without an allocation.
  Result(Why why, const internal::SharedName& object, internal::Access) noexcept : object_(object), why_(why) {}
  // The name of where the value was to come from; only of a Result without a value.
  const internal::SharedName& object(internal::Access) const noexcept { return object_; }

 private:
  void end() noexcept {
    if (why_ == Why::ready) {
      std::destroy_at(std::addressof(value_));
    } else {
      std::destroy_at(std::addressof(object_));
    }
  }
  void begin_without_value() noexcept {
    std::construct_at(std::addressof(object_));
    why_ = Why::closed;
  }
  // Has no value and no name before.
  template <typename... Args>
  T& begin_with_value(Args&&... args) {
    if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
      std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
    } else {
      try {
        std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
      } catch (...) {
        begin_without_value();
        throw;
      }
    }
    why_ = Why::ready;
    return value_;
  }
  template <typename Other>
  void begin_as(Other&& other) {
    if (other.why_ == Why::ready) {
      begin_with_value(std::forward<Other>(other).value_);
    } else {
      std::construct_at(std::addressof(object_), std::forward<Other>(other).object_);
      why_ = other.why_;
    }
  }
  void replace_by(Result&& other) noexcept(kMovesSafely) {
    end();
    begin_as(std::move(other));
  }
  T& there() {
    if (why_ != Why::ready) [[unlikely]] internal::fail_without_value(why_, object_);
    return value_;
  }
  const T& there() const {
    if (why_ != Why::ready) [[unlikely]] internal::fail_without_value(why_, object_);
    return value_;
  }
  T& must_have() {
    if (why_ != Why::ready) [[unlikely]] internal::throw_no_value(why_, object_);
    return value_;
  }
  const T& must_have() const {
    if (why_ != Why::ready) [[unlikely]] internal::throw_no_value(why_, object_);
    return value_;
  }

  union {
    T value_;                      // when it is `ready`
    internal::SharedName object_;  // else
  };
  Why why_;
};

}  // namespace mothreads
