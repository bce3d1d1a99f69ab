#include "catools/value.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

namespace catools::inline v0 {
namespace {

template <typename T>
inline constexpr bool kIsArray = internal::kIsVector<T>;

constexpr std::array<std::string_view, 7> kTypeNames = {"string", "short", "float", "enum", "char", "long", "double"};

// The whole text must be a number, but for spaces around it.
std::optional<double> parsed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The text at `index`: that of a scalar is the scalar; without data the text is empty.
template <typename R, typename F>
R with_element(const Data& data, std::size_t index, const F& f) {
  return std::visit(
      [&](const auto& all) -> R {
        using T = std::decay_t<decltype(all)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return f(std::string());
        } else if constexpr (kIsArray<T>) {
          return f(all[index]);
        } else {
          return f(all);
        }
      },
      data);
}

}  // namespace

std::string_view to_string(Type type) noexcept {
  const auto number = static_cast<std::size_t>(type);
  return number < kTypeNames.size() ? kTypeNames[number] : "unknown";
}

Error Value::error() const { return Error(mothreads::Why::closed, parts_.code, name(), parts_.text); }

Type Value::type() const noexcept { return parts_.data.index() == 0 ? Type::string : static_cast<Type>((parts_.data.index() - 1) % 7); }

std::size_t Value::size() const noexcept {
  return std::visit(
      [](const auto& all) -> std::size_t {
        using T = std::decay_t<decltype(all)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return 0;
        } else if constexpr (kIsArray<T>) {
          return all.size();
        } else {
          return 1;
        }
      },
      parts_.data);
}

void Value::refuse(std::string_view text) const {
  if (!ok()) error().raise();
  Error(mothreads::Why::closed, Code::no_conversion, name(), text).raise();
}

void Value::refuse_number(double number, std::string_view type) const { refuse(fmt::format("{} does not fit into {}", number, type)); }

void Value::check_one() const {
  if (size() == 1) return;
  refuse(size() == 0 ? std::string("has no element") : fmt::format("has {} elements, where one was asked for", size()));
}

double Value::number_at(std::size_t index) const {
  return with_element<double>(parts_.data, index, [this](const auto& element) -> double {
    using T = std::decay_t<decltype(element)>;
    if constexpr (std::is_same_v<T, std::string>) {
      const std::optional<double> number = parsed(element);
      if (!number) refuse(fmt::format("\"{}\" is no number", element));
      return *number;
    } else if constexpr (std::is_same_v<T, Enum>) {
      return element.index;
    } else {
      return static_cast<double>(element);
    }
  });
}

std::string Value::text_at(std::size_t index) const {
  return with_element<std::string>(parts_.data, index, [this](const auto& element) -> std::string {
    using T = std::decay_t<decltype(element)>;
    if constexpr (std::is_same_v<T, std::string>) {
      return element;
    } else if constexpr (std::is_same_v<T, Enum>) {
      const bool is_known = parts_.control != nullptr && element.index < parts_.control->texts.size();
      return is_known ? parts_.control->texts[element.index] : fmt::format("{}", element.index);
    } else {
      return fmt::format("{}", element);
    }
  });
}

std::string Value::whole_text() const {
  if (const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&parts_.data)) return {bytes->begin(), std::find(bytes->begin(), bytes->end(), 0)};
  check_one();
  return text_at(0);
}

}  // namespace catools::inline v0
