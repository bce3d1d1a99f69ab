#pragma once

// The place of a FiberGroup in the tree of fibers: a block that never runs, with the members below it. On its scheduler's thread.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/internal/scheduler/fiber_block.h"
#include "mothreads/end_record.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal {

// In the place of a wait: Context::tell_kind(). An array, so that it has one address in the whole program.
inline constexpr char kGroupKind[] = "is a FiberGroup";

struct GroupPlace : std::enable_shared_from_this<GroupPlace> {
  explicit GroupPlace(const std::string& its_name) : name(its_name), please_stop("please_stop for " + its_name) {}

  const std::string name;
  const mothreads::Signal please_stop;
  const mothreads::internal::Born born{};
  bool stop_in_turn = false;  // a member is told when the one made after it has ended
  bool fail_fast = false;     // the first failure stops all
  std::optional<absl::Duration> stop_limit;
  SchedulerCore* core = nullptr;
  FiberBlock* block = nullptr;  // null once who made the group has ended, or its scheduler
  std::size_t members = 0;
  std::vector<mothreads::EndRecord> failures;  // that no handle gives
  mothreads::internal::WaitList joiners;                             // until there are no members
};

}  // namespace cooperative::internal
