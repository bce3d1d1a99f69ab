#pragma once

// The call stack of another OS thread of this process, as text.

#include <cstdint>
#include <string>
#include <vector>

namespace mothreads::internal {

// One line per frame, innermost first; empty when the thread did not answer within half a second (it blocks all signals, or
// has ended). Interrupts the thread with a signal of its own, SIGRTMIN + 5; restartable system calls go on.
std::vector<std::string> stack_of_thread(std::uint64_t os_thread_id);

}  // namespace mothreads::internal
