#pragma once

// The trace of a run of a test world, for whoever wants to repeat it: its forced switches, and how it ended. In memory without pointers,
// so that another process can look at it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace cooperative::inline v0::internal {

// A thread of the world: they count from 1, in the order in which they were started.
using WorldId = std::uint32_t;
inline constexpr WorldId kWorldTimers = 0;
inline constexpr WorldId kWorldCaller = UINT32_MAX;  // who called run()

// At the place with that number, among those where it was asked who goes on after `who`, it was `to`.
struct WorldSwitch {
  WorldId who = 0;
  WorldId to = 0;
  std::uint64_t point = 0;

  friend bool operator==(const WorldSwitch&, const WorldSwitch&) = default;
};

enum class WorldEnd : std::uint8_t {
  none,       // the run is not over: its process has died
  fine,
  exception,  // left the test's function
  failure,    // of GoogleTest
  deadlock,
  too_long,
};

struct WorldTrace {
  static constexpr std::size_t kMostSwitches = 1 << 16;
  static constexpr std::size_t kMostText = 1 << 16;
  static constexpr std::size_t kMostOthers = 1 << 14;

  void clear() noexcept {
    count = text_size = others_count = 0;
    places = signature = 0;
    is_cut = false;
    end = WorldEnd::none;
    what[0] = '\0';
  }

  void add(const WorldSwitch& one) noexcept {
    if (count == kMostSwitches) {
      is_cut = true;
    } else {
      switches[count++] = one;
    }
    others_count = 0;
  }
  void add_other(const WorldSwitch& one) noexcept {
    if (others_count < kMostOthers) others[others_count++] = one;
  }
  std::span<const WorldSwitch> all() const noexcept { return {switches, count}; }
  std::span<const WorldSwitch> all_others() const noexcept { return {others, others_count}; }

  // Cut where there is no room.
  void write(std::string_view more) noexcept {
    const std::size_t size = std::min(more.size(), kMostText - text_size);
    std::memcpy(text + text_size, more.data(), size);
    text_size += size;
  }
  std::string_view written() const noexcept { return {text, text_size}; }

  void end_with(WorldEnd how, std::string_view why) noexcept {
    end = how;
    const std::size_t size = std::min(why.size(), sizeof what - 1);
    std::memcpy(what, why.data(), size);
    what[size] = '\0';
  }

  std::size_t count = 0;
  std::size_t text_size = 0;
  std::size_t others_count = 0;
  std::uint64_t places = 0;
  std::uint64_t signature = 0;
  bool is_cut = false;  // there were more switches
  WorldEnd end = WorldEnd::none;
  WorldSwitch switches[kMostSwitches];
  WorldSwitch others[kMostOthers];  // that could have been forced after the last of those, where that was asked for
  char text[kMostText];  // a line for each switch, where that was asked for
  char what[4096];       // how it failed
};

}  // namespace cooperative::internal
