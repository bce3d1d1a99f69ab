#pragma once

// Who has not stopped, what it waits on, since when, and its stack.

#include <cstddef>
#include <string>
#include <string_view>

#include "mothreads/internal/tree/node.h"

namespace mothreads::inline v0::internal {

// So many threads and groups a report shows, the others it counts. Of a scheduler's fibers see FiberPicture::kMaxShown.
inline constexpr std::size_t kMaxShownInReport = 100;

// The tree from `top` down, without those that have stopped: each before those below it, the newest first. Where not all are shown it
// says how far the stop of `top` has come: "threads: 900 of 1,000 ended". Behind the main thread's tree come the threads that are in the scope
// of a ForeignThread, for which no stop waits: without their stacks, since those threads are not to be interrupted.
std::string describe_unstopped(const Node& top, bool with_stacks);

// Logs that report as critical, says that it was `who` who did not stop, flushes the log and ends the process with kExitDidNotStop.
[[noreturn]] void report_and_exit(std::string_view who, const Node& top);

}  // namespace mothreads::internal
