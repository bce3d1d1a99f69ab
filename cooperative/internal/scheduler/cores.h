#pragma once

// All cores of the process. A core is taken by a thread that gets its first fiber, and given back at the end of its scheduler; none is ever
// freed. From any thread.

namespace cooperative::inline v0::internal {

class SchedulerCore;

class Cores {
 public:
  // Begins the life of one for the calling thread. Throws mothreads::Misuse where that thread cannot have fibers.
  static SchedulerCore& make_for_this_thread();
  // One without a life.
  static SchedulerCore& take();
  static void give_back(SchedulerCore& core);
};

}  // namespace cooperative::internal
