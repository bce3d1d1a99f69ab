#pragma once

// The result of a verb that throws for no single process variable: for each variable a value, or the Error.
//
//     for (const ca::Reply<double>& r : ca::caget_each<double>(names)) {
//       if (r) total += *r;
//       else log::warning("{}", r.error().what());
//     }
//
// Failure: `*`, `->` without a value, and error() with one, throw Misuse; value() throws the Error. Thread safety: that of T.

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "catools/error.h"
#include "mothreads/misuse.h"

namespace catools::inline v0 {

namespace internal {
[[noreturn]] void fail_without_value(const std::string& name);
[[noreturn]] void fail_without_error(const std::string& name);
}  // namespace internal

template <typename T>
class [[nodiscard("it has the value, or says why there is none")]] Reply {
 public:
  Reply(std::shared_ptr<const std::string> name, T value) : name_(std::move(name)), outcome_(std::in_place_index<0>, std::move(value)) {}
  Reply(std::shared_ptr<const std::string> name, Error error) : name_(std::move(name)), outcome_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return outcome_.index() == 0; }
  const std::string& name() const noexcept { return *name_; }
  const std::shared_ptr<const std::string>& shared_name() const noexcept { return name_; }  // for another Reply

  T& operator*() & { return there(); }
  const T& operator*() const& { return const_cast<Reply&>(*this).there(); }
  T&& operator*() && { return std::move(there()); }
  T* operator->() { return &there(); }
  const T* operator->() const { return &**this; }

  // The value, or throws the Error.
  T value() && {
    check();
    return std::move(there());
  }
  const T& value() const& {
    check();
    return **this;
  }

  const Error& error() const {
    if (*this) internal::fail_without_error(*name_);
    return std::get<1>(outcome_);
  }

 private:
  T& there() {
    if (!*this) [[unlikely]] internal::fail_without_value(*name_);
    return std::get<0>(outcome_);
  }
  void check() const {
    if (!*this) [[unlikely]] error().raise();
  }

  std::shared_ptr<const std::string> name_;
  std::variant<T, Error> outcome_;
};

// The reply of a verb that gives no value: a put, a connection.
template <>
class [[nodiscard("it says whether it was done")]] Reply<void> {
 public:
  explicit Reply(std::shared_ptr<const std::string> name) : name_(std::move(name)) {}
  Reply(std::shared_ptr<const std::string> name, Error error) : name_(std::move(name)), error_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return error_.index() == 0; }
  const std::string& name() const noexcept { return *name_; }
  void value() const {
    if (!*this) error().raise();
  }
  const Error& error() const {
    if (*this) internal::fail_without_error(*name_);
    return std::get<1>(error_);
  }

 private:
  std::shared_ptr<const std::string> name_;
  std::variant<std::monostate, Error> error_;
};

}  // namespace catools::inline v0
