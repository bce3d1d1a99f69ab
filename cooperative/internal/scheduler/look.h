#pragma once

// Fibers and their waits, seen from any thread: nothing is asked of their scheduler, which does not even know. Each block is read between two looks at the
// number that says whose it is, and each wait between two looks at its context's word.

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "cooperative/fiber_look.h"
#include "cooperative/internal/scheduler/fiber_block.h"

namespace cooperative::inline v0::internal {

class SchedulerCore;

using SeeFiber = absl::FunctionRef<void(const FiberLook& fiber)>;

// Calls `see` with each fiber of that life of the core that was there all the time, and maybe with some that came or went meanwhile; with none
// when that life is over.
void look_at_fibers(const SchedulerCore& core, std::uint64_t life, SeeFiber see);

// Calls `see` with that one fiber, if the block is still the one of that number.
void look_at_fiber(const FiberBlock& block, std::uint64_t id, SeeFiber see);

}  // namespace cooperative::internal
