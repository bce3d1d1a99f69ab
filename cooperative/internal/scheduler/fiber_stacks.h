#pragma once

// The stacks of one scheduler's life: which one a fiber gets, what becomes of it, and how much of it was used. On the scheduler's thread.

#include <cstddef>
#include <exception>
#include <string_view>
#include <utility>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/stack/stack_marks.h"
#include "cooperative/internal/stack/stacks.h"

namespace cooperative::inline v0::internal {

class FiberStacks {
 public:
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  static std::size_t size_for(const FiberBlock& fiber) noexcept { return fiber.stack_size == 0 ? kDefaultStackSize : fiber.stack_size; }
  // Null when there is none to have. The stack of the fiber that ended just before serves this one, as it is. Where there is none of the
  // fiber's own size it gets a failure, and another stack to end on.
  Stack* find(FiberBlock& fiber) noexcept {
    if (fiber.stack_size == 0 && ended_ != nullptr && ended_->size == kDefaultStackSize) return std::exchange(ended_, nullptr);
    return find_another(fiber);
  }
  // The fiber on it has ended, and is about to switch away for good.
  void set_ended(Stack& stack) noexcept { ended_ = &stack; }
  const Stack* ended() const noexcept { return ended_; }
  // The stack of the fiber that ended last: not on that stack itself, so not as long as nobody was switched to.
  void give_back_ended() noexcept {
    if (ended_ != nullptr) stacks_.give_back(*std::exchange(ended_, nullptr));
  }
  // For who has nothing better to do; false when there was nothing to do.
  bool tidy() noexcept { return stacks_.tidy(); }

  // For callbacks, and those of a callback_result(); 0 for the default.
  void set_callback_size(std::size_t bytes) noexcept { callback_size_ = bytes; }
  void give_callback_size(FiberBlock& fiber) const noexcept {
    fiber.stack_size = callback_size_;
    fiber.stack_option = FiberBlock::StackOption::of_callbacks;
  }

  void set_checks(bool on) noexcept { checks_ = on; }
  const StackMarks& marks() const noexcept { return marks_; }
  // On the fiber's own stack, before its function and after it.
  void begin_marks(const FiberBlock& fiber) const noexcept {
    if (checks_) [[unlikely]] StackMarks::clean(*fiber.runnable.stack);
  }
  void end_marks(const FiberBlock& fiber) noexcept {
    if (fiber.runnable.stack->began_clean) [[unlikely]] record(fiber);
  }

  struct Overflow {
    const Stack* stack;       // null when it was none
    std::string_view name;    // of the fiber that runs
    bool is_leaving;          // it was not that one: it was about to switch to it
    std::string_view option;  // by which such a fiber gets a larger one
  };
  // For a signal handler, on its own thread: what a fault at `address` was, with the stack pointer there, while that one runs.
  Overflow find_overflow(const Runnable& running, const void* address, const void* stack_pointer) const noexcept;

 private:
  Stack* find_another(FiberBlock& fiber) noexcept;
  [[gnu::noinline]] void record(const FiberBlock& fiber) noexcept;

  Stacks stacks_;
  Stack* ended_ = nullptr;  // of a fiber that has switched away for good; to be given back
  StackMarks marks_;
  std::size_t callback_size_ = 0;
  bool checks_ = false;
};

inline Stack* FiberStacks::find_another(FiberBlock& fiber) noexcept {
  const std::size_t size = size_for(fiber);
  give_back_ended();
  try {
    return &stacks_.take(size, fiber.own_name);
  } catch (...) {
    fiber.failure = std::current_exception();
  }
  if (size == kDefaultStackSize) return nullptr;
  try {
    return &stacks_.take(kDefaultStackSize, fiber.own_name);  // to end on
  } catch (...) {
    return nullptr;
  }
}

}  // namespace cooperative::internal
