#include "cooperative/internal/scheduler/fiber_watch.h"

#include <chrono>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/instant.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::internal::Node;
using mothreads::internal::Ref;

namespace {

// The thread that runs the scheduler: its node ends the process where the fiber does not end.
Ref<Node> thread_of(SchedulerNode& node) {
  Ref<Node> parent = node.parent();
  return parent ? parent : Ref<Node>(node);
}

}  // namespace

FiberWatch::FiberWatch(Stopping& stopping, FiberBlock& fiber, std::int64_t deadline)
    : StopWatch(stopping.core().rooms().timers.clock()),
      cancel_timer_(stopping, &fiber),
      name_(fiber.own_name),
      thread_(thread_of(*stopping.core().rooms().node)) {
  stopping.core().add_timer(cancel_timer_, deadline);
  watch_until(Instant(std::chrono::nanoseconds(deadline)));
}

void FiberWatch::end() noexcept {
  cancel_timer_.stopping.core().cancel_timer(cancel_timer_);
  ended_.store(true, std::memory_order_release);  // pairs with has_ended()
  end_watch();
  unref();
}

void FiberWatch::report() { thread_->end_process(name_); }

}  // namespace cooperative::internal
