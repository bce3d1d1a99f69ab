#pragma once

// The payloads of values: what stands before the cells, by the type that a client asks for.
//
// A type is the type of the cells, and what comes with them: nothing (plain), the alarm (status), the time, what a display needs (graphic), or that
// and what a control needs. The layouts are those of the C structures of EPICS' db_access.h, with their padding.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "catools/alarm.h"
#include "catools/server/internal/cells.h"

namespace catools::inline v0::internal {

// A value of a process variable at a time. Never changed: whoever wants another makes one.
struct Sample {
  Cells cells;
  std::shared_ptr<const Properties> properties;
  Severity severity = Severity::none;
  Condition condition = Condition::none;
  absl::Time time;
  std::uint64_t number = 0;  // counts the samples of its process variable
  std::uint16_t events = 0;  // an EventMask: what changed
  Severity unacknowledged = Severity::none;
  bool acknowledges_transient = true;
};
using SamplePtr = std::shared_ptr<const Sample>;

// A copy to change. A std::variant of vectors must not be copied where memory may be short: libstdc++ takes it for one that has always a value, and destroys one
// that it has not made.
std::shared_ptr<Sample> copy_of(const Sample& sample);

enum class Form : std::uint8_t { plain, status, time, graphic, control, acknowledge_transient, acknowledge, status_acknowledge, class_name };

struct Layout {
  Form form;
  CellType cell;
  std::size_t offset;  // the place of the first cell
};

// Nothing for a number that is no type.
std::optional<Layout> layout_of(std::uint16_t type);

// The size for so many cells; none take the room of one.
std::size_t payload_size(const Layout& layout, std::size_t count);

// Appends all that stands before the cells: Layout::offset bytes.
void append_prefix(std::string& out, const Layout& layout, const Sample& sample);

}  // namespace catools::inline v0::internal
