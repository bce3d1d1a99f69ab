#pragma once

// Types of values that a template may not take for granted: each can be moved, and has something that values seldom have.

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include "mothreads/ended.h"

namespace mothreads::inline v0::testing {

// Moves, and cannot be assigned.
struct Ticket {
  const int number;
  explicit Ticket(int its_number) : number(its_number) {}
  Ticket(Ticket&&) noexcept = default;
};

struct Aggregate {
  int number;
  std::string text;
};

struct alignas(128) OverAligned {
  int number;
};

// Its address is not what & gives.
struct Unaddressed {
  int number;
  void operator&() const = delete;
};

// Is false, and says so when asked.
struct Falsehood {
  int number;
  explicit operator bool() const { return false; }
};

template <typename T>
struct Payload;

template <typename T>
  requires requires(T value) { value.number; }
struct Payload<T> {
  static T make() {
    if constexpr (std::is_same_v<T, Aggregate>) {
      return {7, "seven"};
    } else {
      return T{7};
    }
  }
  static bool is_it(const T& value) { return value.number == 7 && reinterpret_cast<std::uintptr_t>(std::addressof(value)) % alignof(T) == 0; }
};

template <typename T>
  requires std::is_same_v<T, int> || std::is_same_v<T, bool> || std::is_same_v<T, std::string> || std::is_same_v<T, Why> ||
           std::is_same_v<T, Ended> || std::is_same_v<T, std::optional<int>> || std::is_same_v<T, std::optional<std::optional<int>>> ||
           std::is_same_v<T, std::array<int, 3>>
struct Payload<T> {
  static T make() {
    if constexpr (std::is_same_v<T, std::string>) {
      return std::string(100, 'x');
    } else if constexpr (std::is_same_v<T, Why> || std::is_same_v<T, Ended>) {
      return Why::timed_out;
    } else if constexpr (std::is_same_v<T, std::array<int, 3>>) {
      return {1, 2, 3};
    } else {
      return T{};  // 0, false, nothing
    }
  }
  static bool is_it(const T& value) { return value == make(); }
};

template <>
struct Payload<std::unique_ptr<int>> {
  static std::unique_ptr<int> make() { return std::make_unique<int>(7); }
  static bool is_it(const std::unique_ptr<int>& value) { return value != nullptr && *value == 7; }
};

template <>
struct Payload<std::exception_ptr> {
  static std::exception_ptr make() { return std::make_exception_ptr(7); }
  static bool is_it(const std::exception_ptr& value) {
    try {
      std::rethrow_exception(value);
    } catch (int number) {
      return number == 7;
    }
  }
};

using Payloads = ::testing::Types<int, bool, std::string, std::unique_ptr<int>, Ticket, Aggregate, OverAligned, Unaddressed, Falsehood,
                                  std::exception_ptr, Why, Ended, std::optional<int>, std::optional<std::optional<int>>, std::array<int, 3>>;

}  // namespace mothreads::testing
