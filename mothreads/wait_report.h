#pragma once

// The wait of a member of the shutdown tree, as a report says it.

#include <optional>
#include <string>

#include "mothreads/instant.h"

namespace mothreads::inline v0 {

struct WaitReport {
  std::string what;  // "pops from queue jobs", "waits for signal saved"
  // When the wait began, by the clock that it goes by. Of a fiber: to a millisecond, and not after it. None where that is not kept: of a thread's
  // own code where the thread has fibers.
  std::optional<Instant> since;
};

}  // namespace mothreads
