#include "catools/server/internal/limited_log.h"

#include <exception>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/log.h"

namespace catools::inline v0::internal {

LimitedLog::~LimitedLog() {
  if (left_out_ == 0) return;
  try {
    mothreads::log::info("{}: {} more since the last line", what_, left_out_);
  } catch (const std::exception&) {
    // No memory for a line is no reason to end the process.
  }
}

void LimitedLog::info(std::string_view what, std::string_view why) {
  const mothreads::Instant now = mothreads::Clock::current().now();
  what_ = what;
  if (next_ && now < *next_) {
    ++left_out_;
    return;
  }
  next_ = now + absl::ToChronoNanoseconds(kPause);
  const std::uint64_t left_out = std::exchange(left_out_, 0);
  const std::string others = left_out > 0 ? fmt::format(" (and {} others since the last line)", left_out) : std::string();
  mothreads::log::info("{}: {}{}", what, why, others);
}

}  // namespace catools::inline v0::internal
