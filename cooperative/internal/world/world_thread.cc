#include "cooperative/internal/world/world_thread.h"

#include <fmt/core.h>

#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Misuse;
using mothreads::internal::Context;
using mothreads::internal::fatal_misuse;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;

namespace {

constexpr TimerOps kNever{[](TimerNode&) { return false; }, nullptr};

}  // namespace

WorldCore::Thread::Thread(WorldCore& its_world, std::string_view its_name, void* (*its_function)(void*), void* its_argument, Stack& its_stack)
    : world(its_world),
      number(its_world.next_number_++),
      name(its_name),
      function(its_function),
      argument(its_argument),
      stack(its_stack),
      beginning(its_world.timers_context_),  // until it has a context
      never(kNever) {}

bool WorldCore::Thread::is_able() const noexcept {
  if (core == nullptr || interrupted != nullptr || !rest.is_empty()) return true;
  const SchedulerLife& rooms = core->rooms();
  return !core->inbox().is_empty() || rooms.queue.has_ready() || rooms.queue.has_yielded() || !rooms.until_idle.is_empty() ||
         rooms.callbacks.has_calls() || rooms.timers.has_due();
}

bool WorldCore::Thread::only_yields() const noexcept {
  if (core == nullptr || interrupted != nullptr || !rest.is_empty()) return false;
  const SchedulerLife& rooms = core->rooms();
  return !rooms.queue.has_ready() && core->inbox().is_empty() && !rooms.callbacks.has_calls() && !rooms.timers.has_due();
}

std::int64_t WorldCore::Thread::first_time() const noexcept {
  return core == nullptr || &core->clock() != &world.clock_ ? TimerWheel::kNever : core->rooms().timers.first_time();
}

Runnable* WorldCore::Thread::take() noexcept {
  SchedulerCore::set_current(core);
  if (core == nullptr) {
    world.starting_ = this;
    return &beginning;
  }
  SchedulerLife& rooms = core->rooms();
  if (interrupted != nullptr) {
    rooms.switcher.set_running(*interrupted);
    return std::exchange(interrupted, nullptr);
  }
  rooms.switcher.set_running(*rooms.root);
  Context::set_current(rooms.root->context);
  if (rest.is_empty()) {
    world.only_yields_ = only_yields() ? world.only_yields_ + 1 : 0;
    core->gather_for_conductor();
    rest.append(rooms.queue.ready());
  }
  while (Runnable* runnable = rest.pop_front()) {
    if (runnable->has_begun || internal::prepare(*core, static_cast<FiberBlock&>(*runnable->context))) {
      core->begin_turn(*runnable);
      rooms.switcher.set_running(*runnable);
      return runnable;
    }
  }
  return nullptr;
}

std::uint64_t WorldCore::Thread::number_of(const Runnable& runnable) const noexcept {
  return runnable.is_fiber ? static_cast<const FiberBlock&>(*runnable.context).id - first_fiber : 0;
}

std::string WorldCore::Thread::title() const { return fmt::format("{} (id {})", name, number); }

std::string WorldCore::Thread::title_of_running() const {
  const FiberBlock* const fiber = core == nullptr ? nullptr : core->running_fiber();
  return fiber == nullptr ? title() : fmt::format("{}, fiber \"{}\"", title(), fiber->Context::name);
}

void WorldCore::Thread::describe_waits(std::string& text) const {
  if (core == nullptr) return;
  const Context& root = *core->rooms().root->context;
  text += fmt::format("\n  thread \"{}\"", root.name);
  // None any more when the thread is about to end.
  const auto contexts = core->node() == nullptr ? std::nullopt : core->node()->look_inside();
  if (!contexts) {
    if (const auto report = root.waits_on()) text += " " + report->what;
    return;
  }
  text += " " + contexts->shown.front().state;
  for (std::size_t i = 1; i < contexts->shown.size(); ++i) {
    const mothreads::internal::HostedContext& fiber = contexts->shown[i];
    text += fmt::format("\n{:{}}fiber \"{}\" {}", "", 2 * (fiber.depth + 1), fiber.name, fiber.state);
  }
  if (contexts->left_out > 0) text += fmt::format("\n    and {} more fibers", contexts->left_out);
}

// --- what others ask of it ---------------------------------------------------------------------------------------------------------

void WorldCore::Thread::check_caller(const char* what) const {
  if (here_ == &world) return;
  throw Misuse(fmt::format("{} of a thread in a World (seed {}) was called from outside: let only threads that were started in the "
                           "world use it", what, world.seed()));
}

void WorldCore::Thread::check_waker() const noexcept {
  if (here_ == &world) return;
  fatal_misuse(fmt::format("World seed {}: a thread from outside woke one of the world's: let only threads that were started in it "
                           "use what they wait for", world.seed()));
}

void WorldCore::Thread::may_interrupt() noexcept {
  if (here_ == &world) world.post_may_be_interrupted();
}

}  // namespace cooperative::internal
