#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/internal/fiber_watch.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/internal/scheduler_node.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Instant;
using mothreads::Signal;
using mothreads::internal::Node;
using mothreads::internal::NoUnwind;
using mothreads::internal::Ref;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;

// Stopping fibers: who is told, by when, and who is cancelled. All of it on the scheduler's thread but for the watch.

// --- one fiber, and what runs under it -------------------------------------------------------------------------------------------

void SchedulerCore::stop(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended) return;
  settle_deadline(fiber);
  tell(fiber, fiber.stop_deadline);
}

// The deadline of one that it runs under is its own, too, and watched there: that one ends after it.
void SchedulerCore::settle_deadline(FiberBlock& fiber) noexcept {
  for (const FiberBlock* at = &fiber; at != nullptr; at = at->parent) {
    if (at->stop_deadline == FiberBlock::kNoDeadline) continue;
    fiber.stop_deadline = at->stop_deadline;
    return;
  }
  fiber.stop_deadline = stop_deadline_;
  if (stop_deadline_ != FiberBlock::kNoDeadline) return;
  const absl::Duration allowed = mothreads::stop_deadline();
  if (allowed == absl::InfiniteDuration()) return;
  watch(fiber, (clock_->now() + absl::ToChronoNanoseconds(allowed)).time_since_epoch().count());
}

void SchedulerCore::watch(FiberBlock& fiber, std::int64_t deadline) noexcept {
  fiber.stop_deadline = deadline;
  try {
    fiber.watch = new FiberWatch(*this, fiber, deadline);
  } catch (const std::bad_alloc&) {
    mothreads::log::error("the stop of fiber \"{}\" has no deadline, for want of memory", fiber.own_name);
  }
}

void SchedulerCore::end_watch(FiberBlock& fiber) noexcept { std::exchange(fiber.watch, nullptr)->end(); }

bool SchedulerCore::has_passed(std::int64_t deadline) const noexcept {
  return deadline != FiberBlock::kNoDeadline && clock_->now().time_since_epoch().count() >= deadline;
}

void SchedulerCore::tell(FiberBlock& fiber, std::int64_t deadline) {
  if (fiber.state == FiberBlock::State::ended) return;
  fiber.stop_deadline = std::min(fiber.stop_deadline, deadline);
  if (fiber.group != nullptr) return stop_group(*fiber.group);
  const std::uint64_t id = fiber.id;
  tell_children(fiber.newest_child, deadline);
  if (fiber.id != id || fiber.state == FiberBlock::State::ended) return;  // what a then() function did
  const bool is_first = !std::exchange(fiber.told_to_stop, true);
  // Cancelled first: what please_stop sets off may end the fiber.
  if (!fiber.takes_stop || has_passed(fiber.stop_deadline)) cancel(fiber);
  if (!fiber.takes_stop || !is_first) return;
  const Signal please_stop = *fiber.please_stop;
  please_stop.go();
}

void SchedulerCore::tell_children(FiberBlock* newest_child, std::int64_t deadline) {
  FiberBlock* const parent = newest_child == nullptr ? nullptr : newest_child->parent;
  const std::uint64_t parents_id = parent == nullptr ? 0 : parent->id;
  FiberBlock* child = newest_child;
  while (child != nullptr) {
    const std::uint64_t id = child->id;
    tell(*child, deadline);
    if (parent != nullptr && parent->id != parents_id) return;
    FiberBlock* const newest = parent == nullptr ? newest_ : parent->newest_child;
    // What one does when it is told may end others, itself, too: then the next is found anew, by its age.
    const bool is_there = child->id == id && child->parent == parent && child->state != FiberBlock::State::ended;
    FiberBlock* next = is_there ? child->older : newest;
    while (next != nullptr && next->id >= id) next = next->older == newest ? nullptr : next->older;
    child = next;
  }
}

void SchedulerCore::stop_children(FiberBlock& fiber) noexcept {
  settle_deadline(fiber);
  tell_children(fiber.newest_child, fiber.stop_deadline);
  while (fiber.newest_child != nullptr) {
    if (!fiber.newest_child->told_to_stop) tell_children(fiber.newest_child, fiber.stop_deadline);  // it came meanwhile
    FiberBlock* const child = fiber.newest_child;  // looked at anew: who was told may have ended
    if (child == nullptr) return;
    if (child->group != nullptr) {
      close_group(*child->group);
    } else {
      static_cast<void>(join(*child, mothreads::Until()));
    }
  }
}

void SchedulerCore::cancel(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended || std::exchange(fiber.is_cancelled, true)) return;
  fiber.unwind_wanted = true;
  // One that runs the others' timers at its wait's end is as parked as any.
  const unsigned int unwinding =
      &fiber.runnable == running_ ? eh_globals_->uncaught_exceptions : fiber.runnable.uncaught_exceptions;
  if (fiber.state == FiberBlock::State::begun && fiber.unwind_deferred == 0 && unwinding == 0) fiber.interrupt_on_host();
}

// The newest first, each after those under it, as they are told. No code of users runs meanwhile.
void SchedulerCore::cancel_with_all_below(FiberBlock* top) noexcept {
  FiberBlock* at = top != nullptr ? top : newest_;
  const auto go_down = [&] {
    while (at->newest_child != nullptr) at = at->newest_child;
  };
  if (at == nullptr) return;
  go_down();
  while (true) {
    if (at->group == nullptr) cancel(*at);
    if (at == top) return;
    const FiberBlock* const newest = at->parent == nullptr ? newest_ : at->parent->newest_child;
    if (at->older != newest) {
      at = at->older;
      go_down();
    } else if (at->parent != nullptr) {
      at = at->parent;
    } else {
      return;
    }
  }
}

// --- all fibers ------------------------------------------------------------------------------------------------------------------

void SchedulerCore::begin_stop(const std::optional<Instant>& deadline) noexcept {
  settle_deadline_of_all(deadline);
  start_stopper();
}

void SchedulerCore::settle_deadline_of_all(const std::optional<Instant>& deadline) noexcept {
  if (!deadline || deadline->time_since_epoch().count() >= stop_deadline_) return;
  stop_deadline_ = deadline->time_since_epoch().count();
  cancel_timer(stop_timer_);
  add_timer(stop_timer_, stop_deadline_);
}

// A fiber of its own, because then() functions of the signals that go belong on no stack of somebody who waits. It tells itself, too,
// which must not end it half way.
void SchedulerCore::start_stopper() noexcept {
  static constexpr FiberBlock::Job kTellAll{
      .call =
          [](void* self) {
            const NoUnwind whole;
            auto& core = *static_cast<SchedulerCore*>(self);
            core.tell_children(core.newest_, core.stop_deadline_);
          },
      .drop_function = [](void*) noexcept {},
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  start_helper("stop of all fibers", kTellAll);
}

// --- at the deadline -------------------------------------------------------------------------------------------------------------

constexpr TimerOps CancelTimer::kOps{
    .take = [](TimerNode&) { return true; },
    .fire =
        [](TimerNode& node) {
          auto& timer = static_cast<CancelTimer&>(node);
          timer.core.cancel_with_all_below(timer.top);
        },
};

FiberWatch::FiberWatch(SchedulerCore& core, FiberBlock& fiber, std::int64_t deadline)
    : StopWatch(*core.clock_),
      cancel_timer_(core, &fiber),
      name_(fiber.own_name),
      thread_(core.node_->parent() ? core.node_->parent() : Ref<Node>(*core.node_)) {
  core.add_timer(cancel_timer_, deadline);
  watch_until(Instant(std::chrono::nanoseconds(deadline)));
}

void FiberWatch::end() noexcept {
  cancel_timer_.core.cancel_timer(cancel_timer_);
  ended_.store(true, std::memory_order_release);  // pairs with has_ended()
  end_watch();
  unref();
}

void FiberWatch::report() { thread_->end_process(name_); }

}  // namespace cooperative::internal
