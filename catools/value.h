#pragma once

// A value of a process variable as it came, with what the server said of it.
//
//     ca::Value v = ca::caget("SR-DI-DCCT-01:SIGNAL", {.format = ca::Format::time});
//     print(v.name(), v.time(), to_string(v.severity()), v.as<double>());
//     for (double x : v.span<double>()) ...                      // an array of doubles, without a copy
//
// as<T>() converts, for T a number, a bool, a std::string, or a std::vector of these. A value that does not fit is an Error, never cut: 3.5 as
// an int, 300 as a std::uint8_t, a text that is no number, an array of two as a double. A number as a float is rounded, and must be in range. An
// enumeration is its number, or its text where Format::control has brought the texts. An array of uint8 as a std::string is the text up to the
// first zero byte.
//
// Whether it is an array is decided by how many elements the variable can have, not by how many came: a waveform with one element, or with none, is
// an array. Text is the server's bytes. Thread safety: as a constant. Copies share nothing that changes.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "catools/alarm.h"
#include "catools/error.h"
#include "catools/limits.h"

namespace catools::inline v0 {

// The types that travel, by their numbers in Channel Access. Others are sent as one of these: 64 bits as float64, an unsigned 16 bits as int32.
enum class Type : std::uint8_t { string, int16, float32, enumeration, uint8, int32, float64 };
std::string_view to_string(Type type) noexcept;  // as cainfo has it: "long", "double" ...

// The information that a verb asks for beside the value.
enum class Format : std::uint8_t {
  raw,              // nothing
  time,             // alarm and time stamp
  control,          // alarm, units, limits, precision, the texts of an enumeration; of a string: as `time`
  acknowledgement,  // alarm, and what is acknowledged of it; the value comes as text, whatever type was asked for
  class_name,       // in place of the value the class of the variable, as text: of an IOC the type of its record
};

// A choice of an enumeration, by its number.
struct Enum {
  std::uint16_t index = 0;
  friend bool operator==(Enum, Enum) = default;
};

// The information of Format::control.
struct Control {
  std::string units;
  Limits limits;
  std::optional<int> precision;    // digits behind the point, of a float
  std::vector<std::string> texts;  // the choices of an enumeration
};

// The information of Format::acknowledgement: alarms that operators have still to acknowledge.
struct Acknowledgement {
  Severity severity = Severity::none;  // the highest that nobody has acknowledged
  bool is_for_transient = true;        // also of an alarm that has passed
};

// Nothing; a scalar of each Type in their order; an array of each Type in their order.
using Data = std::variant<std::monostate, std::string, std::int16_t, float, Enum, std::uint8_t, std::int32_t, double, std::vector<std::string>,
                          std::vector<std::int16_t>, std::vector<float>, std::vector<Enum>, std::vector<std::uint8_t>,
                          std::vector<std::int32_t>, std::vector<double>>;

// The parts of a Value.
struct ValueParts {
  std::shared_ptr<const std::string> name;
  Data data = {};  // none for the notice that the server has gone, or refuses
  Code code = Code::normal;
  std::string text = {};  // belongs to a code that is not normal
  std::size_t element_count = 0;
  std::optional<Severity> severity = std::nullopt;
  Condition condition = Condition::none;
  std::optional<absl::Time> time = std::nullopt;
  std::shared_ptr<const Control> control = nullptr;
  std::optional<Acknowledgement> acknowledgement = std::nullopt;
  std::uint64_t update_count = 1;
};

class Value {
 public:
  explicit Value(ValueParts parts) : parts_(std::move(parts)) {}

  const std::string& name() const noexcept { return *parts_.name; }
  // False of a notice in a subscription: the server has gone (Code::disconnected), or refuses to send.
  bool ok() const noexcept { return parts_.code == Code::normal; }
  Code code() const noexcept { return parts_.code; }
  // The Error of a notice.
  Error error() const;

  const Data& data() const noexcept { return parts_.data; }
  Type type() const noexcept;
  bool is_array() const noexcept { return parts_.data.index() > 7; }
  std::size_t size() const noexcept;                                            // elements that came
  std::size_t element_count() const noexcept { return parts_.element_count; }  // that the variable can have

  // The alarm comes with Format::time, Format::control and Format::acknowledgement; else there is none.
  Severity severity() const noexcept { return parts_.severity.value_or(Severity::none); }
  Condition condition() const noexcept { return parts_.condition; }
  bool has_alarm() const noexcept { return parts_.severity.has_value(); }  // whether the format brought one
  // The time comes with Format::time, to the nanosecond; else there is none.
  const std::optional<absl::Time>& time() const noexcept { return parts_.time; }
  // Null without Format::control. Valid while the Value is.
  const Control* control() const noexcept { return parts_.control.get(); }
  // None without Format::acknowledgement.
  const std::optional<Acknowledgement>& acknowledgement() const noexcept { return parts_.acknowledgement; }
  // The number of updates that this one stands for, in a subscription that merges.
  std::uint64_t update_count() const noexcept { return parts_.update_count; }

  // Throws an Error where it does not fit.
  template <typename T>
  T as() const&;
  template <typename T>
  T as() &&;
  // An array of that very type; of another, throws an Error. Valid while the Value is.
  template <typename T>
  std::span<const T> span() const {
    if (const auto* array = std::get_if<std::vector<T>>(&parts_.data)) return *array;
    refuse("is no array of the asked type");
  }

  // For the library: it stands for so many more.
  void count_merged(std::uint64_t updates) noexcept { parts_.update_count += updates; }
  // For the library: to fill it, before anybody else has it.
  ValueParts& parts() noexcept { return parts_; }

 private:
  [[noreturn]] void refuse(std::string_view text) const;
  [[noreturn]] void refuse_number(double number, std::string_view type) const;
  double number_at(std::size_t index) const;
  std::string text_at(std::size_t index) const;
  std::string whole_text() const;
  void check_one() const;
  template <typename T>
  T narrowed(double number) const;
  template <typename T>
  T element(std::size_t index) const;

  ValueParts parts_;
};

// --- implementation --------------------------------------------------------------------------------------------------------------

namespace internal {

template <typename T>
inline constexpr bool kIsVector = false;
template <typename E, typename A>
inline constexpr bool kIsVector<std::vector<E, A>> = true;

// A number of Channel Access as a T; nothing where it does not fit.
template <typename T>
std::optional<T> fitting(double number) {
  if constexpr (std::is_same_v<T, bool>) {
    if (number == 0 || number == 1) return number == 1;
  } else if constexpr (std::is_integral_v<T>) {
    // Both limits are exact as a double: the upper is a power of two.
    const double lowest = static_cast<double>(std::numeric_limits<T>::min());
    const double beyond = std::ldexp(1.0, std::numeric_limits<T>::digits);
    if (number >= lowest && number < beyond && std::trunc(number) == number) return static_cast<T>(number);
  } else if constexpr (sizeof(T) < sizeof(double)) {
    if (!std::isfinite(number) || std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max())) return static_cast<T>(number);
  } else {
    return static_cast<T>(number);
  }
  return std::nullopt;
}

template <typename T>
constexpr std::string_view type_name() {
  if constexpr (std::is_same_v<T, bool>) return "a bool";
  if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? "a float" : "a double";
  constexpr int kBytes = sizeof(T);
  if constexpr (std::is_unsigned_v<T>) {
    if constexpr (kBytes == 1) return "8 bits without a sign";
    if constexpr (kBytes == 2) return "16 bits without a sign";
    return kBytes == 4 ? "32 bits without a sign" : "64 bits without a sign";
  }
  if constexpr (kBytes == 1) return "8 bits";
  if constexpr (kBytes == 2) return "16 bits";
  return kBytes == 4 ? "32 bits" : "64 bits";
}

}  // namespace internal

template <typename T>
T Value::narrowed(double number) const {
  const std::optional<T> fits = internal::fitting<T>(number);
  if (!fits) [[unlikely]] refuse_number(number, internal::type_name<T>());
  return *fits;
}

template <typename T>
T Value::element(std::size_t index) const {
  if constexpr (std::is_same_v<T, std::string>) {
    return text_at(index);
  } else {
    static_assert(std::is_arithmetic_v<T>, "a Value converts to numbers, bool, std::string, and vectors of these");
    return narrowed<T>(number_at(index));
  }
}

template <typename T>
T Value::as() const& {
  if constexpr (internal::kIsVector<T>) {
    using Element = typename T::value_type;
    if constexpr (std::is_constructible_v<Data, std::in_place_type_t<T>>) {
      if (const T* same = std::get_if<T>(&parts_.data)) return *same;
    }
    T all;
    if (!ok()) error().raise();
    all.reserve(size());
    for (std::size_t i = 0; i < size(); ++i) all.push_back(element<Element>(i));
    return all;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return whole_text();
  } else {
    check_one();
    return element<T>(0);
  }
}

template <typename T>
T Value::as() && {
  if constexpr (internal::kIsVector<T> && std::is_constructible_v<Data, std::in_place_type_t<T>>) {
    if (T* same = std::get_if<T>(&parts_.data)) return std::move(*same);
  }
  return std::as_const(*this).template as<T>();
}

}  // namespace catools::inline v0
