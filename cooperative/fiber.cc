#include "cooperative/fiber.h"

#include <fmt/core.h>

#include "cooperative/internal/scheduler/fiber_member.h"
#include "cooperative/internal/scheduler/groups.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {
namespace internal {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;

void refuse_handle(const FiberBlock* fiber) {
  if (fiber == nullptr) throw Misuse("this Fiber handle owns no fiber: it was joined, released or moved from");
  if (!fiber->core->lives(fiber->core_life)) {
    throw Misuse(fmt::format("fiber \"{}\" was used after the end of its thread: join or release it there before", fiber->own_name));
  }
  throw Misuse(fmt::format("fiber \"{}\" was used from another thread than its own: post a callback to its scheduler, or wait for its "
                           "stopped()", fiber->own_name));
}

void throw_not_joined(const FiberBlock& fiber, Why why) {
  mothreads::throw_ended_early(why, fiber.own_name, fmt::format("the join of fiber \"{}\" {} before it had ended", fiber.own_name,
                                                                why == Why::stopped ? "was stopped" : "timed out"));
}

void rethrow(FiberBlock& fiber) {
  fiber.failed_in.reset();
  if (fiber.failure) std::rethrow_exception(std::exchange(fiber.failure, nullptr));
  if (fiber.outcome == FiberBlock::Outcome::left_behind) {
    throw Misuse(fmt::format("fiber \"{}\" runs in the process that made this one by fork(), which alone can join it", fiber.own_name));
  }
  throw WasCancelled(fmt::format("fiber \"{}\" was cancelled: it has no result", fiber.own_name));
}

void stop_and_wait(FiberBlock& fiber) noexcept {
  if (!SchedulerCore::is_current(fiber.core_life)) {
    if (!fiber.core->lives(fiber.core_life)) return let_go_after_end(fiber);
    mothreads::internal::fatal_misuse(fmt::format("the handle of fiber \"{}\" was destroyed on another thread than the fiber's: let its own "
                                        "thread destroy it", fiber.own_name));
  }
  stop_then_let_go(fiber);
}

Signal please_stop_of(FiberBlock& fiber) {
  if (!fiber.takes_stop) {
    throw Misuse(fmt::format("fiber \"{}\" has no please_stop, because its function takes none", fiber.own_name));
  }
  return fiber.please_stop;
}

mothreads::Member member_of(FiberBlock& fiber) { return mothreads::Member(FiberMember::of(fiber), mothreads::internal::kAccess); }

ParentRef parent_of_member(const mothreads::Member& member) { return member.is_empty() ? ParentRef() : fiber_parent_of(member.get(mothreads::internal::kAccess)); }

FiberBlock& new_fiber(const Order& order) {
  if (order.name.empty()) throw Misuse("a fiber needs a name: give spawn() one that says what the fiber does");
  SchedulerCore& core = SchedulerCore::current();
  FiberBlock* fiber = nullptr;
  if (order.parent.is_root()) {
    core.rooms().population.check_limit(order.name);
    fiber = &make_fiber(core, order.name, nullptr);
    fiber->may_be_late = true;
  } else if (order.parent.block == nullptr) {
    fiber = &make_fiber(core, order.name);
  } else {
    core.rooms().population.check_limit(order.name);
    check_parent("fiber", order.name, core, order.parent);
    fiber = &make_fiber(core, order.name, order.parent.block);
    fiber->stays_with_parent = fiber->may_be_late = true;
  }
  fiber->stack_size = order.stack_size;
  fiber->stack_option = order.stack_option;
  return *fiber;
}

void give_please_stop(FiberBlock& fiber, const Signal* shared) {
  fiber.takes_stop = true;
  if (shared != nullptr) {
    fiber.please_stop = *shared;
  } else {
    fiber.please_stop = Signal("please_stop for " + fiber.own_name);
  }
}

}  // namespace internal


std::string_view current_name() { return mothreads::internal::Context::current().name; }

}  // namespace cooperative
