#pragma once

// The root of the shutdown tree, and the beginning and end of everything that the library keeps for the process.

#include "mothreads/internal/tree/main_node.h"

namespace mothreads::inline v0::internal {

// The main node in force: that of MainThread::run while it runs, else the root of the process, whose first use arranges for the orderly end
// of the process at exit(). In a simulation it is that one's own.
MainNode& main_node();

// MainThread::run puts its own node in force; null restores the root.
void set_main_node(MainNode* node);

// Asks the main node to stop, and makes Tills go early, at the first request. Never blocks.
void request_main_stop();

// Ends the library's own threads, but for the one that takes signals. New Tills are DONE from now on; those that are left do not
// go, since what their functions refer to may be gone.
void end_timers_and_log();

}  // namespace mothreads::internal
