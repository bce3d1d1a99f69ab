#pragma once

// What is on the chart. The fibers of one thread share it without a lock.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "catools/alarm.h"
#include "docs/examples/strip_chart/history.h"

namespace strip_chart {

struct Trace {
  Trace(std::string name, std::size_t room) : history(std::move(name), room) {}

  History history;
  catools::Severity severity = catools::Severity::none;
  bool is_connected = false;
  std::string trouble = {};  // why there are no values
};

struct Board {
  static constexpr std::size_t kRoom = 6000;  // points of a strip: 100 a second for a minute

  Board(const std::vector<std::string>& strip_names, const std::vector<std::string>& profile_names, absl::Duration its_window) : window(its_window) {
    for (const std::string& name : strip_names) strips.emplace_back(name, kRoom);
    for (const std::string& name : profile_names) profile.emplace_back(name, 1);
  }

  const absl::Duration window;
  std::vector<Trace> strips;   // each drawn over time
  std::vector<Trace> profile;  // drawn beside each other: the last values alone
};

// So many characters and lines, for a terminal: as many strips as fit, and the profile below. Lines are UTF-8, and each fits the width.
std::vector<std::string> picture(const Board& board, absl::Time now, std::size_t columns, std::size_t rows);

}  // namespace strip_chart
