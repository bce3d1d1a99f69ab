#pragma once

// How long a fiber may keep its turn by calls that need no wait: a client that sends without end, or a fiber on a queue that is never empty, would
// else keep all others waiting. shrapnel's name for it. There is one budget for all verbs that may wait (docs/suspension_points.md); one
// that finds what it needs in memory is a 64th of an operation on a descriptor.

#include <cstdint>

namespace cooperative::inline v0 {

// The figure of the calling thread's scheduler: SchedulerOptions::selfishness.
std::uint32_t selfishness();

// The same for the fiber that calls; 0 for the thread's. Gives what it was.
std::uint32_t set_max_selfish_acts(std::uint32_t acts);

}  // namespace cooperative
