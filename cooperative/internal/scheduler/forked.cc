#include "cooperative/internal/scheduler/forked.h"

#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/foreign_poll.h"
#include "cooperative/internal/scheduler/poller.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/tree/node.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::Context;
using mothreads::internal::Ref;
using mothreads::internal::WaitList;

namespace {

// In the place of the caller's own, from fork() on: its function has ended in the child.
constexpr FiberBlock::Job kForkedJob{
    .call = [](void*) {},
    .drop_function = [](void*) noexcept { end_forked_fiber(); },
    .destroy = [](void*) noexcept {},
    .free = nullptr,
};

void make_anew(WaitList& list) noexcept { new (&list) WaitList; }

}  // namespace

void end_forked_fiber() noexcept {
  auto& fiber = static_cast<FiberBlock&>(Context::current());
  if (fiber.failure) mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, fiber.failure);
  mothreads::internal::end_forked_process();
}

// Its thread is not in the child: whoever has a handle finds that it has ended.
void leave_if_others(SchedulerCore& core) noexcept {
  if (!core.is_its_thread() && !core.is_of_world()) core.lose_thread();
}

namespace {

// Nothing of it is destroyed: only its block may be used again, by the end of its handle.
void leave_behind(FiberBlock& fiber) noexcept {
  fiber.leave_behind();
  fiber.state = FiberBlock::State::ended;
  fiber.outcome = FiberBlock::Outcome::left_behind;
  fiber.job = nullptr;
  fiber.left = nullptr;
  fiber.runnable.caught_exceptions = nullptr;
  fiber.runnable.uncaught_exceptions = 0;
  new (&fiber.failure) std::exception_ptr;
  new (&fiber.failed_in) std::weak_ptr<GroupPlace>;
  fiber.has_stopped_signal = false;
  new (&fiber.stopped) mothreads::Signal(mothreads::NEVER);
  fiber.member = nullptr;
}

// A loop, however deep they are: those that are to be seen are chained.
void leave_fibers_behind(SchedulerCore& core) noexcept {
  SchedulerLife& rooms = core.rooms();
  FiberBlock* const caller = core.running_fiber();
  FiberBlock* to_see = nullptr;
  const auto add_children = [&to_see](FiberBlock* newest) {
    FiberBlock* child = newest;
    if (child == nullptr) return;
    do {
      FiberBlock* const older = child->older;  // where next_free() is, too
      child->next_free() = std::exchange(to_see, child);
      child = older;
    } while (child != newest);
  };
  rooms.stopping.leave_behind();
  add_children(rooms.tree.leave_behind());
  FiberBlock* groups = nullptr;
  while (to_see != nullptr) {
    FiberBlock& fiber = *std::exchange(to_see, to_see->next_free());
    add_children(std::exchange(fiber.newest_child, nullptr));
    fiber.parent = fiber.older = fiber.newer = nullptr;
    fiber.watch = nullptr;
    fiber.has_untold = fiber.is_being_told = false;
    fiber.stop_deadline = FiberBlock::kNoDeadline;
    make_anew(fiber.joiners);
    if (fiber.group != nullptr) {
      fiber.next_free() = std::exchange(groups, &fiber);
    } else if (&fiber != caller) {
      leave_behind(fiber);
    }
  }
  // To their owners groups are closed, as after the end of a scheduler.
  while (groups != nullptr) {
    FiberBlock& block = *std::exchange(groups, groups->next_free());
    block.group->members = 0;
    new (&block.group->failures) std::vector<mothreads::EndRecord>;  // they count in the parent
    make_anew(block.group->joiners);
    block.group->block = nullptr;
    block.group = nullptr;
    block.member = nullptr;
    block.has_stopped_signal = false;
    new (&block.stopped) mothreads::Signal(mothreads::NEVER);
  }
  rooms.population.leave_behind();
}

void leave_parents_things(SchedulerCore& core) noexcept {
  SchedulerLife& rooms = core.rooms();
  rooms.queue.leave_behind();
  make_anew(rooms.until_idle);
  rooms.timers.leave_behind();
  rooms.ending = rooms.just_polled = false;
  core.forget_io_waits();
  core.inbox().leave_behind();
  if (rooms.foreign_poll != nullptr) rooms.foreign_poll->leave_behind();
  if (rooms.poller != nullptr) {
    rooms.poller->leave_behind();
    rooms.poller.reset();
  }
  rooms.services.leave_behind();
  rooms.callbacks.leave_behind();
}

void become_root(SchedulerCore& core) noexcept {
  SchedulerLife& rooms = core.rooms();
  if (FiberBlock* const caller = core.running_fiber()) {
    rooms.root->context->leave_behind();
    rooms.root = &caller->runnable;
    rooms.root->is_fiber = false;
    caller->is_root = true;
    caller->job = &kForkedJob;
    caller->has_handle = caller->is_cancelled = caller->told_to_stop = caller->care.unwind_wanted = false;
    caller->left = nullptr;
    rooms.turns.give_acts(caller->runnable);
    core.begin_turn(caller->runnable);
  }
  Context& context = *rooms.root->context;
  mothreads::internal::Node& main = *context.node;  // the child's: the tree has had its turn
  context.node = &main;
  context.set_name(main.name().c_str());
  main.context().set(&context);
  rooms.callbacks.make_anew(main.name());
  rooms.node = nullptr;  // the parent's
  core.add_node();
}

}  // namespace

void go_on_in_child() noexcept {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core == nullptr || core->is_of_world()) return;  // a test world has no child but one that calls exec() or _exit()
  leave_fibers_behind(*core);
  leave_parents_things(*core);
  become_root(*core);
}

}  // namespace cooperative::internal
