#pragma once

// Who decides what runs next where several schedulers take turns on one OS thread: the test world (world_core.h). Elsewhere there is
// none.

#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/simulation.h"

namespace cooperative::inline v0::internal {

struct Runnable;

class Conductor {
 public:
  // What runs now: one of this scheduler's, or another's, who then is the current one.
  virtual Runnable& next() noexcept = 0;

  // Throws mothreads::Misuse, or ends the program, when the calling OS thread is not the one of all these schedulers.
  virtual void check_caller(const char* what) const = 0;
  virtual void check_waker() const noexcept = 0;

  // Real threads might be interrupted here: others may run now, if the world was asked for that.
  virtual void may_interrupt() noexcept = 0;
  // The running context does that: see Host::watch().
  virtual void watch(mothreads::internal::Step step, const mothreads::internal::WaitDescription& what) noexcept = 0;
  // Whether to call that.
  virtual bool watches() const noexcept = 0;

  virtual mothreads::internal::Simulation& simulation() noexcept = 0;

 protected:
  ~Conductor() = default;
};

}  // namespace cooperative::internal
