#pragma once

// Runs a function on another OS thread of this process, between any two instructions of whatever it does: for reports on threads
// that may be stuck.

#include <cstdint>

namespace mothreads::inline v0::internal {

enum class Interrupted : std::uint8_t {
  ran,
  refused,  // the thread did not answer (it blocks all signals, or has ended): the function never ran, and will not
  runs,     // it has begun and does not end: what it uses must stay
};

// Calls function(argument) there, in a handler of SIGRTMIN + 5, and waits for its end, half a second at most for it to begin. The
// function may only do what a signal handler may. Restartable system calls of the thread go on. One caller at a time, others wait.
[[nodiscard]] Interrupted interrupt_thread(std::uint64_t os_thread_id, void (*function)(void* argument), void* argument);

// For such a function: the return addresses of what it interrupted, the innermost first; gives how many.
int interrupted_frames(void** frames, int max) noexcept;
// The first of them: what the processor was at.
const void* interrupted_instruction() noexcept;

}  // namespace mothreads::internal
