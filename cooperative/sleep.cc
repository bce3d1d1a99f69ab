#include "cooperative/sleep.h"

#include <cstdint>
#include <optional>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::Wait;

Why sleep(const mothreads::Until& until) {
  const auto reach = SchedulerCore::current_or_null() != nullptr ? Context::Reach::host : Context::Reach::everywhere;
  Wait wait({"sleeps", nullptr, nullptr}, Wait::Spin::no, reach);
  SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core == nullptr) return wait.park(mothreads::Limit(until));
  const mothreads::Limit limit = core->start(until);
  // A limit that has come would come before those who yielded: behind them is where a turn for others is.
  if (const std::optional<Why> come = until.has_come()) {
    core->yield();
    return *come;
  }
  const std::uint64_t switches = core->counts().switches;
  const Why why = wait.park(limit);
  if (core->counts().switches == switches) core->yield_in_round();  // the time came before anybody had a turn
  return why;
}

Why yield_until_idle(const mothreads::Until& until) {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  return core == nullptr ? Why::ready : core->yield_until_idle(core->start(until)).why();
}

}  // namespace cooperative
