// Parks a fiber, puts down where it is, and calls look_here(), for a debugger to stop there.

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/switch.h"
#include "cooperative/sleep.h"

// With C's names, so that they are the same for every compiler.
extern "C" {
const void* parked_instruction;
const void* parked_stack_pointer;
const void* parked_frame_pointer;
const void* parked_rbx;

void look_here();
void innermost(cooperative::Event<>& never);
void outermost(cooperative::Event<>& never);

[[gnu::noinline]] void look_here() { asm volatile("" : : : "memory"); }

[[gnu::noinline]] void innermost(cooperative::Event<>& never) {
  never.wait();
  asm volatile("");  // no tail call
}
[[gnu::noinline]] void outermost(cooperative::Event<>& never) {
  innermost(never);
  asm volatile("");
}
}

int main() {
  cooperative::Event<> never;
  const cooperative::internal::FiberBlock* block = nullptr;
  auto parked = cooperative::spawn("parked", [&] {
    block = cooperative::internal::SchedulerCore::current().running_fiber();
    outermost(never);
  });
  cooperative::yield();
  const auto frame = cooperative::internal::parked_frame(block->runnable.stack_pointer);
  parked_instruction = frame.instruction;
  parked_stack_pointer = frame.stack_pointer;
  parked_frame_pointer = frame.frame_pointer;
  parked_rbx = frame.rbx;
  look_here();
  never.signal();
  parked.join();
}
