#include <cxxabi.h>

#include <exception>
#include <utility>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/internal/fiber_tree.h"
#include "cooperative/internal/sanitizers.h"
#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/printable.h"
#include "mothreads/misuse.h"

// The life of a fiber: the fiber is made, gets a stack, runs, ends, and its block is used again. All of it is in one file, so that the
// compiler makes a few large functions of it (COOPERATIVE_FLATTENED); what few fibers need is elsewhere (fibers.cc).

namespace cooperative::internal {

using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::WaitNode;

// --- its beginning -------------------------------------------------------------------------------------------------------------

namespace {

[[gnu::noinline]] void rename(FiberBlock& block, std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    throw mothreads::Misuse(fmt::format("\"{}\" cannot be the name of a fiber: it has a zero byte, which would end it in every report", mothreads::internal::printable(name)));
  }
  block.own_name.assign(name);
}

}  // namespace

FiberBlock& SchedulerCore::take_block(std::string_view name) {
  if (free_blocks_ == nullptr) [[unlikely]] make_blocks();
  FiberBlock& block = *free_blocks_;
  if (block.own_name != name) rename(block, name);  // most often it had that name before
  free_blocks_ = block.next_free();
  block.core_life = life();
  block.id = next_id_++;
  block.set_life(block.id);
  block.runnable.acts = acts_per_turn_;
  return block;
}

FiberBlock& SchedulerCore::make_fiber(std::string_view name, FiberBlock* parent) {
  FiberBlock& fiber = take_block(name);
  Context& maker = *running_->context;
  fiber.clock = maker.clock;
  fiber.node = root_->context->node;
  fiber.name = fiber.own_name.c_str();
  if (fiber.log_extras != maker.log_extras) [[unlikely]] fiber.log_extras = maker.log_extras;
  fiber.floating_point.take();
  link_newest(fiber, parent);
  ++fibers_;
  return fiber;
}

void SchedulerCore::unmake_fiber(FiberBlock& fiber) noexcept {
  unlink_child(fiber);
  --fibers_;
  recycle(fiber);
}

FiberBlock& SchedulerCore::make_fiber(std::string_view name) {
  check_limit(name);
  FiberBlock* const maker = running_fiber();
  if (maker == nullptr || maker->state == FiberBlock::State::begun) [[likely]] return make_fiber(name, maker);
  FiberBlock& fiber = make_fiber(name, parent_for_new());
  fiber.may_be_late = true;
  return fiber;
}

// `next`, or whoever comes next after it, once it has a stack; `from` when nobody else is ready any more.
Runnable& SchedulerCore::prepared(Runnable& next, Runnable& from) noexcept {
  Runnable* to = &next;
  while (to != &from && !to->has_begun && !prepare(static_cast<FiberBlock&>(*to->context))) {
    to = batch_.pop_front();
    if (to == nullptr) to = &next_round();
  }
  return *to;
}

void SchedulerCore::start_at_once(FiberBlock& fiber) noexcept {
  {
    const mothreads::internal::NoUnwind whole;  // one that cannot have a stack ends here
    if (!prepare(fiber)) return;
  }
  Runnable& maker = *running_;
  batch_.push_front(maker);
  switch_to(maker, fiber.runnable);
}

// The stack of the fiber that ended just before serves this one, as it is.
inline Stack* SchedulerCore::find_stack(FiberBlock& fiber) noexcept {
  if (fiber.stack_size == 0 && ended_stack_ != nullptr && ended_stack_->size == kDefaultStackSize) return std::exchange(ended_stack_, nullptr);
  const std::size_t size = fiber.stack_size == 0 ? kDefaultStackSize : fiber.stack_size;
  give_back_ended();
  try {
    return &stacks_->take(size, fiber.own_name);
  } catch (...) {
    fiber.failure = std::current_exception();
  }
  if (size == kDefaultStackSize) return nullptr;
  try {
    return &stacks_->take(kDefaultStackSize, fiber.own_name);  // to end on
  } catch (...) {
    return nullptr;
  }
}

bool SchedulerCore::prepare(FiberBlock& fiber) noexcept {
  Stack* const stack = find_stack(fiber);
  if (stack == nullptr) [[unlikely]] {
    // It ends with that error, on the stack of whoever was about to switch to it.
    fiber.outcome = FiberBlock::Outcome::threw;
    if (fiber.job->drop_function != nullptr) fiber.job->drop_function(fiber.job_self);
    finish_with_care(fiber);
    return false;
  }
  asan_unpoison(stack->lowest, static_cast<std::size_t>(stack->top - stack->lowest));
  fiber.runnable.stack = stack;
  fiber.runnable.has_begun = true;
  fiber.runnable.stack_pointer = prepare_stack(stack->top, run_fibers, this, fiber.floating_point);
  return true;
}

// A forced unwind has no exception object: the reference to it is null, which UBSan must not mind.
__attribute__((no_sanitize("null"))) void SchedulerCore::run(FiberBlock& fiber) noexcept {
  fiber.state = FiberBlock::State::begun;
  if (checks_stacks_) [[unlikely]] StackMarks::clean(*fiber.runnable.stack);
  if (fiber.failure) [[unlikely]] {
    fiber.outcome = FiberBlock::Outcome::threw;  // no stack as large as it needs
  } else if (fiber.is_cancelled) [[unlikely]] {
    fiber.outcome = FiberBlock::Outcome::cancelled;  // before it began
  } else {
    try {
      fiber.job->call(fiber.job_self);
      fiber.outcome = FiberBlock::Outcome::returned;
    } catch (const FiberCancelled&) {
      fiber.outcome = FiberBlock::Outcome::cancelled;
    } catch (abi::__forced_unwind&) {
      end_forced(fiber);
    } catch (...) {
      fiber.outcome = FiberBlock::Outcome::threw;
      fiber.failure = std::current_exception();
    }
  }
  end_function(fiber);
}

// --- its end -------------------------------------------------------------------------------------------------------------------

void SchedulerCore::end_function(FiberBlock& fiber) noexcept {
  // From here on the fiber runs code of the library: it may wait, and is not cancelled any more.
  ++fiber.unwind_deferred;
  fiber.state = FiberBlock::State::returned;
  if (fiber.job->drop_function != nullptr) fiber.job->drop_function(fiber.job_self);
  fiber.state = FiberBlock::State::ending;
  if (fiber.newest_child != nullptr) [[unlikely]] stop_children(fiber);
  fiber.state = FiberBlock::State::leaving;
  if (!fiber.has_handle) drop_job(fiber);  // nobody will take the result, and what it refers to may go now
  if (fiber.runnable.stack->began_clean) [[unlikely]] mark_stack(fiber);
}

void SchedulerCore::drop_job(FiberBlock& fiber) noexcept {
  if (fiber.job == nullptr) return;
  const FiberBlock::Job& job = *std::exchange(fiber.job, nullptr);
  if (job.destroy != nullptr) job.destroy(fiber.job_self);
  if (job.free != nullptr) job.free(fiber.job_self);
}

// Out of the tree, and its joiners go on.
inline void SchedulerCore::mark_ended(FiberBlock& fiber) noexcept {
  fiber.state = FiberBlock::State::ended;
  fiber.set_life(0);
  while (WaitNode* joiner = fiber.joiners.claim_front_on_host()) end_wait(*joiner, Why::ready);
  --fibers_;
}

inline void SchedulerCore::finish(FiberBlock& fiber) noexcept {
  const bool is_in_group = fiber.parent != nullptr && fiber.parent->group != nullptr;
  if (is_in_group || fiber.failure || fiber.stopped || fiber.watch != nullptr || fiber.is_root) [[unlikely]] return finish_with_care(fiber);
  leave_siblings(fiber);
  mark_ended(fiber);
  if (fibers_ == 0 && finishing_ == 0) {
    while (WaitNode* waiter = no_fibers_waiters_.claim_front_on_host()) end_wait(*waiter, Why::ready);
  }
  if (!fiber.has_handle) recycle(fiber);
}

// Code of users, which may use the fiber's handle and its group, runs last: by then the library has let go of everything else.
void SchedulerCore::finish_with_care(FiberBlock& fiber) noexcept {
  if (fiber.is_root) [[unlikely]] end_forked_fiber();  // what its function captured, or returned, has called fork() as it was destroyed
  // Kept, because the end of its last member may be the group's.
  const auto group = fiber.parent != nullptr && fiber.parent->group != nullptr ? fiber.parent->group->shared_from_this() : nullptr;
  const bool failed = fiber.failure != nullptr;
  if (failed) {
    const FiberBlock* const heir = heir_of(fiber);
    if (heir != nullptr && heir->group != nullptr) fiber.failed_in = heir->group->weak_from_this();
    if (!fiber.has_handle) report_failure(fiber);
  }
  const ParentRef parent{fiber.parent, fiber.parent == nullptr ? 0 : fiber.parent->id};
  unlink_child(fiber);
  if (fiber.watch != nullptr) end_watch(fiber);
  mark_ended(fiber);
  if (fiber.stopped || group != nullptr) tell_of_end(fiber, parent, group, failed);
  if (fibers_ == 0 && finishing_ == 0) {
    while (WaitNode* waiter = no_fibers_waiters_.claim_front_on_host()) end_wait(*waiter, Why::ready);
  }
  if (!fiber.has_handle) recycle(fiber);
}

void SchedulerCore::recycle(FiberBlock& fiber) noexcept {
  drop_job(fiber);
  if (fiber.takes_stop) [[unlikely]] fiber.please_stop = mothreads::NEVER;
  if (fiber.failure) [[unlikely]] fiber.failure = nullptr;
  if (fiber.stopped) [[unlikely]] fiber.stopped.reset();
  fiber.state = FiberBlock::State::fresh;
  fiber.outcome = FiberBlock::Outcome::none;
  fiber.has_handle = fiber.takes_stop = fiber.told_to_stop = fiber.stays_with_parent = fiber.may_be_late = false;
  fiber.stack_option = FiberBlock::StackOption::of_fiber;
  fiber.has_untold = fiber.is_being_told = false;
  fiber.stop_deadline = FiberBlock::kNoDeadline;
  fiber.stack_size = 0;
  fiber.id = 0;
  fiber.group = nullptr;
  fiber.unwind_deferred = 0;
  fiber.unwind_wanted = fiber.is_cancelled = false;
  fiber.runnable.stack_pointer = nullptr;  // a report may look there as soon as the next has begun
  fiber.runnable.stack = nullptr;
  fiber.runnable.has_begun = false;
  fiber.runnable.max_acts = 0;
  fiber.next_free() = free_blocks_;
  free_blocks_ = &fiber;
}

void SchedulerCore::let_go(FiberBlock& fiber) {
  fiber.has_handle = false;
  if (fiber.state != FiberBlock::State::ended || fiber.failure || fiber.left != nullptr) [[unlikely]] return let_go_with_care(fiber);
  recycle(fiber);
}

inline void SchedulerCore::leave_for_good(Stack& stack, Runnable& next) noexcept {
  Runnable* to = &next;
  while (!to->has_begun && !prepare(static_cast<FiberBlock&>(*to->context))) {
    to = batch_.pop_front();
    if (to == nullptr) to = &next_round();
  }
  give_back_ended();  // of the one before
  ++switches_;
  running_ = to;
  begin_turn(*to);
  ended_stack_ = &stack;
  Context::set_current(to->context);
  load_exceptions(*to);
  tsan_leave_bottom();
  if (to->stack != nullptr) {
    asan_leave(nullptr, to->stack->lowest, static_cast<std::size_t>(to->stack->top - to->stack->lowest));
    tsan_switch(to->stack->tsan_fiber);
  } else {
    asan_leave(nullptr, root_lowest_, root_size_);
    tsan_switch(root_tsan_fiber_);
  }
  void* nowhere = nullptr;
  switch_stack(&nowhere, to->stack_pointer);
  __builtin_unreachable();
}

void SchedulerCore::leave_forced(Stack& stack, Runnable& next) noexcept {
  leave_for_good(stack, next);
  __builtin_unreachable();
}

// All fibers' bottom. One that has ended leaves its stack to the next that has none yet: no switch, and no second stack.
void SchedulerCore::run_fibers(void* core_pointer) noexcept {
  auto& core = *static_cast<SchedulerCore*>(core_pointer);
  core.arrive(nullptr);
  while (true) {
    auto& fiber = static_cast<FiberBlock&>(*core.running_->context);
    core.run(fiber);
    Stack& stack = *fiber.runnable.stack;
    core.finish(fiber);
    // In a test world the conductor is asked.
    Runnable* next = core.conductor_ == nullptr ? core.next_at_once() : core.batch_.pop_front();
    if (next == nullptr) next = &core.next_round();
    if (!next->has_begun) {
      auto& fresh = static_cast<FiberBlock&>(*next->context);
      if ((fresh.stack_size == 0 ? kDefaultStackSize : fresh.stack_size) == stack.size) {
        next->stack = &stack;
        next->has_begun = true;
        core.running_ = next;
        core.begin_turn(*next);
        Context::set_current(next->context);
        core.load_exceptions(*next);
        fresh.floating_point.load();
        continue;
      }
    }
    core.leave_for_good(stack, *next);
  }
}

}  // namespace cooperative::internal
