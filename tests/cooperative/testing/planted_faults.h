#pragma once

// Programs with one classic fault each, in plain code without a hint for the World. Each throws, waits for ever, or breaks an expectation in
// some orders of its threads, and none in the one where each thread goes on until it waits.

#include <span>
#include <string_view>

#include "cooperative/testing/world.h"

namespace cooperative::testing {

struct PlantedFault {
  std::string_view name;
  void (*run)(World& world);
};

std::span<const PlantedFault> planted_faults();

}  // namespace cooperative::testing
