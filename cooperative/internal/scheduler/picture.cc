#include "cooperative/internal/scheduler/picture.h"

#include <cstdint>
#include <cstdio>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/parked_stack.h"
#include "mothreads/internal/base/interrupt.h"

namespace cooperative::inline v0::internal {

namespace {

// What runs in a handler on a stack is in its bounds.
bool holds(const Stack* stack, const void* address) noexcept {
  const auto* at = static_cast<const char*>(address);
  return stack != nullptr && at >= stack->lowest && at < stack->top;
}

// How a picture is taken.
struct FiberCamera {
  const Runnable* running;  // what the signal handler interrupted; null where there is none
  bool takes_stacks;
  const SchedulerCore& core;
};

// Of one that runs the stack pointer is an old one, and what is there may be anything: nothing for AddressSanitizer to judge.
__attribute__((noinline, no_sanitize_address)) std::uintptr_t where_it_goes_on(const void* stack_pointer) noexcept {
  return static_cast<const std::uintptr_t*>(stack_pointer)[1];  // see switch.h
}

// Whether the processor is at the instructions of switch_stack() by which that one has been parked, or goes on.
bool is_at_switch(const Runnable& runnable, const void* instruction) noexcept {
  if (runnable.stack_pointer == nullptr) return false;
  const std::uintptr_t goes_on = where_it_goes_on(runnable.stack_pointer);
  const auto at = reinterpret_cast<std::uintptr_t>(instruction);
  constexpr std::uintptr_t kBefore = 128;  // bytes; more than there are
  constexpr std::uintptr_t kAfter = 32;
  return at + kBefore >= goes_on && at < goes_on + kAfter;
}

void take_stack(const Runnable& runnable, const FiberCamera& camera, FiberPicture::Entry& entry) noexcept {
  constexpr int kMax = FiberPicture::kMaxFrames;
  if (!camera.takes_stacks) return;
  entry.frame_count = &runnable == camera.running ? mothreads::internal::interrupted_frames(entry.frames.data(), kMax)
                                                  : parked_frames(runnable.stack_pointer, entry.frames.data(), kMax);
}

void describe_state(const mothreads::internal::Context& context, bool runs, const SchedulerCore& core, FiberPicture::Entry& entry) noexcept {
  if (!context.write_wait_on_host(entry.state, sizeof entry.state)) {
    std::snprintf(entry.state, sizeof entry.state, "%s", runs ? "runs" : "is ready to run");
    return;
  }
  const bool is_whole = context.look([&](const mothreads::internal::ContextLook& look) {
    if (core.clock().is_real()) entry.since = look.since;
    mothreads::internal::KeptName::read_holder(look.lock(), entry.owner);
  });
  if (!is_whole) entry.owner.size = 0;  // another thread has ended its wait just now
}

void describe_fiber(const FiberBlock& fiber, const FiberCamera& camera, int depth, FiberPicture::Entry& entry) noexcept {
  entry = {.depth = depth,
           .takes_stop = fiber.takes_stop,
           .told_to_stop = fiber.told_to_stop,
           .is_cancelled = fiber.is_cancelled,
           .has_function_ended = fiber.state > FiberBlock::State::begun,
           .name = {},
           .state = {},
           .since = std::nullopt,
           .owner = {},
           .frames = {},
           .frame_count = 0};
  std::snprintf(entry.name, sizeof entry.name, "%s", fiber.own_name.c_str());
  if (fiber.state == FiberBlock::State::fresh || fiber.group != nullptr) {
    std::snprintf(entry.state, sizeof entry.state, "%s", fiber.group != nullptr ? kGroupKind : "has not begun");
    return;
  }
  describe_state(fiber, &fiber.runnable == camera.running, camera.core, entry);
  take_stack(fiber.runnable, camera, entry);
}

void fill_picture(const SchedulerLife& rooms, FiberPicture& picture, const FiberCamera& camera) noexcept {
  FiberPicture::Entry& root = picture.entries[picture.count++];
  root = {};
  describe_state(*rooms.root->context, rooms.root == camera.running, camera.core, root);
  take_stack(*rooms.root, camera, root);

  int depth = 1;
  for (const FiberBlock* fiber = rooms.tree.newest(); fiber != nullptr; fiber = rooms.tree.next(*fiber, depth)) {
    ++picture.total;
    if (picture.count == picture.entries.size()) continue;
    describe_fiber(*fiber, camera, depth, picture.entries[picture.count++]);
  }
  picture.told = rooms.stopping.told_at_stop();
  picture.alive = rooms.population.alive();
  picture.state = FiberPicture::State::complete;
}

// In the few instructions of a switch the stack pointers of the two are not what they say, and no unwinder knows its way.
bool is_switching(const SchedulerLife& rooms, const void* here) noexcept {
  const void* const instruction = mothreads::internal::interrupted_instruction();
  if (holds(rooms.stacks.ended(), here) || is_at_switch(*rooms.root, instruction)) return true;
  int depth = 1;
  for (const FiberBlock* fiber = rooms.tree.newest(); fiber != nullptr; fiber = rooms.tree.next(*fiber, depth)) {
    const Runnable& runnable = fiber->runnable;
    if (!runnable.has_begun) continue;
    // Before the stacks have changed, this, which runs on the one that was interrupted, is not on that of the one who is said to run.
    if (holds(runnable.stack, here) != (&runnable == &rooms.switcher.running())) return true;
    if (is_at_switch(runnable, instruction)) return true;
  }
  return false;
}

}  // namespace

void take_picture(const SchedulerCore& core, FiberPicture& picture) noexcept {
  const SchedulerLife& rooms = core.rooms();
  picture.state = FiberPicture::State::busy;
  picture.count = picture.total = 0;
  if (rooms.tree.is_changing() || is_switching(rooms, __builtin_frame_address(0))) return;
  fill_picture(rooms, picture, {.running = &rooms.switcher.running(), .takes_stacks = true, .core = core});
}

// Of all that share this OS thread one runs at most. Where it is one of theirs, it is on its stack now, whatever was parked there.
void take_picture_in_world(const SchedulerCore& core, FiberPicture& picture) noexcept {
  picture.count = picture.total = 0;
  fill_picture(core.rooms(), picture, {.running = nullptr, .takes_stacks = SchedulerCore::current_or_null() == nullptr, .core = core});
}

}  // namespace cooperative::internal
