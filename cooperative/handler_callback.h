#pragma once

// A callback of a scheduler that a signal handler may post.
//
//     co::HandlerCallback reload(here, [] { read_configuration(); });
//     the_reload = &reload;                                    // void on_hangup(int) { the_reload->post(); }
//
// Everything is made beforehand: post() allocates nothing and takes no lock. Posted again before it has run it runs once, after all of
// them. The function runs among the scheduler's other callbacks, in order, and may wait; what it throws is logged. The destructor waits
// for its end when it runs, but from inside it; the function does not run after it.
//
// When not to use it: anywhere else Scheduler::callback takes any function, and loses none.
//
// Thread safety: post() may be called from any thread, fiber or signal handler, but not beside the destructor.

#include "absl/functional/any_invocable.h"
#include "cooperative/scheduler.h"

namespace cooperative::inline v0 {

class [[nodiscard]] HandlerCallback {
 public:
  // Throws mothreads::Misuse when the function is empty.
  [[nodiscard]] HandlerCallback(const Scheduler& scheduler, absl::AnyInvocable<void()> function);
  ~HandlerCallback();
  HandlerCallback(const HandlerCallback&) = delete;
  HandlerCallback& operator=(const HandlerCallback&) = delete;

  // False when the scheduler has ended. Leaves errno as it is.
  bool post() const noexcept;

 private:
  class State;
  State* const state_;
};

}  // namespace cooperative
