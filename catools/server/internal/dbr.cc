#include "catools/server/internal/dbr.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "catools/server/internal/wire.h"

namespace catools::inline v0::internal {

namespace {

// By the type of the cells.
constexpr std::size_t kOffsets[5][kCellTypes] = {
    {0, 0, 0, 0, 0, 0, 0},
    {4, 4, 4, 4, 5, 4, 8},
    {12, 14, 12, 14, 15, 12, 16},
    {4, 24, 40, 422, 19, 36, 64},
    {4, 28, 48, 422, 21, 44, 80},
};
constexpr std::int64_t kEpoch = 631'152'000;  // 1990-01-01, in seconds of Unix

void append_alarm(std::string& out, const Sample& sample) {
  append_number(out, static_cast<std::uint16_t>(sample.condition));
  append_number(out, static_cast<std::uint16_t>(sample.severity));
}

void append_time(std::string& out, absl::Time time) {
  const absl::Time epoch = absl::FromUnixSeconds(kEpoch);
  const absl::Time last = epoch + absl::Seconds(std::numeric_limits<std::uint32_t>::max());
  const std::int64_t nanoseconds = absl::ToInt64Nanoseconds(std::clamp(time, epoch, last) - epoch);
  append_number(out, static_cast<std::uint32_t>(nanoseconds / 1'000'000'000));
  append_number(out, static_cast<std::uint32_t>(nanoseconds % 1'000'000'000));
}

template <typename Number>
Number limit_as(double limit) {
  if constexpr (std::is_floating_point_v<Number>) {
    return static_cast<Number>(limit);
  } else {
    if (std::isnan(limit)) return 0;
    constexpr auto kLeast = static_cast<double>(std::numeric_limits<Number>::min());
    constexpr auto kMost = static_cast<double>(std::numeric_limits<Number>::max());
    return static_cast<Number>(std::clamp(limit, kLeast, kMost));
  }
}

template <typename Number>
void append_limits(std::string& out, const Limits& limits, Form form) {
  const double graphic[] = {limits.high_display, limits.low_display, limits.high_alarm, limits.high_warning, limits.low_warning, limits.low_alarm};
  for (const double limit : graphic) append_number(out, limit_as<Number>(limit));
  if (form != Form::control) return;
  append_number(out, limit_as<Number>(limits.high_control));
  append_number(out, limit_as<Number>(limits.low_control));
}

void append_choices(std::string& out, const std::vector<std::string>& texts) {
  const std::size_t count = std::min(texts.size(), kMaxChoices);
  append_number(out, static_cast<std::uint16_t>(count));
  for (std::size_t i = 0; i < count; ++i) append_text(out, std::string_view(texts[i]).substr(0, kChoiceSize - 1), kChoiceSize);
  out.append((kMaxChoices - count) * kChoiceSize, '\0');
}

// Behind the alarm.
void append_properties(std::string& out, const Layout& layout, const Properties& properties) {
  const auto append_units = [&] { append_text(out, std::string_view(properties.units).substr(0, kUnitsSize - 1), kUnitsSize); };
  const auto append_precision = [&] {
    append_number(out, static_cast<std::int16_t>(std::max(properties.precision, 0)));
    out.append(2, '\0');
  };
  switch (layout.cell) {
    case CellType::string: break;
    case CellType::choice: append_choices(out, properties.texts); break;
    case CellType::int16:
      append_units();
      append_limits<std::int16_t>(out, properties.limits, layout.form);
      break;
    case CellType::byte:
      append_units();
      append_limits<std::uint8_t>(out, properties.limits, layout.form);
      break;
    case CellType::int32:
      append_units();
      append_limits<std::int32_t>(out, properties.limits, layout.form);
      break;
    case CellType::float32:
      append_precision();
      append_units();
      append_limits<float>(out, properties.limits, layout.form);
      break;
    case CellType::float64:
      append_precision();
      append_units();
      append_limits<double>(out, properties.limits, layout.form);
      break;
  }
}

}  // namespace

std::shared_ptr<Sample> copy_of(const Sample& sample) {
  Cells cells = std::visit(
      [](const auto& all) {
        auto copy = all;
        return Cells(std::move(copy));
      },
      sample.cells);
  return std::make_shared<Sample>(Sample{.cells = std::move(cells),
                                         .properties = sample.properties,
                                         .severity = sample.severity,
                                         .condition = sample.condition,
                                         .time = sample.time,
                                         .number = sample.number,
                                         .events = sample.events,
                                         .unacknowledged = sample.unacknowledged,
                                         .acknowledges_transient = sample.acknowledges_transient});
}

std::optional<Layout> layout_of(std::uint16_t type) {
  if (type < 5 * kCellTypes) {
    const std::size_t form = type / kCellTypes;
    const std::size_t cell = type % kCellTypes;
    return Layout{static_cast<Form>(form), static_cast<CellType>(cell), kOffsets[form][cell]};
  }
  switch (type) {
    case 35: return Layout{Form::acknowledge_transient, CellType::choice, 0};
    case 36: return Layout{Form::acknowledge, CellType::choice, 0};
    case 37: return Layout{Form::status_acknowledge, CellType::string, 8};
    case 38: return Layout{Form::class_name, CellType::string, 0};
    default: return std::nullopt;
  }
}

std::size_t payload_size(const Layout& layout, std::size_t count) { return layout.offset + std::max<std::size_t>(count, 1) * bytes_of(layout.cell); }

void append_prefix(std::string& out, const Layout& layout, const Sample& sample) {
  const std::size_t begin = out.size();
  switch (layout.form) {
    case Form::plain:
    case Form::class_name:
    case Form::acknowledge:
    case Form::acknowledge_transient: break;
    case Form::status: append_alarm(out, sample); break;
    case Form::time:
      append_alarm(out, sample);
      append_time(out, sample.time);
      break;
    case Form::graphic:
    case Form::control:
      append_alarm(out, sample);
      append_properties(out, layout, *sample.properties);
      break;
    case Form::status_acknowledge:
      append_alarm(out, sample);
      append_number(out, static_cast<std::uint16_t>(sample.acknowledges_transient));
      append_number(out, static_cast<std::uint16_t>(sample.unacknowledged));
      break;
  }
  out.append(begin + layout.offset - out.size(), '\0');
}

}  // namespace catools::inline v0::internal
