#include "docs/examples/relay/screen.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/core.h>

namespace relay {

std::string table(const Second& second) {
  std::string text = fmt::format("second {}\nsensor  readings     least      mean  greatest\n", second.number);
  for (std::size_t i = 0; i < second.rows.size(); ++i) {
    const Row& row = second.rows[i];
    if (row.count == 0) {
      text += fmt::format("{:>6}  {:>8}  {:>8}  {:>8}  {:>8}\n", i + 1, "-", "-", "-", "-");
    } else {
      text += fmt::format("{:>6}  {:>8}  {:>8.2f}  {:>8.2f}  {:>8.2f}\n", i + 1, row.count, row.least, row.mean(), row.greatest);
    }
  }
  return text;
}

std::string lines(const Second& second) {
  std::string text;
  for (std::size_t i = 0; i < second.rows.size(); ++i) {
    const Row& row = second.rows[i];
    if (row.count == 0) continue;
    text += fmt::format("second {}, sensor {}: {} reading{}, {:.2f} to {:.2f}, mean {:.2f}\n", second.number, i + 1, row.count,
                        row.count == 1 ? "" : "s", row.least, row.greatest, row.mean());
  }
  return text;
}

void Screen::clear_table() {
  if (shown_.empty()) return;
  // Up to its first line, and all below away.
  std::fprintf(output_, "\r\x1b[%tdA\x1b[J", std::count(shown_.begin(), shown_.end(), '\n'));
}

void Screen::show(const Second& second) {
  const std::lock_guard lock(mutex_);
  if (in_place_) {
    clear_table();
    shown_ = table(second);
  }
  std::fputs((in_place_ ? shown_ : lines(second)).c_str(), output_);
  if (std::fflush(output_) != 0 || std::ferror(output_) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write the table");
  }
}

void Screen::message(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (in_place_) {
    clear_table();
    std::fflush(output_);
  }
  std::fprintf(messages_, "relay: %.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(messages_);
  if (!in_place_) return;
  std::fputs(shown_.c_str(), output_);
  std::fflush(output_);
}

void Screen::keep_table() {
  const std::lock_guard lock(mutex_);
  shown_.clear();
}

}  // namespace relay
