#pragma once

// The end of a fiber where there is more to it than its joiners: a group, a failure, a handle that is let go early, functions of users that
// want to know. On the thread of its scheduler; what most fibers go through is in fiber_life.h.

#include <memory>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/group_place.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal {

// --- who is told -----------------------------------------------------------------------------------------------------------------

// Runs the functions of users that are to know. `parent` is where the fiber was.
void tell_of_end(FiberBlock& fiber, const ParentRef& parent, const std::shared_ptr<GroupPlace>& group, bool failed) noexcept;
// The group that has got the failure, if one has.
std::shared_ptr<GroupPlace> report_failure(FiberBlock& fiber) noexcept;

// --- who has it now --------------------------------------------------------------------------------------------------------------

// The fiber that gets this one when it is released; null for the root.
FiberBlock* heir_of(const FiberBlock& fiber) noexcept;
void hand_to(FiberBlock& fiber, FiberBlock* heir) noexcept;
// To stop, when those below its parent have been told before it came.
void tell_if_late(FiberBlock& fiber);

// --- the handle ------------------------------------------------------------------------------------------------------------------

// Throws Misuse when who runs would wait for itself. True when it is the fiber itself, whose function has ended: what runs are functions of
// its end, for which it is over.
bool check_join(const FiberBlock& fiber);
mothreads::Signal stopped_signal(FiberBlock& fiber);
// let_go() of a fiber that runs, or that has a failure.
void let_go_with_care(FiberBlock& fiber);
void stop_then_let_go(FiberBlock& fiber) noexcept;
// The handle of a fiber of a scheduler that has ended, on any thread.
void let_go_after_end(FiberBlock& fiber) noexcept;

}  // namespace cooperative::internal
