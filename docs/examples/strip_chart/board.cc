#include "docs/examples/strip_chart/board.h"

#include <algorithm>
#include <optional>

#include <fmt/core.h>

#include "docs/examples/strip_chart/canvas.h"

namespace strip_chart {
namespace {

constexpr std::size_t kScale = 11;  // characters for the numbers at the left
constexpr std::size_t kFewestRows = 4;  // of a strip: its head and three of the chart

// As ASCII: what a server sends must not command the terminal.
std::string cut(std::string line, std::size_t columns) {
  if (line.size() > columns) line.resize(columns);
  std::replace_if(line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

std::string head_of(const Trace& trace) {
  const std::string& name = trace.history.name();
  if (!trace.trouble.empty()) return fmt::format("{}  {}", name, trace.trouble);
  if (!trace.is_connected) return fmt::format("{}  not connected", name);
  const std::optional<Point> last = trace.history.last();
  if (!last) return name;
  const std::string alarm = trace.severity == catools::Severity::none ? "" : fmt::format("  {}", to_string(trace.severity));
  return fmt::format("{}  {:.6g}{}", name, last->value, alarm);
}

void add_chart(std::vector<std::string>& lines, const std::vector<std::optional<Extent>>& dots, std::size_t rows) {
  const std::optional<Extent> extent = extent_of(dots);
  if (!extent) {
    lines.insert(lines.end(), rows, "");
    return;
  }
  const Extent range = with_margin(*extent);
  const std::vector<std::string> drawn = draw(dots, range, rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::string number = row == 0 ? fmt::format("{:.5g}", range.greatest) : row + 1 == rows ? fmt::format("{:.5g}", range.least) : "";
    lines.push_back(fmt::format("{:>{}} {}", number, kScale - 1, drawn[row]));
  }
}

std::vector<std::optional<Extent>> profile_dots(const std::vector<Trace>& profile, std::size_t count) {
  std::vector<std::optional<Extent>> dots(count);
  for (std::size_t x = 0; x < count; ++x) {
    const std::optional<Point> last = profile[x * profile.size() / count].history.last();
    if (last) dots[x] = Extent{last->value, last->value};
  }
  return dots;
}

}  // namespace

std::vector<std::string> picture(const Board& board, absl::Time now, std::size_t columns, std::size_t rows) {
  std::vector<std::string> lines;
  if (columns <= kScale || rows < kFewestRows) return {cut("the terminal is too small", columns)};
  const std::size_t charts = board.strips.size() + (board.profile.empty() ? 0 : 1);
  const std::size_t shown = std::min(charts, rows / kFewestRows);
  const std::size_t dots = 2 * (columns - kScale);
  for (std::size_t chart = 0; chart < shown; ++chart) {
    const std::size_t its_rows = rows * (chart + 1) / shown - rows * chart / shown - 1;
    // The profile is the last one, also where strips find no room.
    if (!board.profile.empty() && chart + 1 == shown) {
      lines.push_back(cut(fmt::format("{} values, from {}", board.profile.size(), head_of(board.profile.front())), columns));
      add_chart(lines, profile_dots(board.profile, dots), its_rows);
    } else {
      lines.push_back(cut(head_of(board.strips[chart]), columns));
      add_chart(lines, board.strips[chart].history.columns(now, board.window, dots), its_rows);
    }
  }
  return lines;
}

}  // namespace strip_chart
