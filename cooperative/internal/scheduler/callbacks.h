#pragma once

// The calls that other threads have posted to a scheduler, and the fibers that run them: one for users' callbacks, one after the other, and one
// for the library's own errands, which wait for nothing. For one life of a scheduler, on its thread; how they are posted is in posting.h.

#include <cstddef>
#include <memory>
#include <string_view>

#include "cooperative/internal/scheduler/call.h"
#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/mailbox.h"

namespace cooperative::inline v0::internal {

class Callbacks {
 public:
  // `owner` is the name of the scheduler's thread.
  Callbacks(SchedulerCore& core, Conductor* conductor, std::string_view owner)
      : core_(core), mailbox_(std::make_shared<Mailbox>(conductor, owner)) {}
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;

  // Outlives the scheduler, for who keeps a handle.
  const std::shared_ptr<Mailbox>& mailbox() const noexcept { return mailbox_; }
  // Whether it is worth looking; a call may be just about to come.
  bool may_have_calls() const noexcept { return mailbox_->may_have_calls(); }
  bool has_calls() const noexcept { return mailbox_->has_calls(); }

  // Takes what was posted, and starts the fibers that run it where they do not run.
  void take();
  // Whether that fiber, the running one, is the one of the callbacks.
  bool are_run_by(const FiberBlock* running) const noexcept { return fiber_ != nullptr && fiber_ == running; }

  // The scheduler ends: no more are taken, and those whose turn has not come are dropped. Gives how many those were, but for errands.
  std::size_t close() noexcept;

  // In the child of a fork(): what the parent was asked for stays with it, and then there is a mailbox of the child's.
  void leave_behind() noexcept;
  void make_anew(std::string_view owner) { mailbox_ = std::make_shared<Mailbox>(nullptr, owner); }

 private:
  void start_runners() noexcept;
  void run_calls();
  void run_errands() noexcept;
  void calls_end() noexcept;
  void errands_end() noexcept;

  SchedulerCore& core_;
  std::shared_ptr<Mailbox> mailbox_;
  Calls calls_;    // taken from it
  Calls errands_;  // likewise
  SpentCalls spent_;
  bool calls_run_ = false;  // a fiber is at them
  bool errands_run_ = false;
  const FiberBlock* fiber_ = nullptr;  // at the calls, once it has begun
};

}  // namespace cooperative::internal
