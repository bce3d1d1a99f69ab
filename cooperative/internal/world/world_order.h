#pragma once

// The choice of the thread that goes on, at each place of a test world: by chance, by priorities that change, or as a list says. WorldOrder
// knows numbers and no threads, so that the same answers always follow from the same questions.
//
// At each place there is one answer that needs no reason: who runs goes on, and where that one cannot, the next in a ring. Every other answer
// is a switch that was forced, and is noted. A run follows from its seed and its forced switches; to leave some of them out is to ask what
// they matter: see world_shrink.h.

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "cooperative/internal/world/world_trace.h"

namespace cooperative::inline v0::internal {

struct WorldOrderOptions {
  std::uint64_t seed = 1;
  bool priority_changes = false;
  unsigned depth = 3;        // of priority_changes: one change less than that
  std::uint64_t steps = 0;   // which are spread over so many places; 0 for a number that follows from the seed
};

class WorldOrder {
 public:
  // A place where it is asked.
  enum class Kind : std::uint8_t {
    wait,       // who ran waits, has ended, or gives up its turn
    hint,       // who runs could be interrupted
    operation,  // likewise, at a verb of the library
  };
  struct SwitchPoint {
    WorldId who = 0;           // ran last
    Kind kind = Kind::wait;
    bool only_yields = false;  // and would only give up its turn again
  };
  struct Answer {
    WorldId to = 0;
    bool is_forced = false;
  };

  explicit WorldOrder(const WorldOrderOptions& options);
  // Repeats those switches, and forces no other.
  void replay(std::span<const WorldSwitch> switches);

  // One of `able`, which ascends and is not empty; at a hint or an operation who runs is among them.
  Answer choose(const SwitchPoint& place, std::span<const WorldId> able);

  // So many operations, one after the other, were by one thread that did not wait.
  std::uint64_t in_a_row() const noexcept { return in_a_row_; }
  // After so many, others get their turn, or time passes: it may wait for them in a loop.
  static constexpr std::uint64_t kMostInARow = 2'000;

  std::uint64_t places() const noexcept { return places_; }
  // Where the last answer was given: the place's number among those of who ran.
  std::uint64_t point() const noexcept { return point_; }
  // Of all questions and answers.
  std::uint64_t hash() const noexcept { return hash_; }

 private:
  std::uint64_t draw(std::uint64_t below) noexcept;
  WorldId unforced(const SwitchPoint& place, std::span<const WorldId> able) const;
  WorldId by_chance(const SwitchPoint& place, std::span<const WorldId> able);
  WorldId by_priority(const SwitchPoint& place, std::span<const WorldId> able);
  WorldId by_list(const SwitchPoint& place, std::span<const WorldId> able, WorldId otherwise) const;
  std::int64_t& priority_of(WorldId who);

  enum class Means : std::uint8_t { chance, priorities, list };

  std::uint64_t random_;
  Means means_;
  std::uint64_t stay_ = 0;            // by chance: of 64 draws, so many leave the turn with who has it, at a wait or a hint
  std::uint64_t stay_operating_ = 0;  // likewise at an operation
  std::map<WorldId, std::int64_t> priorities_;
  std::vector<std::uint64_t> changes_;  // at which places
  std::int64_t lowest_ = 0;             // of those that were given to who loops
  std::map<std::pair<WorldId, std::uint64_t>, WorldId> list_;

  std::map<WorldId, std::uint64_t> points_;
  std::uint64_t point_ = 0;
  std::uint64_t places_ = 0;
  std::uint64_t in_a_row_ = 0;
  std::uint64_t hash_ = 0;
};

// The finalizer of splitmix64.
std::uint64_t mix(std::uint64_t value) noexcept;

}  // namespace cooperative::internal
