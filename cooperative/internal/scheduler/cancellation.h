#pragma once

// How a wait is left that may be unwound, and how the unwinding begins. Of any context that a scheduler hosts, on that scheduler's thread.

#include "mothreads/ended.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0::internal {

// Whoever is unwound next is that context: FiberCancelled follows. Notes which scopes it will leave.
void prepare_unwinding(mothreads::internal::Context& context) noexcept;

// A wait that has ended otherwise than `ready`: takes its node out. True when whoever waited is to be unwound: the caller throws FiberCancelled
// itself, because each function between would cost the unwinder as much as a fiber's whole life.
bool leave_interrupted(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node) noexcept;

// SchedulerCore::wait() of a context that needs care, or with an unusual limit.
mothreads::Why wait_with_care(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node, mothreads::internal::HostedWait what,
                              mothreads::Limit limit);
// Of a wait without a limit, which nothing has to be kept of.
mothreads::Why wait_with_care(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node, mothreads::internal::HostedWait what);

}  // namespace cooperative::internal
