#pragma once

// Programs with one classic fault each, in plain code without a hint for the World. Each throws, waits for ever, or breaks an expectation in
// some orders of its threads, and none in the one where each thread goes on until it waits.

#include <span>
#include <string_view>

#include "cooperative/testing/world.h"
#include "tests/support/environment.h"

namespace cooperative::inline v0::testing {

struct PlantedFault {
  std::string_view name;
  void (*run)(World& world);
};

std::span<const PlantedFault> planted_faults();

// Two threads, "clerk" and "auditor", enter the locks "accounts" and "journal" in opposite orders.
void lock_order(World& world);

// What two threads, "one" and "two", have counted, each of which looks in one section of the lock "counter" and writes in another: 2, or less.
int count_by_two(World& world);

// While one lives the environment says nothing of seeds and switches.
class NoWorldVariables {
 private:
  const mothreads::testing::EnvironmentVariable no_seed_{"WORLD_SEED", nullptr};
  const mothreads::testing::EnvironmentVariable no_seeds_{"WORLD_SEEDS", nullptr};
  const mothreads::testing::EnvironmentVariable no_switches_{"WORLD_SWITCHES", nullptr};
};

}  // namespace cooperative::testing
