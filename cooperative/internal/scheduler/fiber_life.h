#pragma once

// The life of a fiber: it is made, gets a stack, runs, ends, and its block is used again. On the thread of its scheduler. Functions, not a
// class: a fiber's state is its block (fiber_block.h), and all else belongs to the parts of its scheduler's life.
//
//     make_fiber() → start() or start_at_once() → [its turn comes: a stack] → its function → its children end → join() → let_go()

#include <concepts>
#include <cstdint>
#include <string_view>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/fiber_ends.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0::internal {

// --- its beginning -------------------------------------------------------------------------------------------------------------

// A block that is not in use.
inline FiberBlock& take_block(SchedulerCore& core, std::string_view name) {
  FiberBlock& block = core.blocks().take(name, core.life());
  block.runnable.acts = core.rooms().turns.acts();
  return block;
}
FiberBlock& make_fiber(SchedulerCore& core, std::string_view name, FiberBlock* parent);
// For the fiber that runs: below it, within the limit. Throws FiberLimit.
COOPERATIVE_FLATTENED FiberBlock& make_fiber(SchedulerCore& core, std::string_view name);
// The function could not be put in place.
void unmake_fiber(FiberBlock& fiber) noexcept;

inline void start(FiberBlock& fiber) noexcept { fiber.core->rooms().queue.push_ready(fiber.runnable); }
// Inside this call, until it waits or ends; who called goes on then, before anybody else.
COOPERATIVE_FLATTENED void start_at_once(FiberBlock& fiber) noexcept;

// A fiber that nobody owns, for work of the library's own that may run users' code. No limit is counted.
FiberBlock& make_helper(SchedulerCore& core, std::string_view name, FiberBlock* parent) noexcept;
void start_helper(FiberBlock& helper, const FiberBlock::Job& job, void* job_self) noexcept;

// Right before its first turn: gives it a stack. False when there is none to have: then it has ended with that error, on the stack of whoever
// was about to switch to it.
bool prepare(SchedulerCore& core, FiberBlock& fiber) noexcept;

// --- its end -------------------------------------------------------------------------------------------------------------------

// For which it is over: all but the functions that it runs as it ends.
inline bool is_over(const FiberBlock& fiber) noexcept {
  return fiber.state == FiberBlock::State::ended ||
         (&fiber == fiber.core->running_fiber() && fiber.state > FiberBlock::State::begun);
}

// The handle's end of it. Waits for the fiber to end.
template <std::same_as<mothreads::Limit>... Limit>
COOPERATIVE_INLINED mothreads::Why join(FiberBlock& fiber, Limit... limit) {
  if (fiber.state == FiberBlock::State::ended) return mothreads::Why::ready;
  SchedulerCore& core = *fiber.core;
  if (core.running().is_fiber && check_join(fiber)) return mothreads::Why::ready;
  mothreads::internal::WaitNode node;
  return core.wait(fiber.joiners, node, {"waits for the end of fiber", fiber.kept_name.number()}, limit...);
}
// Nobody will take the result; recycles one that has ended.
COOPERATIVE_FLATTENED void let_go(FiberBlock& fiber);

// Its function and its result are destroyed.
void drop_job(FiberBlock& fiber) noexcept;
// The block of a fiber that is no more, or of a group, may be used again.
void recycle(FiberBlock& fiber) noexcept;

}  // namespace cooperative::internal
