#pragma once

// From the switches of a run that failed to as few of them as make it fail. Zeller and Hildebrandt: Simplifying and Isolating
// Failure-Inducing Input, 2002.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/world/world_trace.h"

namespace cooperative::inline v0::internal {

using WorldSwitches = std::vector<WorldSwitch>;

// A run with some switches alone.
struct WorldAttempt {
  bool fails = false;
  WorldSwitches done;    // for some there may have been no place
  WorldSwitches others;  // that could have been forced after those
};
using RunWorld = absl::FunctionRef<WorldAttempt(std::span<const WorldSwitch> switches)>;

struct Shrunk {
  WorldSwitches switches;
  std::size_t runs = 0;
};

// First leaves out what it can: then without any one of them it does not fail. Then looks through all lists that are shorter, the shortest first,
// as Musuvathi and Qadeer do: Iterative Context Bounding, 2007. Each of the two ends after `most_runs`.
Shrunk shrink(WorldSwitches failing, RunWorld run, std::size_t most_runs);

// As 3.17:4,4.23:3; "none" for an empty list. Nothing for what is no such list.
std::string to_text(std::span<const WorldSwitch> switches);
std::optional<WorldSwitches> switches_from(std::string_view text);

}  // namespace cooperative::internal
