#pragma once

// What runs several contexts on one OS thread: a scheduler of fibers, in its own folder. Only code on that thread calls a host,
// but for resume().

#include <cstdint>

#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/simulation.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace mothreads::inline v0::internal {

class Host : public HostTurn {
 public:
  enum class Unwinds : bool { no, yes };

  // Lets other contexts run until resume() for this one. May come back early.
  virtual void suspend(Context& context) noexcept = 0;
  // From any thread.
  virtual void resume(Context& context) noexcept = 0;

  // The time limits of waits. One that has come already still lets others run first.
  virtual void add_timer(TimerNode& timer, std::int64_t when) noexcept = 0;
  virtual void cancel_timer(TimerNode& timer) noexcept = 0;
  // The clock of those timers.
  virtual const Clock& clock() const noexcept = 0;

  // Throws what unwinds the current context.
  [[noreturn]] virtual void unwind(Context& context) = 0;

  // The thread that runs it ends, after all else that its contexts do.
  virtual void thread_ends() noexcept {}

  // The running context has spent all its acts of this turn, or is to be looked at before the next: see Context::spend_act(). Lets others
  // have a turn where that is due, and unwinds a context that has been cancelled where that is allowed. The act counts for the new turn.
  virtual void end_turn(std::int32_t acts, Unwinds unwinds) = 0;

  // The running context does that, in a test world that watches (HostTurn::is_watched): others may run now, but where it only comes. `what` may
  // lack a name.
  virtual void watch(Step step, const WaitDescription& what) noexcept { static_cast<void>(step), static_cast<void>(what); }

  // Null where threads and time are real.
  virtual Simulation* simulation() noexcept { return nullptr; }

 protected:
  ~Host() = default;
};

}  // namespace mothreads::internal
