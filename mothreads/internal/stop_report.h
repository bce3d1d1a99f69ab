#pragma once

// Who has not stopped, what it waits on, since when, and its stack.

#include <string>
#include <string_view>

#include "mothreads/contexts/node.h"

namespace mothreads::internal {

// The tree from `top` down, without those that have stopped.
std::string describe_unstopped(const Node& top, bool with_stacks);

// Logs that report as critical, says that it was `who` who did not stop, flushes the log and ends the process with kExitDidNotStop.
[[noreturn]] void report_and_exit(std::string_view who, const Node& top);

}  // namespace mothreads::internal
