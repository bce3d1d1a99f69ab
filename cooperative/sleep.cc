#include "cooperative/sleep.h"

#include <cstdint>

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/wait.h"

namespace cooperative {

using internal::SchedulerCore;
using mothreads::internal::Context;
using mothreads::internal::Wait;

void sleep(const mothreads::Until& until) {
  const auto reach = SchedulerCore::current_or_null() != nullptr ? Context::Reach::host : Context::Reach::everywhere;
  Wait wait({"sleeps", nullptr, nullptr}, Wait::Spin::no, reach);
  SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core == nullptr) {
    static_cast<void>(wait.park(mothreads::Limit(until)));
    return;
  }
  const mothreads::Limit limit = core->start(until);
  // A limit that has come would come before those who yielded: behind them is where a turn for others is.
  if (until.has_come()) return core->yield();
  const std::uint64_t switches = core->counts().switches;
  static_cast<void>(wait.park(limit));
  if (core->counts().switches == switches) core->yield_in_round();  // the time came before anybody had a turn
}

void yield_until_idle(const mothreads::Until& until) {
  if (SchedulerCore* core = SchedulerCore::current_or_null()) static_cast<void>(core->yield_until_idle(core->start(until)));
}

}  // namespace cooperative
