#include "catools/server/internal/cells.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>

#include <fmt/core.h>

#include "catools/server/internal/wire.h"

namespace catools::inline v0::internal {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

double number_in(std::string_view text) {
  std::string_view digits = trimmed(text);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const bool is_hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
  double number = 0;
  std::from_chars_result result{};
  if (is_hexadecimal) {
    std::uint32_t whole = 0;
    result = std::from_chars(digits.data() + 2, digits.data() + digits.size(), whole, 16);
    number = whole;
  } else {
    result = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  }
  if (digits.empty() || result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) {
    throw ConversionError(fmt::format("\"{}\" is no number", text));
  }
  return number;
}

std::uint16_t choice_in(std::string_view text, const Properties& properties) {
  for (std::size_t i = 0; i < properties.texts.size(); ++i) {
    if (properties.texts[i] == text) return static_cast<std::uint16_t>(i);
  }
  std::uint16_t number = 0;
  const std::string_view digits = trimmed(text);
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) {
    throw ConversionError(fmt::format("\"{}\" is none of the choices", text));
  }
  return number;
}

template <typename To>
To whole_number(double number, Fit fit) {
  constexpr auto kLeast = static_cast<double>(std::numeric_limits<To>::min());
  constexpr auto kMost = static_cast<double>(std::numeric_limits<To>::max());
  const double whole = std::trunc(number);
  if (fit == Fit::refuse && !(whole >= kLeast && whole <= kMost)) {
    throw ConversionError(fmt::format("{} is not within {} to {}", number, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
  }
  if (std::isnan(number)) return 0;
  if (whole <= kLeast) return std::numeric_limits<To>::min();
  if (whole >= kMost) return std::numeric_limits<To>::max();
  return static_cast<To>(whole);
}

template <typename From>
std::string as_text(From from, const Properties& properties) {
  if constexpr (std::is_same_v<From, std::uint16_t>) {
    return from < properties.texts.size() ? properties.texts[from] : std::to_string(from);
  } else if constexpr (std::is_floating_point_v<From>) {
    if (properties.precision == Properties::kNoPrecision) return fmt::format("{}", from);
    return text_of(static_cast<double>(from), properties.precision);
  } else {
    return std::to_string(from);
  }
}

template <typename To, typename From>
To convert_cell(const From& from, const Properties& properties, Fit fit) {
  constexpr bool kFromText = std::is_same_v<From, std::string>;
  if constexpr (std::is_same_v<To, std::string>) {
    return as_text(from, properties);
  } else if constexpr (std::is_same_v<To, std::uint16_t> && kFromText) {
    return choice_in(from, properties);
  } else if constexpr (kFromText && std::is_integral_v<To>) {
    return whole_number<To>(number_in(from), fit);
  } else if constexpr (kFromText) {
    return static_cast<To>(number_in(from));
  } else if constexpr (std::is_integral_v<To>) {
    return whole_number<To>(static_cast<double>(from), fit);
  } else {
    return static_cast<To>(from);
  }
}

template <typename To>
std::vector<To> convert_all(const Cells& cells, const Properties& properties, Fit fit) {
  std::vector<To> converted;
  std::visit(
      [&](const auto& from) {
        using From = typename std::remove_cvref_t<decltype(from)>::value_type;
        if constexpr (std::is_same_v<From, To>) {
          converted = from;
        } else {
          converted.reserve(from.size());
          for (const From& cell : from) converted.push_back(convert_cell<To>(cell, properties, fit));
        }
      },
      cells);
  return converted;
}

template <std::size_t... Index>
Cells no_cells_of(std::size_t index, std::index_sequence<Index...>) {
  Cells cells;
  static_cast<void>(((index == Index ? (cells.emplace<Index>(), true) : false) || ...));
  return cells;
}

}  // namespace

std::size_t count_of(const Cells& cells) {
  return std::visit([](const auto& vector) { return vector.size(); }, cells);
}

std::size_t bytes_of(CellType type) {
  constexpr std::size_t kSizes[kCellTypes] = {kStringSize, 2, 4, 2, 1, 4, 8};
  return kSizes[static_cast<std::size_t>(type)];
}

Cells no_cells(CellType type) { return no_cells_of(static_cast<std::size_t>(type), std::make_index_sequence<kCellTypes>()); }

std::string text_of(double number, int precision) {
  // An IOC's rules: beyond 1e7 no more than three digits, and beyond 1e16, or with more than eight digits, the exponential form.
  constexpr double kFewDigits = 1e7;
  constexpr double kExponential = 1e16;
  if (!std::isfinite(number)) return fmt::format("{}", number);
  if (precision > 8 || std::fabs(number) > kExponential) return fmt::format("{:.{}e}", number, std::min(precision, 17));
  if (std::fabs(number) > kFewDigits) precision = std::min(precision, 3);
  return fmt::format("{:.{}f}", number, precision);
}

Cells convert(const Cells& cells, CellType to, const Properties& properties, Fit fit) {
  switch (to) {
    case CellType::string: return convert_all<std::string>(cells, properties, fit);
    case CellType::int16: return convert_all<std::int16_t>(cells, properties, fit);
    case CellType::float32: return convert_all<float>(cells, properties, fit);
    case CellType::choice: return convert_all<std::uint16_t>(cells, properties, fit);
    case CellType::byte: return convert_all<std::uint8_t>(cells, properties, fit);
    case CellType::int32: return convert_all<std::int32_t>(cells, properties, fit);
    case CellType::float64: return convert_all<double>(cells, properties, fit);
  }
  throw ConversionError("no such type");
}

Cells convert(const Cells& cells, std::size_t most, CellType to, const Properties& properties, Fit fit) {
  if (count_of(cells) <= most) return convert(cells, to, properties, fit);
  const Cells first = std::visit(
      [most](const auto& all) { return Cells(std::decay_t<decltype(all)>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most))); }, cells);
  return convert(first, to, properties, fit);
}

void check_choices(const Cells& cells, const Properties& properties) {
  const auto* choices = std::get_if<std::vector<std::uint16_t>>(&cells);
  if (choices == nullptr) return;
  for (const std::uint16_t choice : *choices) {
    if (choice >= properties.texts.size()) throw ConversionError(fmt::format("there is no choice {}: there are {}", choice, properties.texts.size()));
  }
}

void append_cells(std::string& out, const Cells& cells, std::size_t first, std::size_t count) {
  std::visit(
      [&](const auto& vector) {
        using Cell = typename std::remove_cvref_t<decltype(vector)>::value_type;
        if constexpr (std::is_same_v<Cell, std::string>) {
          for (std::size_t i = first; i < first + count; ++i) append_text(out, std::string_view(vector[i]).substr(0, kStringSize - 1), kStringSize);
        } else {
          const std::size_t at = out.size();
          out.resize(at + count * sizeof(Cell));
          copy_to_wire(out.data() + at, vector.data() + first, count);
        }
      },
      cells);
}

void take_cells(Cells& cells, std::string_view bytes) {
  std::visit(
      [&](auto& vector) {
        using Cell = typename std::remove_cvref_t<decltype(vector)>::value_type;
        if constexpr (std::is_same_v<Cell, std::string>) {
          for (std::size_t at = 0; at + kStringSize <= bytes.size(); at += kStringSize) {
            vector.emplace_back(text_in(bytes.substr(at, kStringSize)).substr(0, kStringSize - 1));
          }
        } else {
          const std::size_t before = vector.size();
          const std::size_t count = bytes.size() / sizeof(Cell);
          vector.resize(before + count);
          copy_from_wire(vector.data() + before, bytes.data(), count);
        }
      },
      cells);
}

}  // namespace catools::inline v0::internal
