#include "docs/examples/strip_chart/canvas.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace strip_chart {

void Canvas::set(std::size_t x, std::size_t y) {
  if (x >= width() || y >= height()) return;
  // The bits of a Braille pattern, by column and row of its dots.
  static constexpr std::array<std::array<unsigned char, 4>, 2> kBits = {{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}};
  const std::size_t from_top = height() - 1 - y;
  dots_[from_top / 4 * columns_ + x / 2] |= kBits[x % 2][from_top % 4];
}

std::vector<std::string> Canvas::lines() const {
  std::vector<std::string> lines;
  for (std::size_t row = 0; row < rows_; ++row) {
    std::string line;
    for (std::size_t column = 0; column < columns_; ++column) {
      const unsigned char dots = dots_[row * columns_ + column];
      // U+2800 and the dots, in UTF-8.
      line += '\xe2';
      line += static_cast<char>(0xa0 | dots >> 6);
      line += static_cast<char>(0x80 | (dots & 0x3f));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

Extent with_margin(const Extent& range) {
  const double size = range.greatest - range.least;
  const double margin = size > 0 ? size * 0.05 : std::max(std::abs(range.least) * 0.01, 1e-9);
  return {range.least - margin, range.greatest + margin};
}

std::vector<std::string> draw(const std::vector<std::optional<Extent>>& dot_columns, const Extent& range, std::size_t rows) {
  Canvas canvas(std::max<std::size_t>((dot_columns.size() + 1) / 2, 1), std::max<std::size_t>(rows, 1));
  const auto place_of = [&](double value) {
    const double share = (value - range.least) / (range.greatest - range.least);
    return static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(canvas.height() - 1) + 0.5);
  };
  std::optional<Extent> before;
  for (std::size_t x = 0; x < dot_columns.size(); ++x) {
    if (!dot_columns[x]) {
      before.reset();
      continue;
    }
    Extent joined = *dot_columns[x];
    if (before) {
      joined.least = std::min(joined.least, before->greatest);
      joined.greatest = std::max(joined.greatest, before->least);
    }
    for (std::size_t y = place_of(joined.least); y <= place_of(joined.greatest); ++y) canvas.set(x, y);
    before = dot_columns[x];
  }
  return canvas.lines();
}

}  // namespace strip_chart
