#pragma once

// What the tests of callbacks and pools over many seeds have in common.

#include "absl/time/time.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/testing/world.h"
#include "tests/cooperative/testing/wander.h"

namespace cooperative::inline v0::testing {

inline constexpr WorldOptions kInterrupted{.interrupt_posts = true};

inline absl::Duration some_limit(World& world) { return chance(world, 5) ? some_time(world) : absl::InfiniteDuration(); }

inline CallbackQueueOptions some_options(World& world) {
  return {.name = "queue", .max = 1 + world.random(3), .when_full = static_cast<WhenFull>(world.random(3))};
}

inline void join_or_cancelled(Fiber<void>& fiber) {
  try {
    fiber.join();
  } catch (const WasCancelled&) {
  }
}

}  // namespace cooperative::testing
