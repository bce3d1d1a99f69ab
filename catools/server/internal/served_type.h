#pragma once

// Which cells a C++ type is served as.

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catools/server/internal/cells.h"

namespace catools::inline v0::internal {

template <typename T>
struct CellOf;
template <typename T>
  requires std::is_enum_v<T>
struct CellOf<T> {
  using Type = std::uint16_t;
};
template <>
struct CellOf<std::string> {
  using Type = std::string;
};
template <>
struct CellOf<std::int16_t> {
  using Type = std::int16_t;
};
template <>
struct CellOf<float> {
  using Type = float;
};
template <>
struct CellOf<std::uint8_t> {
  using Type = std::uint8_t;
};
template <>
struct CellOf<char> {
  using Type = std::uint8_t;
};
template <>
struct CellOf<std::int32_t> {
  using Type = std::int32_t;
};
template <>
struct CellOf<double> {
  using Type = double;
};

// A single value.
template <typename T>
struct ServedType {
  using Cell = typename CellOf<T>::Type;
  static constexpr bool kIsArray = false;
  static constexpr bool kIsEnum = std::is_enum_v<T>;

  static Cells cells_of(T&& value) {
    std::vector<Cell> cells;
    if constexpr (std::is_same_v<T, Cell>) {
      cells.push_back(std::move(value));
    } else {
      cells.push_back(static_cast<Cell>(value));
    }
    return cells;
  }
  static T value_of(const Cells& cells) { return static_cast<T>(std::get<std::vector<Cell>>(cells).front()); }
};

template <typename E>
struct ServedType<std::vector<E>> {
  using Cell = typename CellOf<E>::Type;
  static constexpr bool kIsArray = true;
  static constexpr bool kIsEnum = std::is_enum_v<E>;

  static Cells cells_of(std::vector<E>&& value) {
    if constexpr (std::is_same_v<E, Cell>) {
      return std::move(value);
    } else {
      std::vector<Cell> cells(value.size());
      std::transform(value.begin(), value.end(), cells.begin(), [](E one) { return static_cast<Cell>(one); });
      return cells;
    }
  }
  static std::vector<E> value_of(const Cells& cells) {
    const std::vector<Cell>& from = std::get<std::vector<Cell>>(cells);
    if constexpr (std::is_same_v<E, Cell>) {
      return from;
    } else {
      std::vector<E> value(from.size());
      std::transform(from.begin(), from.end(), value.begin(), [](Cell one) { return static_cast<E>(one); });
      return value;
    }
  }
};

template <typename T>
concept Servable = requires { typename ServedType<T>::Cell; };

}  // namespace catools::inline v0::internal
