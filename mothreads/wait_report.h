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
  std::optional<Instant> since = std::nullopt;
  // The name of the thread or fiber inside of the Lock or RLock that it waits to enter, as of some moment during the call; 55 bytes of it at most. Empty
  // for other waits, for a lock without a name, and where the name is not known: see Lock.
  std::string owner = {};
};

}  // namespace mothreads
