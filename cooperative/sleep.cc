#include "cooperative/sleep.h"

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/wait.h"

namespace cooperative {

using internal::SchedulerCore;
using mothreads::internal::Context;
using mothreads::internal::Wait;

void sleep(const mothreads::Until& until) {
  const auto reach = SchedulerCore::current_or_null() != nullptr ? Context::Reach::host : Context::Reach::everywhere;
  Wait wait({"sleeps", nullptr, nullptr}, Wait::Spin::no, reach);
  static_cast<void>(wait.park(until));
}

void yield_until_idle(const mothreads::Until& until) {
  if (SchedulerCore* core = SchedulerCore::current_or_null()) static_cast<void>(core->yield_until_idle(until));
}

}  // namespace cooperative
