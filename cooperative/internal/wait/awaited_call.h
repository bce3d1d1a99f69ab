#pragma once

// A call of another scheduler whose caller waits for its end: what Scheduler::callback_result() is made of.

#include <memory>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/scheduler/call.h"
#include "cooperative/internal/scheduler/mailbox.h"
#include "mothreads/limit.h"
#include "mothreads/posted.h"

namespace cooperative::inline v0 {

enum class RunIn : bool;  // scheduler.h

namespace internal {

class SchedulerCore;

// How a call is posted: `ready`, or why it could not be, and then it is still the caller's, as when it throws.
using PostCall = absl::FunctionRef<mothreads::Posted(Call& call, mothreads::Limit limit)>;

// A call whose caller waits for it.
class AwaitedCall {
 public:
  AwaitedCall();
  virtual ~AwaitedCall() = default;
  AwaitedCall(const AwaitedCall&) = delete;
  AwaitedCall& operator=(const AwaitedCall&) = delete;

  // In a fiber on the scheduler's thread.
  virtual void perform() = 0;

  struct State;

 private:
  friend struct AwaitedCallBox;
  friend void await_call(const std::shared_ptr<AwaitedCall>& call, RunIn run_in, PostCall post,
                         const std::shared_ptr<Mailbox>& mailbox, SchedulerCore& core, mothreads::Limit limit);
  std::shared_ptr<State> state_;
};

// Posts it and waits for its end. When the limit comes first: a call that has not begun is withdrawn, one that has is cancelled, and
// awaited; then throws Timedout. Throws Closed when it was dropped before its turn.
void await_call(const std::shared_ptr<AwaitedCall>& call, RunIn run_in, PostCall post, const std::shared_ptr<Mailbox>& mailbox,
                SchedulerCore& core, mothreads::Limit limit);

}  // namespace internal
}  // namespace cooperative
