#pragma once

// All that a core has for the scheduler of one thread: made when the thread gets its scheduler, destroyed as a whole when that has ended.
// Each part is a class that knows nothing of the others, but for Stopping and Callbacks, which make and end fibers.

#include <cstdint>
#include <memory>

#include "cooperative/internal/scheduler/callbacks.h"
#include "cooperative/internal/scheduler/fiber_stacks.h"
#include "cooperative/internal/scheduler/fiber_tree.h"
#include "cooperative/internal/scheduler/population.h"
#include "cooperative/internal/scheduler/run_queue.h"
#include "cooperative/internal/scheduler/services.h"
#include "cooperative/internal/scheduler/stopping.h"
#include "cooperative/internal/scheduler/timers.h"
#include "cooperative/internal/scheduler/turns.h"
#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/switch.h"
#include "cooperative/internal/stack/switcher.h"
#include "mothreads/internal/wait/wait.h"

namespace mothreads::inline v0::internal {
class ThreadContext;
}

namespace cooperative::inline v0::internal {

class Conductor;
class ForeignPoll;
class Poller;
class SchedulerNode;

struct SchedulerLife {
  // Of the calling thread, whose context that is. A conductor is there in a test world.
  SchedulerLife(SchedulerCore& core, mothreads::internal::Context& context, Conductor* its_conductor);
  ~SchedulerLife();
  SchedulerLife(const SchedulerLife&) = delete;
  SchedulerLife& operator=(const SchedulerLife&) = delete;

  // In a test world, and in a child of fork() whose root is a fiber, on a stack that is the scheduler's: the life lasts to the thread's end.
  bool carries_its_thread() const noexcept { return conductor != nullptr || root->stack != nullptr; }

  const std::unique_ptr<Runnable> threads_own;  // its stack is the thread's own, unless it is one of a test world
  RunQueue queue;
  Switcher switcher;
  Turns turns;
  Runnable* root;  // threads_own, or a fiber in a child of fork()
  Conductor* const conductor;
  Callbacks callbacks;
  Timers timers;
  mothreads::internal::WaitList until_idle;  // who waits until nothing else is ready
  FiberTree tree;
  Population population;
  Stopping stopping;
  FiberStacks stacks;
  const FloatingPoint floating_point;  // of the code that made the scheduler; its own fibers begin with that
  mothreads::internal::ThreadContext* const spinner;  // the thread's, also where a fiber is the root

  std::unique_ptr<Poller> poller;  // once somebody has asked for it
  ForeignPoll* foreign_poll = nullptr;
  Services services;
  bool just_polled = false;  // in the sleep before this round
  bool ending = false;
  std::uint64_t sleeps = 0;
  SchedulerNode* node = nullptr;  // until the scheduler has ended
};

}  // namespace cooperative::internal
