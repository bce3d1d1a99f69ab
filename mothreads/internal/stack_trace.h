#pragma once

// The call stack of another OS thread of this process, as text.

#include <cstdint>
#include <string>
#include <vector>

namespace mothreads::inline v0::internal {

// One line per frame, innermost first; empty when the thread did not answer, see interrupt.h.
std::vector<std::string> stack_of_thread(std::uint64_t os_thread_id);

// The same for return addresses.
std::vector<std::string> describe_frames(const std::vector<void*>& frames);

}  // namespace mothreads::internal
