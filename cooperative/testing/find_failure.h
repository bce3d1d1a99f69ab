#pragma once

// The first seed with which a World fails, as a value and not as the failure of a test: for tests that show that a fault would be found, and
// for programs that look for one.
//
//     std::optional<co::testing::WorldFailure> found = co::testing::find_failure(100, [](co::testing::World& world) {
//       ...
//     }, {.switch_at = co::testing::SwitchAt::every_operation, .shrink = true});
//     if (found) std::puts(found->report().c_str());
//
// Each run has a process of its own, forked from the caller, so what a run changes is not seen by the next one, nor by the caller; what it
// prints is dropped. Failures are: an exception that leaves f, a failed expectation of GoogleTest, a deadlock, more steps than
// WorldOptions::step_limit, and the end of the process.
//
// Thread safety: used by one thread, outside of a World. In the environment WORLD_SEED, WORLD_SEEDS and WORLD_SWITCHES count as for
// for_each_seed(). Throws std::system_error when the system has no more processes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cooperative/testing/world.h"

namespace cooperative::inline v0::testing {

struct WorldFailure {
  struct Switch {
    std::string who;    // writer (id 3)
    std::string where;  // before it enters Lock "cache"
    std::string to;     // writer (id 4)
  };

  std::uint64_t seed = 0;
  std::string what;                   // how it failed
  std::size_t switches_before = 0;    // in the run that was found; without them the threads would have taken turns as they waited
  std::vector<Switch> switches;       // that are left, in their order
  std::size_t runs = 0;               // that it took to leave out the others
  std::string again;                  // what the environment has to say for the same run: WORLD_SEED=42 WORLD_SWITCHES=3.17:4
  std::uint64_t signature = 0;        // of that run

  std::string report() const;
};

std::optional<WorldFailure> find_failure(std::size_t count, absl::FunctionRef<void(World& world)> f, const WorldOptions& options = {});

}  // namespace cooperative::testing
