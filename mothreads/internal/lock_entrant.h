#pragma once

// Who wants to enter a Lock, while it queues, and while it is on the way: woken, but not there yet. On its stack.

#include <cstdint>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/lock.h"

namespace mothreads::inline v0 {

struct Lock::Entrant : internal::WaitNode {
  explicit Entrant(internal::Host* its_host) : host(its_host) {}

  const internal::Born born;    // in a child of fork() those of the parent's never come
  internal::Host* const host;   // null for a thread to itself
  std::uint64_t came_at = 0;    // so often the lock had been taken
  bool is_urgent = false;       // nobody barges in before it any more
};

}  // namespace mothreads
