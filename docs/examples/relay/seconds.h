#pragma once

// Readings by the second in which they were taken. Not thread-safe: the fibers of one thread share it without a lock.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "docs/examples/relay/reading.h"

namespace relay {

struct Row {
  std::uint64_t count = 0;
  double least = 0;
  double sum = 0;
  double greatest = 0;

  double mean() const { return sum / static_cast<double>(count); }
};

struct Second {
  std::int64_t number = 0;  // from 0
  std::vector<Row> rows;    // one for each sensor
};

class Seconds {
 public:
  explicit Seconds(unsigned sensors) : sensors_(sensors) {}

  // A reading of a second that has been taken already counts as late, and is left out.
  void add(const Reading& reading);

  // The oldest second that ended at `now` or before, and has not been taken; each comes, also one without readings.
  std::optional<Second> take(absl::Duration now);
  // The same for the rest, as far as there are readings.
  std::optional<Second> take_last();

  std::uint64_t readings() const { return readings_; }  // late ones, too
  std::uint64_t late() const { return late_; }

 private:
  Second take_next();

  const unsigned sensors_;
  std::map<std::int64_t, std::vector<Row>> open_;
  std::int64_t next_ = 0;  // to be taken
  std::uint64_t readings_ = 0;
  std::uint64_t late_ = 0;
};

}  // namespace relay
