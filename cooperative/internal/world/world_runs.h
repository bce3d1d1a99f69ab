#pragma once

// Runs of a test world in processes of their own, so that one that fails, hangs in a deadlock, or dies can be repeated. A process that waits is
// forked before the first run, and forks one for each run: so all begin with the same memory, whatever the runs did that are not there.
//
// Used by one thread. Throws std::system_error when the system has no more processes or descriptors.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "cooperative/internal/world/world_trace.h"

namespace cooperative::inline v0::internal {

struct WorldRequest {
  std::uint64_t seed = 1;
  bool is_replay = false;         // of the switches that are given with it
  bool describes = false;         // a line in the trace for each switch
  bool lists_others = false;      // the trace shall have the switches that could have been forced, too
  std::uint64_t most_places = 0;  // 0 for any number
};

class WorldRuns {
 public:
  using Run = absl::FunctionRef<void(const WorldRequest& request, std::span<const WorldSwitch> switches, WorldTrace& trace)>;

  // `run` is called in the processes that are forked, which end after it.
  explicit WorldRuns(Run run);
  ~WorldRuns();
  WorldRuns(const WorldRuns&) = delete;
  WorldRuns& operator=(const WorldRuns&) = delete;

  // The trace of the run; valid until the next one.
  const WorldTrace& run(const WorldRequest& request, std::span<const WorldSwitch> switches);
  // The status of its process, as waitpid() gives it.
  int status() const noexcept;

  // Room for the trace of a run in this process.
  WorldTrace& trace_here() noexcept;

 private:
  struct Shared;

  [[noreturn]] void wait_for_requests(Run run) noexcept;

  Shared* shared_;
  int socket_ = -1;
  pid_t process_ = -1;
};

}  // namespace cooperative::internal
