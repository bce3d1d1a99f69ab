#pragma once

// What the tests of many seeds have in common.

#include <cstddef>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/thread.h"
#include "tests/support/watchdog.h"

namespace cooperative::inline v0::testing {

// In CI; WORLD_SEEDS=10000 in the environment for more.
inline constexpr std::size_t kSeeds = 300;

// Calls f(world) for each of them, and for a third as many in both orders where every operation is a place to switch. The watchdog's time is for
// one seed: with many, on a busy machine, all may take long.
inline void for_many_seeds(absl::FunctionRef<void(World& world)> f, const WorldOptions& options = {}) {
  const auto one_seed = [&](World& world) {
    mothreads::testing::restart_watchdog();
    f(world);
  };
  for_each_seed(kSeeds, one_seed, options);
  WorldOptions everywhere = options;
  everywhere.switch_at = SwitchAt::every_operation;
  for (const Order order : {Order::uniform, Order::priority_changes}) {
    everywhere.order = order;
    for_each_seed(kSeeds / 3, one_seed, everywhere);
  }
}

// Does one of the things by which others get their turn, or nothing.
inline void wander(World& world) {
  switch (world.random(6)) {
    case 0:
      yield();
      break;
    case 1:
      world.interrupt();
      break;
    case 2:
      sleep(absl::Milliseconds(world.random(5)));
      break;
    case 3:
      yield_until_idle();
      break;
    default:
      break;
  }
}

// From none to some milliseconds.
inline absl::Duration some_time(World& world) { return absl::Milliseconds(world.random(6)); }

inline bool chance(World& world, unsigned of_ten) { return world.random(10) < of_ten; }

using Threads = std::vector<mothreads::ThreadHandle<void>>;

inline void join(Threads& threads) {
  for (auto& thread : threads) thread.join();
}

}  // namespace cooperative::testing
