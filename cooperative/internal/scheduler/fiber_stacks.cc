#include "cooperative/internal/scheduler/fiber_stacks.h"

#include <new>

namespace cooperative::inline v0::internal {

namespace {

std::string_view name_of(FiberBlock::StackOption option) noexcept {
  switch (option) {
    case FiberBlock::StackOption::of_parallel: return "ParallelOptions::stack_size";
    case FiberBlock::StackOption::of_timer: return "TimerOptions::stack_size";
    case FiberBlock::StackOption::of_callbacks: return "SchedulerOptions::callback_stack_size";
    case FiberBlock::StackOption::of_callback_queue: return "CallbackQueueOptions::stack_size";
    case FiberBlock::StackOption::of_server: return "ServerOptions::stack_size";
    case FiberBlock::StackOption::of_fiber: break;
  }
  return "FiberOptions::stack_size";
}

}  // namespace

void FiberStacks::record(const FiberBlock& fiber) noexcept {
  try {
    if (checks_) marks_.record(*fiber.runnable.stack, fiber.own_name);
  } catch (const std::bad_alloc&) {  // then it is not counted
  }
  fiber.runnable.stack->began_clean = false;
}

// On the running fiber's own guard it is an overflow, whatever touched it; on another's only when it was on that one's stack, else it
// is a pointer gone wild.
FiberStacks::Overflow FiberStacks::find_overflow(const Runnable& running, const void* address, const void* stack_pointer) const noexcept {
  const Stack* stack = stacks_.guarded_by(address);
  if (stack == nullptr) return {};
  const auto* fiber = running.is_fiber ? static_cast<const FiberBlock*>(running.context) : nullptr;
  const std::string_view name = fiber != nullptr ? std::string_view(fiber->own_name) : std::string_view(running.context->name);
  const std::string_view option = name_of(fiber != nullptr ? fiber->stack_option : FiberBlock::StackOption::of_fiber);
  if (stack == running.stack) return {.stack = stack, .name = name, .is_leaving = false, .option = option};
  if (stack_pointer < stack->lowest - kStackGuard || stack_pointer >= stack->top) return {};
  return {.stack = stack, .name = name, .is_leaving = true, .option = name_of(FiberBlock::StackOption::of_fiber)};
}

}  // namespace cooperative::internal
