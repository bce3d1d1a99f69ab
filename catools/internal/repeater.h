#pragma once

// The repeater of this host, which tells its clients of servers that have come: one process of a host has the port, and serves the others.

namespace catools::inline v0::internal {

// Where no repeater is there, one is, in a thread of this process, when this returns. Without it libca would start the program caRepeater by a
// fork(), and complain on stderr where it is not installed. Never fails: at worst libca goes its own way. Before libca starts.
void ensure_repeater() noexcept;

}  // namespace catools::inline v0::internal
