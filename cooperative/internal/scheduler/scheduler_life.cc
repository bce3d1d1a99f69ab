#include "cooperative/internal/scheduler/scheduler_life.h"

#include "cooperative/internal/scheduler/poller.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/thread_context.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::Context;
using mothreads::internal::ThreadContext;

namespace {

FloatingPoint floating_point_here() noexcept {
  FloatingPoint here;
  here.take();
  return here;
}

}  // namespace

SchedulerLife::SchedulerLife(SchedulerCore& core, Context& context, Conductor* its_conductor)
    : threads_own(std::make_unique<Runnable>(context)),
      switcher(*threads_own),
      root(threads_own.get()),
      conductor(its_conductor),
      callbacks(core, its_conductor, context.name),
      timers(*context.clock),
      stopping(core),
      floating_point(floating_point_here()),
      spinner(static_cast<ThreadContext*>(&context)) {
  root->has_begun = true;
  turns.give_acts(*root);
}

SchedulerLife::~SchedulerLife() = default;

}  // namespace cooperative::internal
