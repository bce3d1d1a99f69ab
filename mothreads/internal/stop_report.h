#pragma once

// Who has not stopped, what it waits on, since when, and its stack.

#include <string>

#include "mothreads/contexts/node.h"

namespace mothreads::internal {

// The tree from `top` down, without those that have stopped.
std::string describe_unstopped(const Node& top, bool with_stacks);

// Logs that report as critical, flushes the log and ends the process with kExitDidNotStop.
[[noreturn]] void report_and_exit(const Node& top);

}  // namespace mothreads::internal
