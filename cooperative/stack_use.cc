#include "cooperative/stack_use.h"

#include <algorithm>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/stack_marks.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;

StackUse stack_use() {
  const SchedulerCore* core = SchedulerCore::current_or_null();
  const internal::FiberBlock* fiber = core == nullptr ? nullptr : core->running_fiber();
  if (fiber == nullptr) throw mothreads::Misuse("stack_use() is about the fiber that runs, and none does: call it on a fiber");
  const internal::Stack& stack = *fiber->runnable.stack;
  const auto now = static_cast<std::size_t>(stack.top - static_cast<const char*>(__builtin_frame_address(0)));
  return {.now = now, .most = std::max(now, internal::most_used(stack)), .size = stack.size};
}

void set_stack_checks(StackChecks checks) { SchedulerCore::current().rooms().stacks.set_checks(checks == StackChecks::on); }

std::vector<StackMark> stack_marks() {
  std::vector<StackMark> marks;
  for (const auto& [name, mark] : SchedulerCore::current().rooms().stacks.marks().marks()) {
    marks.push_back({.name = name, .most = mark.most, .size = mark.size, .fibers = mark.fibers});
  }
  std::stable_sort(marks.begin(), marks.end(), [](const StackMark& a, const StackMark& b) { return a.most > b.most; });
  return marks;
}

}  // namespace cooperative
