#pragma once

// Names of process variables, as verbs take them for several at once.

#include <concepts>
#include <initializer_list>
#include <ranges>
#include <string_view>
#include <vector>

namespace catools::inline v0::internal {

// A range of what converts to a std::string_view, and is no text itself.
template <typename R>
concept NameRange = std::ranges::input_range<R> && std::convertible_to<std::ranges::range_reference_t<R>, std::string_view> &&
                    std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> && !std::convertible_to<R, std::string_view>;

using NameList = std::vector<std::string_view>;

// Valid while the range is.
template <NameRange R>
NameList names_of(const R& names) {
  NameList all;
  if constexpr (std::ranges::sized_range<const R>) all.reserve(std::ranges::size(names));
  for (const auto& name : names) all.emplace_back(name);
  return all;
}

}  // namespace catools::inline v0::internal
