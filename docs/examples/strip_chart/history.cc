#include "docs/examples/strip_chart/history.h"

#include <algorithm>

namespace strip_chart {
namespace {

void widen(std::optional<Extent>& extent, double value) {
  if (!extent) {
    extent = Extent{value, value};
  } else {
    extent->least = std::min(extent->least, value);
    extent->greatest = std::max(extent->greatest, value);
  }
}

}  // namespace

void History::add(const Point& point) {
  if (size_ > 0 && point.at < at(size_ - 1).at) {
    if (at(size_ - 1).at - point.at <= kLate) return;
    size_ = 0;
  }
  ++added_;
  if (size_ < points_.size()) {
    points_[(first_ + size_++) % points_.size()] = point;
  } else {
    points_[first_] = point;
    first_ = (first_ + 1) % points_.size();
  }
}

std::vector<std::optional<Extent>> History::columns(absl::Time end, absl::Duration window, std::size_t count) const {
  std::vector<std::optional<Extent>> columns(count);
  const absl::Time begin = end - window;
  std::size_t next = 0;
  std::optional<double> holds;
  for (; next < size_ && at(next).at <= begin; ++next) holds = at(next).value;
  for (std::size_t column = 0; column < count; ++column) {
    const absl::Time until = begin + window * (static_cast<double>(column + 1) / static_cast<double>(count));
    if (holds) widen(columns[column], *holds);
    for (; next < size_ && at(next).at <= until; ++next) {
      holds = at(next).value;
      widen(columns[column], *holds);
    }
  }
  return columns;
}

std::optional<Extent> extent_of(const std::vector<std::optional<Extent>>& columns) {
  std::optional<Extent> all;
  for (const auto& column : columns) {
    if (!column) continue;
    widen(all, column->least);
    widen(all, column->greatest);
  }
  return all;
}

}  // namespace strip_chart
