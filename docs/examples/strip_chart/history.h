#pragma once

// The values of one process variable in the last minute: a ring, in which a new value takes the place of the oldest. Not thread-safe: the fibers of
// one thread share it without a lock.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace strip_chart {

struct Point {
  absl::Time at;
  double value = 0;
};

// The least and the greatest value that a variable had in a piece of time. Nothing where it had none.
struct Extent {
  double least = 0;
  double greatest = 0;
};

class History {
 public:
  static constexpr absl::Duration kLate = absl::Seconds(1);

  // `room` is the number of points that it keeps, at least one.
  History(std::string name, std::size_t room) : name_(std::move(name)), points_(room) {}

  // A point that is a little older than the last one is left out: a chart goes from the left to the right. One that is older by more than kLate begins
  // the chart anew: a clock was set back.
  void add(const Point& point);

  const std::string& name() const { return name_; }
  std::size_t size() const { return size_; }
  std::uint64_t added() const { return added_; }
  // The oldest is number 0.
  const Point& at(std::size_t number) const { return points_[(first_ + number) % points_.size()]; }
  std::optional<Point> last() const { return size_ == 0 ? std::nullopt : std::optional(at(size_ - 1)); }

  // The time from `end - window` to `end`, cut into so many columns. A value holds until the next one, so a column without a point has the value of the one
  // before it; columns before the first point have none.
  std::vector<std::optional<Extent>> columns(absl::Time end, absl::Duration window, std::size_t count) const;

 private:
  const std::string name_;
  std::vector<Point> points_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::uint64_t added_ = 0;
};

// Around all of these; nothing where there are none.
std::optional<Extent> extent_of(const std::vector<std::optional<Extent>>& columns);

}  // namespace strip_chart
