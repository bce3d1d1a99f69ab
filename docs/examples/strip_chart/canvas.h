#pragma once

// A picture of dots for a terminal: each character, one of Unicode's Braille patterns, has two by four of them.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "docs/examples/strip_chart/history.h"

namespace strip_chart {

class Canvas {
 public:
  // In characters, at least one by one.
  Canvas(std::size_t columns, std::size_t rows) : columns_(columns), rows_(rows), dots_(columns * rows) {}

  std::size_t width() const { return 2 * columns_; }  // in dots
  std::size_t height() const { return 4 * rows_; }

  // From the left and the bottom. A dot outside is left out.
  void set(std::size_t x, std::size_t y);

  // A line of UTF-8 for each row, the top first.
  std::vector<std::string> lines() const;

 private:
  const std::size_t columns_;
  const std::size_t rows_;
  std::vector<unsigned char> dots_;
};

// One vertical line for each column of dots, from its least to its greatest value, so that the range fills the height. Neighbours are joined.
std::vector<std::string> draw(const std::vector<std::optional<Extent>>& dot_columns, const Extent& range, std::size_t rows);

// The range, made a little larger, so that a line that does not move stands in the middle.
Extent with_margin(const Extent& range);

}  // namespace strip_chart
