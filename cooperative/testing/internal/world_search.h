#pragma once

// How for_each_seed() and find_failure() run worlds, and make a failure short. Not for users.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/world/world_core.h"
#include "cooperative/internal/world/world_runs.h"
#include "cooperative/internal/world/world_shrink.h"
#include "cooperative/internal/world/world_trace.h"
#include "cooperative/testing/find_failure.h"
#include "cooperative/testing/world.h"

namespace cooperative::inline v0 {

namespace internal {

// The task that a World is made for.
struct WorldSetup {
  std::optional<std::span<const WorldSwitch>> replay = std::nullopt;
  WorldTrace* trace = nullptr;
  bool describes = false;
  bool lists_others = false;
  std::uint64_t most_places = 0;
  WorldWarden* warden = nullptr;
};

}  // namespace internal

namespace testing {

// The seeds that the environment asks for.
struct WorldSeeds {
  explicit WorldSeeds(std::size_t count);  // throws mothreads::Misuse for what it cannot read
  std::uint64_t first = 1;
  std::uint64_t last = 0;
  std::optional<internal::WorldSwitches> replay;
};

class WorldSearch {
 public:
  WorldSearch(absl::FunctionRef<void(World& world)> f, const WorldOptions& options);

  // A run in a process of its own; what it has left behind is there until the next.
  const internal::WorldTrace& run(std::uint64_t seed, const internal::WorldSwitches* replay);
  // Tells of a run that has failed, by its trace, which it makes short before, if the options say so.
  WorldFailure explain(std::uint64_t seed, const internal::WorldTrace& failed);
  // For a run in the caller's process.
  internal::WorldTrace& trace_here() noexcept { return runs_.trace_here(); }

 private:
  void run_here(const internal::WorldRequest& request, std::span<const internal::WorldSwitch> switches, internal::WorldTrace& trace);
  std::string how(const internal::WorldTrace& trace) const;

  absl::FunctionRef<void(World& world)> f_;
  const WorldOptions options_;
  internal::WorldRuns runs_;
};

bool googletest_has_failed() noexcept;

}  // namespace testing
}  // namespace cooperative
