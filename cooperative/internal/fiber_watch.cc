#include "cooperative/internal/fiber_watch.h"

#include <chrono>

#include "cooperative/internal/posting.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/internal/scheduler_node.h"
#include "mothreads/contexts/lost.h"
#include "mothreads/instant.h"
#include "mothreads/log.h"

namespace cooperative::internal {

using mothreads::Instant;
using mothreads::internal::Node;
using mothreads::internal::Ref;

namespace {

// Who ends the process where the fiber does not end: the thread that runs the scheduler.
Ref<Node> thread_of(SchedulerNode& node) {
  Ref<Node> parent = node.parent();
  return parent ? parent : Ref<Node>(node);
}

std::weak_ptr<GroupPlace> chooser_of(const FiberBlock& fiber) {
  for (const FiberBlock* at = &fiber; at != nullptr; at = at->parent) {
    if (at->group == nullptr || !at->group->when_stuck) continue;
    return at->group->when_stuck->ends_process() ? std::weak_ptr<GroupPlace>() : at->group->weak_from_this();
  }
  return {};
}

}  // namespace

FiberWatch::FiberWatch(Stopping& stopping, FiberBlock& fiber, std::int64_t deadline)
    : StopWatch(stopping.core().rooms().timers.clock()),
      cancel_timer_(stopping, &fiber),
      name_(fiber.own_name),
      thread_(thread_of(*stopping.core().rooms().node)),
      chooser_(chooser_of(fiber)),
      mailbox_(stopping.core().rooms().callbacks.mailbox()) {
  stopping.core().add_timer(cancel_timer_, deadline);
  watch_until(Instant(std::chrono::nanoseconds(deadline)));
}

void FiberWatch::end() noexcept {
  cancel_timer_.stopping.core().cancel_timer(cancel_timer_);
  ended_.store(true, std::memory_order_release);  // pairs with has_ended()
  end_watch();
  unref();
}

// Where the whole thread is stuck the choice of a group of its fibers changes nothing: then it is the thread's stop that has a deadline.
bool FiberWatch::give_up() {
  const std::shared_ptr<GroupPlace> chooser = chooser_.lock();
  if (chooser == nullptr) return false;
  if (is_asked_.exchange(true, std::memory_order_relaxed)) return true;  // its thread has not come to it yet
  SchedulerCore& core = cancel_timer_.stopping.core();
  static_cast<void>(post(core, *mailbox_, make_call<Errand::no>([self = Ref<FiberWatch>(*this), chooser, text = mothreads::internal::describe_with_stacks(*thread_),
                                                                  name = name_]() mutable {
    self->is_asked_.store(false, std::memory_order_relaxed);
    std::vector<mothreads::EndRecord> lost = Stopping::lose_stuck(*chooser);
    if (lost.empty()) return;
    mothreads::log::error("\"{}\" was told to stop and did not by its deadline; who did not stop:{}\n{} of its fibers {} marked lost, and the "
                          "stop goes on without them", name, text, lost.size(), lost.size() == 1 ? "is" : "are");
    chooser->when_stuck->tell(mothreads::StopReport(std::move(text), std::move(lost)));
  })));
  return true;
}

void FiberWatch::report() { thread_->end_process(name_); }

}  // namespace cooperative::internal
