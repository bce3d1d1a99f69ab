#include "cooperative/internal/scheduler/posting.h"

#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0::internal {

bool post(SchedulerCore& core, Mailbox& mailbox, Call& call) noexcept {
  if (!mailbox.post(call)) {
    drop(call);
    return false;
  }
  core.inbox().wake_if_asleep(Inbox::Waker::code);
  return true;
}

void check_caller(const Mailbox& mailbox, const char* what) {
  if (const Conductor* const conductor = mailbox.conductor()) [[unlikely]] conductor->check_caller(what);
}

mothreads::Posted post_of_user(SchedulerCore& core, const std::shared_ptr<Mailbox>& mailbox, Call& call, const char* what) {
  // Kept for afterwards, when the call may have run.
  const std::shared_ptr<const Mailbox> world = mailbox->conductor() == nullptr ? nullptr : mailbox;
  if (world != nullptr) [[unlikely]] check_caller(*world, what);
  if (!mailbox->post(call)) return mothreads::Why::closed;
  core.inbox().wake_if_asleep(Inbox::Waker::code);
  if (world != nullptr) [[unlikely]] may_be_interrupted(*world);
  return mothreads::Why::ready;
}

}  // namespace cooperative::internal
