#pragma once

// Waiting for time, and for one's turn.

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/context.h"
#include "mothreads/until.h"

namespace cooperative {

// Waits until the limit comes: a duration, an instant, a Signal. Always lets others run first, also when it has come already.
// On a thread without fibers it blocks the thread. Integers are refused: of which unit?
void sleep(const mothreads::Until& until);
inline void sleep_until(const mothreads::Until& until) { sleep(until); }

// Lets everything that is ready now run once. Nothing on a thread without fibers.
COOPERATIVE_INLINED void yield() {
  if (internal::SchedulerCore* core = internal::SchedulerCore::current_or_null()) core->yield();
}

// Lets others run until nothing is ready, or the limit comes. Others that yield without end keep it waiting.
void yield_until_idle(const mothreads::Until& until = {});

// Of those that are waiting for a cancellation, none is thrown in this scope: it comes with the first wait after it.
class NoCancel {
 public:
  NoCancel() = default;
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  mothreads::internal::NoUnwind no_unwind_;
};

}  // namespace cooperative
