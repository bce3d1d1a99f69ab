#pragma once

// How any thread gives a scheduler something to call: through the mailbox of one life of its core.

#include <memory>

#include "cooperative/internal/scheduler/call.h"
#include "cooperative/internal/scheduler/conductor.h"
#include "cooperative/internal/scheduler/mailbox.h"
#include "mothreads/posted.h"

namespace cooperative::inline v0::internal {

class SchedulerCore;

// From any thread. False when that life is over: then the call has been dropped.
bool post(SchedulerCore& core, Mailbox& mailbox, Call& call) noexcept;

// The same for users' calls: `what` is the verb that users call. Refused, it is still the caller's. In a test world throws mothreads::Misuse on
// a foreign thread, and lets others run. A call that was taken may have taken away whatever its poster has.
mothreads::Posted post_of_user(SchedulerCore& core, const std::shared_ptr<Mailbox>& mailbox, Call& call, const char* what);
// Throws that Misuse.
void check_caller(const Mailbox& mailbox, const char* what);

// A place where the order of threads matters, without a lock: in a test world others may run now. Elsewhere it is nothing.
inline void may_be_interrupted(const Mailbox& mailbox) noexcept {
  if (Conductor* const conductor = mailbox.conductor()) [[unlikely]] conductor->may_interrupt();
}

}  // namespace cooperative::internal
