// A scheduler in the child of a fork() that its own thread has called. Of what shares the thread only the caller goes on: it becomes the
// scheduler's root. The other fibers are left behind as they are, since to unwind them, or to let them run, would be to do twice what the
// parent does once: to read from its connections, to say farewell on them. To their handles they have ended. What the kernel shares with the
// parent, above all the epoll, is closed here and made anew.

#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "cooperative/internal/foreign_poll.h"
#include "cooperative/internal/poller.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/internal/scheduler_node.h"
#include "mothreads/contexts/fork.h"
#include "mothreads/contexts/node.h"

namespace cooperative::internal {

using mothreads::internal::Context;
using mothreads::internal::Ref;
using mothreads::internal::WaitList;

namespace {

// In the place of the caller's own, from fork() on: its function has ended in the child.
constexpr FiberBlock::Job kForkedJob{
    .call = [](void*) {},
    .drop_function = [](void*) noexcept { SchedulerCore::end_forked_fiber(); },
    .destroy = [](void*) noexcept {},
    .free = nullptr,
};

void make_anew(WaitList& list) noexcept { new (&list) WaitList; }

}  // namespace

void SchedulerCore::end_forked_fiber() noexcept {
  auto& fiber = static_cast<FiberBlock&>(Context::current());
  if (fiber.failure) mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, fiber.failure);
  mothreads::internal::end_forked_process();
}

// Its thread is not in the child: whoever has a handle finds that it has ended.
void SchedulerCore::leave_if_others() noexcept {
  if (this == current_ || conductor_ != nullptr) return;
  life_.store(0, std::memory_order_relaxed);
  is_left_behind = true;
  if (mailbox_ != nullptr) mailbox_->leave_behind();
}

void SchedulerCore::go_on_in_child() noexcept {
  SchedulerCore* const core = current_;
  if (core == nullptr || core->conductor_ != nullptr) return;  // a test world has no child but one that calls exec() or _exit()
  core->leave_fibers_behind();
  core->leave_parents_things();
  core->become_root();
}

// A loop, however deep they are: those that are to be seen are chained.
void SchedulerCore::leave_fibers_behind() noexcept {
  FiberBlock* const caller = running_fiber();
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
  all_told_ = false;
  add_children(std::exchange(newest_, nullptr));
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
    new (&block.group->failures) std::vector<std::pair<std::string, std::exception_ptr>>;  // they count in the parent
    make_anew(block.group->joiners);
    block.group->block = nullptr;
    block.group = nullptr;
  }
  fibers_ = finishing_ = 0;
}

// Nothing of it is destroyed: only its block may be used again, by the end of its handle.
void SchedulerCore::leave_behind(FiberBlock& fiber) noexcept {
  fiber.leave_behind();
  fiber.state = FiberBlock::State::ended;
  fiber.outcome = FiberBlock::Outcome::left_behind;
  fiber.job = nullptr;
  fiber.left = nullptr;
  fiber.runnable.caught_exceptions = nullptr;
  fiber.runnable.uncaught_exceptions = 0;
  new (&fiber.failure) std::exception_ptr;
  new (&fiber.failed_in) std::weak_ptr<GroupPlace>;
  new (&fiber.stopped) std::optional<mothreads::Signal>;
}

void SchedulerCore::leave_parents_things() noexcept {
  batch_ = ready_ = yielded_ = {};
  make_anew(until_idle_);
  make_anew(no_fibers_waiters_);
  wheel_->for_each([this](mothreads::internal::TimerNode& timer) { wheel_->remove(timer); });
  calls_ = errands_ = {};
  calls_run_ = errands_run_ = ending_ = just_polled_ = false;
  calls_fiber_ = nullptr;
  next_due_ = mothreads::internal::TimerWheel::kNever;
  rounds_to_check_ = rounds_per_check_ = 1;
  told_at_stop_ = 0;
  stop_deadline_ = FiberBlock::kNoDeadline;
  io_waits_ = 0;
  bell_.leave_behind();
  if (foreign_poll_ != nullptr) foreign_poll_->leave_behind();
  if (poller_ != nullptr) {
    poller_->leave_behind();
    delete std::exchange(poller_, nullptr);
  }
  for (std::unique_ptr<Service>& service : services_) static_cast<void>(service.release());  // with their threads, and their ring
  inbox_.store(nullptr, std::memory_order_relaxed);
  mailbox_->leave_behind();
}

void SchedulerCore::become_root() noexcept {
  if (FiberBlock* const caller = running_fiber()) {
    root_->context->leave_behind();
    root_ = &caller->runnable;
    root_->is_fiber = false;
    caller->is_root = true;
    caller->job = &kForkedJob;
    caller->has_handle = caller->is_cancelled = caller->told_to_stop = caller->unwind_wanted = false;
    caller->left = nullptr;
    set_acts(caller->runnable);
    begin_turn(caller->runnable);
  }
  Context& context = *root_->context;
  mothreads::internal::Node& main = *context.node;  // the child's: the tree has had its turn
  context.node = &main;
  context.name = main.name().c_str();
  main.set_context(&context);
  mailbox_ = std::make_shared<Mailbox>(nullptr);
  node_ = nullptr;  // the parent's
  add_node();
}

}  // namespace cooperative::internal
