#pragma once

// What a scheduler's fibers do, taken on the scheduler's own thread by a signal handler, whatever that thread is at; in a test world by
// who reports.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "mothreads/instant.h"
#include "mothreads/internal/base/kept_name.h"

namespace cooperative::inline v0::internal {

struct Runnable;
class SchedulerCore;

// All memory is the asker's.
class FiberPicture {
 public:
  static constexpr std::size_t kMaxShown = 100;
  static constexpr std::size_t kMaxFrames = 32;

  enum class State : std::uint8_t {
    complete,
    busy,   // it was between two lines that belong together: ask again
    ended,  // the thread has that scheduler no more
  };

  // One fiber, or the thread's own stack.
  struct Entry {
    int depth;
    bool takes_stop;
    bool told_to_stop;
    bool is_cancelled;
    bool has_function_ended;
    char name[64];
    char state[128];
    std::optional<mothreads::Instant> since;  // of its wait, where it waits by the real clock
    mothreads::internal::KeptName::Copy owner;  // as WaitReport's
    std::array<void*, kMaxFrames> frames;
    int frame_count;
  };

  State state = State::busy;
  std::size_t count = 0;  // of those shown
  std::size_t total = 0;
  std::size_t told = 0;   // see HostedContexts
  std::size_t alive = 0;  // without groups
  std::array<Entry, kMaxShown> entries;
};

// For reports, on the scheduler's own thread, in a signal handler that may have interrupted anything: what its fibers do.
void take_picture(const SchedulerCore& core, FiberPicture& picture) noexcept;
// The same in a test world, where whoever asks shares its thread.
void take_picture_in_world(const SchedulerCore& core, FiberPicture& picture) noexcept;

}  // namespace cooperative::internal
