#pragma once

// The call stack of a fiber that does not run.

namespace cooperative::inline v0::internal {

// Return addresses, the innermost first, of the stack that is parked at `stack_pointer`, see switch.h; gives how many. Also in a signal
// handler. Nothing may switch to that stack meanwhile.
int parked_frames(void* stack_pointer, void** frames, int max) noexcept;

}  // namespace cooperative::internal
