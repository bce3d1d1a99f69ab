#pragma once

// One run of strip_chart:
//
//     monitors --> board --> screen      every 200 ms
//              \-> updates --> pages     every 100 ms
//              \-> record --> FILE       as the disk takes it
//
// All are fibers of the main thread, which share the board without a lock. It ends from the left: the monitors, the pages, the file.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catools/camonitor.h"
#include "docs/examples/strip_chart/board.h"
#include "docs/examples/strip_chart/record.h"
#include "docs/examples/strip_chart/screen.h"
#include "docs/examples/strip_chart/updates.h"
#include "mothreads/signal.h"

namespace strip_chart {

struct Options {
  std::vector<std::string> strips;
  std::vector<std::string> profile;
  std::optional<std::string> record = {};
  std::optional<std::uint16_t> port = {};  // of the page; none for no page
  unsigned window = 60;                    // seconds
  std::optional<unsigned> seconds = {};    // then it ends
};

class Run {
 public:
  Run(const Options& options, Screen& screen) : options_(options), screen_(screen) {}

  // The program's exit code.
  int operator()(const mothreads::Signal& please_stop);

 private:
  void follow();
  void take(const catools::Value& value, std::size_t number, bool is_strip);
  void show(const mothreads::Signal& please_stop);
  void summarise() const;

  const Options options_;
  Screen& screen_;
  Board board_{options_.strips, options_.profile, absl::Seconds(options_.window)};
  Updates updates_;
  std::optional<Record> record_;
  std::vector<catools::Subscription> subscriptions_;
  bool failed_ = false;
};

}  // namespace strip_chart
