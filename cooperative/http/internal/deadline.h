#pragma once

#include <algorithm>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"

namespace cooperative::inline v0::http::internal {

// When so long has passed; a limit that is none comes in some hundred years.
inline mothreads::Instant deadline_in(absl::Duration duration) {
  return mothreads::Clock::current().now() + absl::ToChronoNanoseconds(std::min(duration, absl::Hours(24 * 365 * 100)));
}

}  // namespace cooperative::http::internal
