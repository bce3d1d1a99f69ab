#include "catools/internal/wire.h"

#include <cadef.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "mothreads/ended.h"

namespace catools::inline v0::internal {
namespace {

constexpr long kTypes = 7;
constexpr long kTime = DBR_TIME_STRING;
constexpr long kControl = DBR_CTRL_STRING;
constexpr std::size_t kTextSize = MAX_STRING_SIZE;
constexpr std::int64_t kEpoch = 631152000;  // 1990, where EPICS begins to count, in seconds of Unix

long number_of(Type type) noexcept { return static_cast<long>(type); }

bool is_long_text(const Native& native, const std::string& name) noexcept { return native.type == DBR_CHAR && name.ends_with('$'); }

std::string text_of(const char* text, std::size_t size) { return {text, std::find(text, text + size, '\0')}; }

// --- from libca ---------------------------------------------------------------------------------------------------------------------

struct TextElement {
  char bytes[kTextSize];
};

template <typename Wire>
auto element_of(const Wire& wire) {
  if constexpr (std::is_same_v<Wire, TextElement>) {
    return text_of(wire.bytes, kTextSize);
  } else if constexpr (std::is_same_v<Wire, Enum>) {
    return wire;
  } else {
    return wire;
  }
}

template <typename Wire>
void take_data(Data& to, const void* from, std::size_t count, bool is_scalar) {
  using Element = decltype(element_of(std::declval<const Wire&>()));
  const auto* const elements = static_cast<const Wire*>(from);
  if (is_scalar && count == 1) {
    to.emplace<Element>(element_of(elements[0]));
  } else if constexpr (std::is_same_v<Wire, TextElement>) {
    auto& all = to.emplace<std::vector<Element>>();
    all.reserve(count);
    for (std::size_t i = 0; i < count; ++i) all.push_back(element_of(elements[i]));
  } else {
    to.emplace<std::vector<Element>>(elements, elements + count);
  }
}

void take_data(Data& to, long base, const void* from, std::size_t count, bool is_scalar) {
  static_assert(sizeof(Enum) == sizeof(dbr_enum_t) && sizeof(std::int32_t) == sizeof(dbr_long_t));
  switch (base) {
    case DBR_STRING: return take_data<TextElement>(to, from, count, is_scalar);
    case DBR_SHORT: return take_data<std::int16_t>(to, from, count, is_scalar);
    case DBR_FLOAT: return take_data<float>(to, from, count, is_scalar);
    case DBR_ENUM: return take_data<Enum>(to, from, count, is_scalar);
    case DBR_CHAR: return take_data<std::uint8_t>(to, from, count, is_scalar);
    case DBR_LONG: return take_data<std::int32_t>(to, from, count, is_scalar);
    default: return take_data<double>(to, from, count, is_scalar);
  }
}

// Every structure with more than the value begins with the alarm.
void take_alarm(ValueParts& parts, const void* from) {
  const auto* const alarm = static_cast<const dbr_sts_short*>(from);
  parts.condition = static_cast<Condition>(alarm->status);
  parts.severity = static_cast<Severity>(alarm->severity);
}

void take_time(ValueParts& parts, const void* from) {
  const epicsTimeStamp& stamp = static_cast<const dbr_time_short*>(from)->stamp;
  parts.time = absl::FromUnixSeconds(kEpoch + stamp.secPastEpoch) + absl::Nanoseconds(stamp.nsec);
}

void take_acknowledgement(ValueParts& parts, const void* from) {
  const auto& wire = *static_cast<const dbr_stsack_string*>(from);
  parts.acknowledgement = Acknowledgement{.severity = static_cast<Severity>(wire.acks), .is_for_transient = wire.ackt != 0};
}

template <typename Wire>
std::shared_ptr<const Control> control_of(const void* from) {
  const auto& wire = *static_cast<const Wire*>(from);
  auto control = std::make_shared<Control>();
  control->units = text_of(wire.units, MAX_UNITS_SIZE);
  Limits& limits = control->limits;
  limits.low_display = static_cast<double>(wire.lower_disp_limit);
  limits.high_display = static_cast<double>(wire.upper_disp_limit);
  limits.low_alarm = static_cast<double>(wire.lower_alarm_limit);
  limits.high_alarm = static_cast<double>(wire.upper_alarm_limit);
  limits.low_warning = static_cast<double>(wire.lower_warning_limit);
  limits.high_warning = static_cast<double>(wire.upper_warning_limit);
  limits.low_control = static_cast<double>(wire.lower_ctrl_limit);
  limits.high_control = static_cast<double>(wire.upper_ctrl_limit);
  if constexpr (requires { wire.precision; }) control->precision = wire.precision;
  return control;
}

std::shared_ptr<const Control> texts_of(const void* from) {
  const auto& wire = *static_cast<const dbr_ctrl_enum*>(from);
  auto control = std::make_shared<Control>();
  const int texts = std::clamp<int>(wire.no_str, 0, MAX_ENUM_STATES);
  for (int i = 0; i < texts; ++i) control->texts.push_back(text_of(wire.strs[i], MAX_ENUM_STRING_SIZE));
  return control;
}

std::shared_ptr<const Control> control_of(long base, const void* from) {
  switch (base) {
    case DBR_SHORT: return control_of<dbr_ctrl_short>(from);
    case DBR_FLOAT: return control_of<dbr_ctrl_float>(from);
    case DBR_ENUM: return texts_of(from);
    case DBR_CHAR: return control_of<dbr_ctrl_char>(from);
    case DBR_LONG: return control_of<dbr_ctrl_long>(from);
    case DBR_DOUBLE: return control_of<dbr_ctrl_double>(from);
    default: return nullptr;
  }
}

// --- to libca -----------------------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(const std::string& name, Code code, std::string_view text) { Error(mothreads::Why::closed, code, name, text).raise(); }

// Whoever reads the text ends it there.
void refuse_zero_byte(std::string_view text, const std::string& name) {
  const std::size_t place = text.find('\0');
  if (place == std::string_view::npos) return;
  refuse(name, Code::bad_string,
         fmt::format("the zero byte at place {} would end the text: put bytes as std::vector<std::uint8_t>", place));
}

void put_text(std::vector<std::byte>& to, std::size_t index, std::string_view text, const std::string& name) {
  refuse_zero_byte(text, name);
  if (text.size() >= kTextSize) {
    refuse(name, Code::bad_string, fmt::format("a text of {} bytes does not fit: Channel Access sends at most {}", text.size(), kTextSize - 1));
  }
  if (!text.empty()) std::memcpy(&to[index * kTextSize], text.data(), text.size());
}

template <typename T>
void put_number(std::vector<std::byte>& to, std::size_t index, double number, const std::string& name) {
  const std::optional<T> fits = fitting<T>(number);
  if (!fits) refuse(name, Code::no_conversion, fmt::format("{} does not fit into {}", number, type_name<T>()));
  std::memcpy(&to[index * sizeof(T)], &*fits, sizeof(T));
}

void put_number(std::vector<std::byte>& to, long type, std::size_t index, double number, const std::string& name) {
  switch (type) {
    case DBR_STRING: return put_text(to, index, fmt::format("{}", number), name);
    case DBR_SHORT: return put_number<std::int16_t>(to, index, number, name);
    case DBR_FLOAT: return put_number<float>(to, index, number, name);
    case DBR_PUT_ACKT:
    case DBR_PUT_ACKS:
    case DBR_ENUM: return put_number<std::uint16_t>(to, index, number, name);
    case DBR_CHAR: {
      // Records have characters with a sign, and without: both are the same byte.
      return number < 0 ? put_number<std::int8_t>(to, index, number, name) : put_number<std::uint8_t>(to, index, number, name);
    }
    case DBR_LONG: return put_number<std::int32_t>(to, index, number, name);
    default: return put_number<double>(to, index, number, name);
  }
}

template <typename T>
double as_number(const T& element) {
  if constexpr (std::is_same_v<T, Enum>) {
    return element.index;
  } else {
    return static_cast<double>(element);
  }
}

// Texts go as texts, which the server converts; to an array of characters as these.
Encoded encode_texts(std::span<const std::string> texts, bool is_scalar, std::optional<Type> datatype, const Native& native,
                     const std::string& name) {
  Encoded encoded;
  const bool as_characters = datatype ? *datatype == Type::uint8 : native.type == DBR_CHAR && native.element_count > 1;
  if (is_scalar && as_characters) {
    const std::string& text = texts[0];
    refuse_zero_byte(text, name);
    if (text.size() > native.element_count) {
      refuse(name, Code::bad_count, fmt::format("a text of {} bytes does not fit: there is room for {}", text.size(), native.element_count));
    }
    const std::size_t ending = text.size() < native.element_count ? 1 : 0;
    encoded.type = DBR_CHAR;
    encoded.count = text.size() + ending;
    encoded.owned.resize(encoded.count);
    if (!text.empty()) std::memcpy(encoded.owned.data(), text.data(), text.size());
    return encoded;
  }
  if (datatype && *datatype != Type::string) refuse(name, Code::bad_type, "a text is sent as a string, or as characters to an array of them");
  encoded.type = DBR_STRING;
  encoded.count = texts.size();
  encoded.owned.resize(texts.size() * kTextSize);
  for (std::size_t i = 0; i < texts.size(); ++i) put_text(encoded.owned, i, texts[i], name);
  return encoded;
}

template <typename T>
Encoded encode_numbers(std::span<const T> numbers, std::size_t index_of_type, long target, const std::string& name) {
  Encoded encoded;
  encoded.type = target;
  encoded.count = numbers.size();
  if (target == static_cast<long>(index_of_type)) {
    encoded.borrowed = numbers.data();
    return encoded;
  }
  encoded.owned.resize(numbers.size() * dbr_value_size[target]);
  for (std::size_t i = 0; i < numbers.size(); ++i) put_number(encoded.owned, target, i, as_number(numbers[i]), name);
  return encoded;
}

long target_of(const Outgoing& outgoing, const Native& native) noexcept {
  switch (outgoing.to) {
    case PutTo::acknowledged_severity: return DBR_PUT_ACKS;
    case PutTo::acknowledge_transient: return DBR_PUT_ACKT;
    case PutTo::value: break;
  }
  return outgoing.datatype ? number_of(*outgoing.datatype) : native.type;
}

}  // namespace

Asked asked_for(const GetPlan& plan, const Native& native, const std::string& name) noexcept {
  Asked asked;
  asked.count = std::min(plan.count, native.element_count);  // 0: those that are there
  asked.type = native.type;
  if (plan.format == Format::acknowledgement) {
    asked.type = DBR_STSACK_STRING;
    return asked;
  }
  if (plan.format == Format::class_name) return {.type = DBR_CLASS_NAME, .count = 1};
  if (plan.datatype) {
    asked.type = number_of(*plan.datatype);
  } else if (plan.wish == Wish::texts || (plan.wish == Wish::text && !(native.type == DBR_CHAR && native.element_count > 1))) {
    asked.type = DBR_STRING;
  } else {
    asked.as_text = plan.wish == Wish::value && is_long_text(native, name);
  }
  if (plan.format == Format::time || (plan.format == Format::control && asked.type == DBR_STRING)) {
    asked.type += kTime;
  } else if (plan.format == Format::control) {
    asked.type += kControl;
  }
  return asked;
}

void decode(ValueParts& parts, std::size_t element_count, bool as_text, long type, long count, const void* value) {
  parts.element_count = element_count;
  const bool is_text = type == DBR_STSACK_STRING || type == DBR_CLASS_NAME;
  const long base = is_text ? DBR_STRING : type % kTypes;
  const auto elements = static_cast<std::size_t>(std::max(count, 0L));
  const void* const first = static_cast<const char*>(value) + dbr_value_offset[type];
  if (as_text) {
    parts.data = text_of(static_cast<const char*>(first), elements);
  } else {
    take_data(parts.data, base, first, elements, element_count == 1 || type == DBR_CLASS_NAME);
  }
  if (type < DBR_STS_STRING) return;
  if (type != DBR_CLASS_NAME) take_alarm(parts, value);
  if (type == DBR_STSACK_STRING) take_acknowledgement(parts, value);
  if (type >= kTime && type < kTime + kTypes) take_time(parts, value);
  if (type >= kControl && type < kControl + kTypes) parts.control = control_of(base, value);
}

Encoded encode(const Outgoing& outgoing, const Native& native, const std::string& name) {
  if (!outgoing.is_exact) {
    refuse(name, Code::no_conversion, "a number of 64 bits does not fit: Channel Access sends it as a double, which would change it");
  }
  const long target = target_of(outgoing, native);
  Encoded encoded = std::visit(
      [&](const auto& data) -> Encoded {
        using T = std::decay_t<decltype(data)>;
        const std::size_t type = (outgoing.data.index() + kTypes - 1) % kTypes;
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::string>>) {
          if (outgoing.to != PutTo::value) refuse(name, Code::bad_type, "an acknowledgement is a number");
        }
        if constexpr (std::is_same_v<T, std::monostate>) {
          refuse(name, Code::bad_type, "there is no value to put");
        } else if constexpr (std::is_same_v<T, std::string>) {
          return encode_texts({&data, 1}, true, outgoing.datatype, native, name);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return encode_texts(data, false, outgoing.datatype, native, name);
        } else if constexpr (kIsVector<T>) {
          return encode_numbers<typename T::value_type>(data, type, target, name);
        } else {
          return encode_numbers<T>({&data, 1}, type, target, name);
        }
      },
      outgoing.data);
  if (encoded.count == 0 || encoded.count > native.element_count) {
    refuse(name, Code::bad_count, fmt::format("{} elements do not fit: there is room for 1 to {}", encoded.count, native.element_count));
  }
  return encoded;
}

}  // namespace catools::inline v0::internal
