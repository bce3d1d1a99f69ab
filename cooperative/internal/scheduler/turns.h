#pragma once

// How much a fiber may do before others have a turn: acts, counted down by Host::acts_left. One figure for all fibers of one scheduler's life,
// and one of its own for a fiber that asked for it.

#include <algorithm>
#include <cstdint>

#include "cooperative/internal/stack/runnable.h"
#include "mothreads/internal/wait/context.h"

namespace cooperative::inline v0::internal {

// So many operations on descriptors that are ready may follow each other before others have a turn: shrapnel's figure.
inline constexpr std::uint32_t kDefaultSelfishness = 4;
// Such an operation is a call of the kernel, and takes as long as so many verbs that find what they need in memory.
inline constexpr std::int32_t kActsPerOperation = 64;

class Turns {
 public:
  std::uint32_t selfishness() const noexcept { return selfishness_; }
  void set_selfishness(std::uint32_t operations) noexcept {
    selfishness_ = operations;
    if (acts_ != 0) acts_ = acts_for(operations);
  }
  // Each act of every fiber is looked at, as a test world may want. Called before there is a fiber.
  void look_at_each() noexcept {
    acts_ = 0;
  }

  // For a fiber that is new.
  std::int32_t acts() const noexcept { return acts_; }
  // None for one that is looked at before each act: it is to be unwound, or has a figure of its own.
  void give_acts(Runnable& to) const noexcept { to.acts = to.max_acts != 0 || to.context->care.unwind_wanted ? 0 : acts_; }
  // So many acts one turn has, whatever it was given.
  std::int32_t most_of(const Runnable& one) const noexcept { return acts_for(one.max_acts == 0 ? selfishness_ : one.max_acts); }

 private:
  static std::int32_t acts_for(std::uint32_t operations) noexcept {
    constexpr auto kMost = static_cast<std::uint32_t>(INT32_MAX / kActsPerOperation);
    return static_cast<std::int32_t>(std::min(operations, kMost)) * kActsPerOperation;
  }

  std::int32_t acts_ = acts_for(kDefaultSelfishness);  // 0 when each is looked at
  std::uint32_t selfishness_ = kDefaultSelfishness;
};

}  // namespace cooperative::internal
