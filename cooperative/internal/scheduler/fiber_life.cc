#include "cooperative/internal/scheduler/fiber_life.h"

#include <cxxabi.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/fiber_member.h"
#include "cooperative/internal/scheduler/forked.h"
#include "cooperative/internal/scheduler/groups.h"
#include "mothreads/internal/wait/context.h"

// All of it is in one file, so that the compiler makes a few large functions of it (COOPERATIVE_FLATTENED); what few fibers need is
// elsewhere (fiber_ends.cc).

namespace cooperative::inline v0::internal {

using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::WaitNode;

// --- its beginning -------------------------------------------------------------------------------------------------------------

FiberBlock& make_fiber(SchedulerCore& core, std::string_view name, FiberBlock* parent) {
  SchedulerLife& rooms = core.rooms();
  FiberBlock& fiber = take_block(core, name);
  Context& maker = *core.running().context;
  fiber.clock = maker.clock;
  fiber.node = rooms.root->context->node;
  fiber.name = fiber.own_name.c_str();
  if (fiber.log_extras != maker.log_extras) [[unlikely]] fiber.log_extras = maker.log_extras;
  fiber.floating_point.take();
  rooms.tree.link_newest(fiber, parent);
  rooms.stopping.note_new(fiber);
  rooms.population.add();
  return fiber;
}

void unmake_fiber(FiberBlock& fiber) noexcept {
  leave_place(fiber);
  fiber.core->rooms().population.remove();
  recycle(fiber);
}

FiberBlock& make_fiber(SchedulerCore& core, std::string_view name) {
  core.rooms().population.check_limit(name);
  FiberBlock* const maker = core.running_fiber();
  if (maker == nullptr || maker->state == FiberBlock::State::begun) [[likely]] return make_fiber(core, name, maker);
  FiberBlock& fiber = make_fiber(core, name, core.parent_for_new());
  fiber.may_be_late = true;
  return fiber;
}

FiberBlock& make_helper(SchedulerCore& core, std::string_view name, FiberBlock* parent) noexcept {
  FiberBlock& helper = make_fiber(core, name, parent);
  helper.clock = &core.rooms().timers.clock();
  helper.floating_point = core.rooms().floating_point;
  const Context& root = *core.rooms().root->context;
  if (helper.log_extras != root.log_extras) helper.log_extras = root.log_extras;
  return helper;
}

void start_helper(FiberBlock& helper, const FiberBlock::Job& job, void* job_self) noexcept {
  helper.job = &job;
  helper.job_self = job_self;
  start(helper);
}

void start_at_once(FiberBlock& fiber) noexcept {
  SchedulerCore& core = *fiber.core;
  {
    const mothreads::internal::NoUnwind whole;  // one that cannot have a stack ends here
    if (!prepare(core, fiber)) return;
  }
  Runnable& maker = core.running();
  core.rooms().queue.push_next(maker);
  core.switch_to(maker, fiber.runnable);
}

namespace {

void run_fibers(void* core_pointer) noexcept;
[[gnu::noinline]] void finish_with_care(SchedulerCore& core, FiberBlock& fiber) noexcept;
[[gnu::noinline, noreturn]] void end_forced(SchedulerCore& core, FiberBlock& fiber) noexcept;
void end_function(SchedulerCore& core, FiberBlock& fiber) noexcept;

}  // namespace

bool prepare(SchedulerCore& core, FiberBlock& fiber) noexcept {
  Stack* const stack = core.rooms().stacks.find(fiber);
  if (stack == nullptr) [[unlikely]] {
    // It ends with that error, on the stack of whoever was about to switch to it.
    fiber.outcome = FiberBlock::Outcome::threw;
    if (fiber.job->drop_function != nullptr) fiber.job->drop_function(fiber.job_self);
    finish_with_care(core, fiber);
    return false;
  }
  asan_unpoison(stack->lowest, static_cast<std::size_t>(stack->top - stack->lowest));
  fiber.runnable.stack = stack;
  fiber.runnable.has_begun = true;
  fiber.runnable.stack_pointer = prepare_stack(stack->top, run_fibers, &core, fiber.floating_point);
  return true;
}

Runnable& prepared(SchedulerCore& core, Runnable& next, Runnable& from) noexcept {
  Runnable* to = &next;
  while (to != &from && !to->has_begun && !prepare(core, static_cast<FiberBlock&>(*to->context))) {
    to = core.rooms().queue.pop_in_round();
    if (to == nullptr) to = &core.next_round();
  }
  return *to;
}

namespace {

void note_cancelled(FiberBlock& fiber) noexcept {
  if (fiber.outcome != FiberBlock::Outcome::killed) fiber.outcome = FiberBlock::Outcome::cancelled;
}

// A forced unwind has no exception object: the reference to it is null, which UBSan must not mind.
__attribute__((no_sanitize("null"))) void run(SchedulerCore& core, FiberBlock& fiber) noexcept {
  fiber.state = FiberBlock::State::begun;
  core.rooms().stacks.begin_marks(fiber);
  if (fiber.failure) [[unlikely]] {
    fiber.outcome = FiberBlock::Outcome::threw;  // no stack as large as it needs
  } else if (fiber.is_cancelled) [[unlikely]] {
    note_cancelled(fiber);  // before it began
  } else {
    try {
      fiber.job->call(fiber.job_self);
      fiber.outcome = FiberBlock::Outcome::returned;
    } catch (const FiberCancelled&) {
      note_cancelled(fiber);
    } catch (abi::__forced_unwind&) {
      end_forced(core, fiber);
    } catch (...) {
      fiber.outcome = FiberBlock::Outcome::threw;
      fiber.failure = std::current_exception();
    }
  }
  end_function(core, fiber);
}

}  // namespace

// --- its end -------------------------------------------------------------------------------------------------------------------

namespace {

void end_function(SchedulerCore& core, FiberBlock& fiber) noexcept {
  // From here on the fiber runs code of the library: it may wait, and is not cancelled any more.
  ++fiber.unwind_deferred;
  fiber.state = FiberBlock::State::returned;
  if (fiber.job->drop_function != nullptr) fiber.job->drop_function(fiber.job_self);
  fiber.state = FiberBlock::State::ending;
  if (fiber.newest_child != nullptr) [[unlikely]] core.stopping().stop_children(fiber);
  fiber.state = FiberBlock::State::leaving;
  if (!fiber.has_handle) drop_job(fiber);  // nobody will take the result, and what it refers to may go now
  core.rooms().stacks.end_marks(fiber);
}

}  // namespace

void drop_job(FiberBlock& fiber) noexcept {
  if (fiber.job == nullptr) return;
  const FiberBlock::Job& job = *std::exchange(fiber.job, nullptr);
  if (job.destroy != nullptr) job.destroy(fiber.job_self);
  if (job.free != nullptr) job.free(fiber.job_self);
}

namespace {

// Its joiners go on.
inline void mark_ended(SchedulerCore& core, FiberBlock& fiber) noexcept {
  fiber.state = FiberBlock::State::ended;
  fiber.set_life(0);
  while (WaitNode* joiner = fiber.joiners.claim_front_on_host()) core.end_wait(*joiner, Why::ready);
  core.rooms().population.remove();
}

inline void wake_if_last(SchedulerCore& core) noexcept {
  Population& population = core.rooms().population;
  if (!population.is_zero()) return;
  while (WaitNode* waiter = population.waiters().claim_front_on_host()) core.end_wait(*waiter, Why::ready);
}

// Out of the tree, and what the handle does not need goes.
inline void finish(SchedulerCore& core, FiberBlock& fiber) noexcept {
  const bool is_in_group = fiber.parent != nullptr && fiber.parent->group != nullptr;
  if (is_in_group || fiber.failure || fiber.has_stopped_signal || fiber.watch != nullptr || fiber.is_root) [[unlikely]] {
    return finish_with_care(core, fiber);
  }
  core.rooms().tree.unlink(fiber);
  mark_ended(core, fiber);
  wake_if_last(core);
  if (!fiber.has_handle) recycle(fiber);
}

// Code of users, which may use the fiber's handle and its group, runs last: by then the library has let go of everything else.
void finish_with_care(SchedulerCore& core, FiberBlock& fiber) noexcept {
  if (fiber.is_root) [[unlikely]] end_forked_fiber();  // what its function captured, or returned, has called fork() as it was destroyed
  // Kept, because the end of its last member may be the group's.
  const auto group = fiber.parent != nullptr && fiber.parent->group != nullptr ? fiber.parent->group->shared_from_this() : nullptr;
  const bool failed = fiber.failure != nullptr;
  if (fiber.member != nullptr) fiber.member->publish_end(end_record_of(fiber));
  if (failed) {
    const FiberBlock* const heir = heir_of(fiber);
    if (heir != nullptr && heir->group != nullptr) fiber.failed_in = heir->group->weak_from_this();
    if (!fiber.has_handle) report_failure(fiber);
  }
  const ParentRef parent{fiber.parent, fiber.parent == nullptr ? 0 : fiber.parent->id};
  leave_place(fiber);
  if (fiber.watch != nullptr) Stopping::end_watch(fiber);
  mark_ended(core, fiber);
  if (fiber.has_stopped_signal || group != nullptr) tell_of_end(fiber, parent, group, failed);
  wake_if_last(core);
  if (!fiber.has_handle) recycle(fiber);
}

}  // namespace

void recycle(FiberBlock& fiber) noexcept {
  drop_job(fiber);
  if (fiber.takes_stop) [[unlikely]] fiber.please_stop = mothreads::NEVER;
  if (fiber.failure) [[unlikely]] fiber.failure = nullptr;
  if (fiber.has_stopped_signal) [[unlikely]] {
    fiber.has_stopped_signal = false;
    fiber.stopped = mothreads::NEVER;
    drop_member(fiber);
  }
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
  fiber.care = {};  // as one word, since the next wait reads it as one
  fiber.is_cancelled = false;
  fiber.runnable.stack_pointer = nullptr;  // a report may look there as soon as the next has begun
  fiber.runnable.stack = nullptr;
  fiber.runnable.has_begun = false;
  fiber.runnable.max_acts = 0;
  fiber.core->blocks().give_back(fiber);
}

void let_go(FiberBlock& fiber) {
  fiber.has_handle = false;
  if (fiber.state != FiberBlock::State::ended || fiber.failure || fiber.left != nullptr) [[unlikely]] return let_go_with_care(fiber);
  recycle(fiber);
}

namespace {

// The stack of the fiber that has ended is given back from another.
[[noreturn, gnu::always_inline]] inline void leave_for_good(SchedulerCore& core, Stack& stack, Runnable& next) noexcept {
  SchedulerLife& rooms = core.rooms();
  Runnable* to = &next;
  while (!to->has_begun && !prepare(core, static_cast<FiberBlock&>(*to->context))) {
    to = rooms.queue.pop_in_round();
    if (to == nullptr) to = &core.next_round();
  }
  rooms.stacks.give_back_ended();  // of the one before
  core.begin_turn(*to);
  rooms.stacks.set_ended(stack);
  rooms.switcher.leave_for(*to);
}

// pthread_exit(), or a pthread_cancel() that has met a cancellation point. The C library wants to unwind the whole thread, and ends the program
// when the exception is not thrown on. Whose stack it was is unwound; the thread is the others', too, so the handler is left for good.
void end_forced(SchedulerCore& core, FiberBlock& fiber) noexcept {
  fiber.outcome = FiberBlock::Outcome::threw;
  fiber.failure = std::make_exception_ptr(std::runtime_error(
      fmt::format("fiber \"{}\" was ended by pthread_exit() or pthread_cancel(): let its function return", fiber.own_name)));
  end_function(core, fiber);
  Stack& stack = *fiber.runnable.stack;
  finish_with_care(core, fiber);
  Runnable* const next = core.rooms().queue.pop_in_round();
  leave_for_good(core, stack, next != nullptr ? *next : core.next_round());
}

// All fibers' bottom. One that has ended leaves its stack to the next that has none yet: no switch, and no second stack.
COOPERATIVE_FLATTENED void run_fibers(void* core_pointer) noexcept {
  auto& core = *static_cast<SchedulerCore*>(core_pointer);
  SchedulerLife& rooms = core.rooms();
  rooms.switcher.arrive(nullptr);
  while (true) {
    auto& fiber = static_cast<FiberBlock&>(*core.running().context);
    run(core, fiber);
    Stack& stack = *fiber.runnable.stack;
    finish(core, fiber);
    // In a test world the conductor is asked.
    Runnable* next = rooms.conductor == nullptr ? core.next_at_once() : rooms.queue.pop_in_round();
    if (next == nullptr) next = &core.next_round();
    if (!next->has_begun) {
      auto& fresh = static_cast<FiberBlock&>(*next->context);
      if (FiberStacks::size_for(fresh) == stack.size) {
        next->stack = &stack;
        next->has_begun = true;
        core.begin_turn(*next);
        rooms.switcher.hand_stack_to(*next);
        fresh.floating_point.load();
        continue;
      }
    }
    leave_for_good(core, stack, *next);
  }
}

}  // namespace

}  // namespace cooperative::internal
