#include "cooperative/internal/scheduler/look.h"

#include <optional>

#include "cooperative/internal/scheduler/group_place.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/wait/context.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::ContextLook;
using mothreads::internal::KeptName;

namespace {

// The texts of a look.
struct Room {
  KeptName::Copy name;
  KeptName::Copy object;
  KeptName::Copy owner;
};

// False when the block is no fiber, or another one by now.
bool look(const FiberBlock& block, std::uint64_t id, Room& room, FiberLook& fiber) noexcept {
  constexpr int kTries = 3;  // a fiber whose waits follow each other so closely runs
  bool is_group = false;
  bool is_whole = false;
  fiber = {.id = id, .name = {}, .wait = {}, .object = {}, .owner = {}, .since = std::nullopt};
  for (int i = 0; i < kTries && !is_whole; ++i) {
    is_whole = block.look([&](const ContextLook& now) {
      is_group = now.verb == kGroupKind;
      const bool waits = now.waits && now.verb != nullptr;  // null where the block has become another's meanwhile
      fiber.wait = waits ? std::string_view(now.verb) : std::string_view();
      KeptName::read(waits ? now.kept_name : 0, room.object);
      KeptName::read_holder(now.lock(), room.owner);
      fiber.since = waits ? std::optional(now.since) : std::nullopt;
    });
  }
  if (!is_whole) {
    fiber.wait = {};
    fiber.since.reset();
    room.object.size = room.owner.size = 0;
  }
  KeptName::read(block.kept_name.number(), room.name);
  fiber.name = room.name.view();
  fiber.object = room.object.view();
  fiber.owner = room.owner.view();
  return !is_group && block.life() == id;
}

}  // namespace

void look_at_fibers(const SchedulerCore& core, std::uint64_t life, SeeFiber see) {
  Room room;
  FiberLook fiber;
  core.blocks().for_each([&](const FiberBlock& block) {
    const std::uint64_t id = block.life();
    if (id != 0 && look(block, id, room, fiber) && core.lives(life)) see(fiber);
  });
}

void look_at_fiber(const FiberBlock& block, std::uint64_t id, SeeFiber see) {
  Room room;
  FiberLook fiber;
  if (block.life() == id && look(block, id, room, fiber)) see(fiber);
}

}  // namespace cooperative::internal
