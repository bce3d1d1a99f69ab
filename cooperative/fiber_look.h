#pragma once

// A fiber as another thread sees it: see Scheduler::look().

#include <cstdint>
#include <optional>
#include <string_view>

#include "mothreads/instant.h"

namespace cooperative::inline v0 {

// A copy, whose texts last as long as the function that gets it runs.
struct FiberLook {
  std::uint64_t id;
  std::string_view name;  // 55 bytes of it at most
  // Its wait, in the words of reports: "waits for event". Empty for a fiber that runs, is ready to run, or has not begun.
  std::string_view wait;
  std::string_view object;  // the name of that, where it has one; likewise
  std::string_view owner;   // the name of the thread or fiber inside of the Lock or RLock that it waits to enter; likewise; see WaitReport::owner
  // When that wait began, by its scheduler's clock: to a millisecond, and not after it. A scheduler that looks at its clock for no other reason
  // does so every 512 rounds, so that a wait may seem to have begun as much earlier as these took. None where it does not wait.
  std::optional<mothreads::Instant> since;
};

}  // namespace cooperative
