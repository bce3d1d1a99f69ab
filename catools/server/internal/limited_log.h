#pragma once

// Lines that others can cause without end: one at a time is logged, and the next says how many were left out.
//
//     LimitedLog troubles;
//     troubles.info("simulation: a search got no answer", error.what());     // "...: Connection refused (and 250 others since the last line)"
//
// On one thread.

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "mothreads/instant.h"

namespace catools::inline v0::internal {

class LimitedLog {
 public:
  static constexpr absl::Duration kPause = absl::Seconds(10);  // between two lines

  LimitedLog() = default;
  // Logs how many were left out last.
  ~LimitedLog();
  LimitedLog(const LimitedLog&) = delete;
  LimitedLog& operator=(const LimitedLog&) = delete;

  // `what` lives as long as this.
  void info(std::string_view what, std::string_view why);

 private:
  std::string_view what_;
  std::optional<mothreads::Instant> next_ = std::nullopt;
  std::uint64_t left_out_ = 0;
};

}  // namespace catools::inline v0::internal
