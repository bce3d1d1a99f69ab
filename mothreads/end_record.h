#pragma once

// How a member of the shutdown tree has ended.
//
//     Member plugin = plugins.run("plugin", run_plugin);
//     ...
//     if (const std::optional<EndRecord> end = plugin.end()) {
//       log::info("{} {} after {}", end->name, to_string(end->how), absl::FormatDuration(end->lasted()));
//       if (end->exception) log::error("{}", log::describe(end->exception));
//     }
//
// The record exists before `stopped` goes. Any thread may read it, for as long as anybody holds a handle of the member, or a Member. join(),
// the exceptions of groups and the reports give what is in it.

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "mothreads/instant.h"

namespace mothreads::inline v0 {

enum class MemberKind : std::uint8_t {
  main,
  thread,
  registered_thread,    // of a RegisterThread
  unregistered_thread,  // a thread that the library did not start, and that has not said what it is
  library_thread,       // one of the library's own
  thread_group,
  scheduler,  // of a thread's fibers
  fiber,
  fiber_group,
  world,  // a testing::World
};
std::string_view to_string(MemberKind kind);  // "thread"

enum class How : std::uint8_t {
  returned,   // its function has returned; a group: its members have ended
  threw,      // its function has thrown
  cancelled,  // unwound before the stop's deadline: by cancel(), or by stop() where its function takes no please_stop
  killed,     // unwound at the stop's deadline
  lost,       // did not stop by the deadline, and still runs: see WhenStuck::mark_lost
};
std::string_view to_string(How how);  // "returned"

struct EndRecord {
  How how = How::returned;
  MemberKind kind = MemberKind::thread;
  std::string name;
  std::uint64_t id = 0;          // as its handle's id()
  std::string under;             // the name of the parent under which it ended; empty where it was nobody's
  std::exception_ptr exception;  // what it threw; for `lost` a WasLost that says so
  Instant began;                 // when it took its place in the tree, by the clock of its thread
  Instant ended;

  absl::Duration lasted() const { return absl::FromChrono(ended - began); }
};

}  // namespace mothreads
