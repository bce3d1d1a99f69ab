#include "cooperative/scheduler.h"

#include <string>
#include <utility>

#include <fmt/core.h>

#include "absl/functional/any_invocable.h"
#include "cooperative/internal/scheduler/look.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/executor.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

namespace {

class SchedulerTarget final : public mothreads::internal::ExecutorTarget {
 public:
  SchedulerTarget(internal::SchedulerCore& core, std::shared_ptr<internal::Mailbox> mailbox) : core_(core), mailbox_(std::move(mailbox)) {}

  mothreads::Posted post(absl::AnyInvocable<void()>& function) const override {
    internal::CallOnOffer<absl::AnyInvocable<void()>> call(std::move(function));
    const mothreads::Posted posted = internal::post_of_user(core_, mailbox_, *call, "Executor::post() of a scheduler");
    if (posted) call.is_taken();
    return posted;
  }
  std::string name() const override { return fmt::format("the scheduler of \"{}\"", mailbox_->owner()); }

 private:
  internal::SchedulerCore& core_;
  const std::shared_ptr<internal::Mailbox> mailbox_;
};

}  // namespace

Scheduler::Scheduler(internal::SchedulerCore& core) : core_(&core), mailbox_(core.rooms().callbacks.mailbox()) {}

Scheduler Scheduler::current() { return Scheduler(internal::SchedulerCore::current()); }

mothreads::Posted Scheduler::post(internal::Call& call) const { return internal::post_of_user(*core_, mailbox_, call, "Scheduler::callback()"); }

void Scheduler::check_not_in_callbacks() const {
  if (!is_current() || !core_->rooms().callbacks.are_run_by(core_->running_fiber())) return;
  throw mothreads::Misuse("a callback asks its own scheduler for a callback_result() in RunIn::callbacks, and would wait for its own end: "
                          "call the function, or use RunIn::own_fiber");
}

void Scheduler::refuse_empty_function() {
  throw mothreads::Misuse("Scheduler::callback was given an empty function: give it one that can be called");
}

Scheduler::operator mothreads::Executor() const { return mothreads::Executor(new SchedulerTarget(*core_, mailbox_), mothreads::internal::kAccess); }

bool Scheduler::is_current() const {
  const internal::SchedulerCore* here = internal::SchedulerCore::current_or_null();
  return here == core_ && here->rooms().callbacks.mailbox() == mailbox_;
}

bool Scheduler::has_ended() const { return mailbox_->is_closed(); }

void Scheduler::set_options(const SchedulerOptions& options) const {
  if (!is_current()) throw mothreads::Misuse("a scheduler's options can be set on its own thread only: set them there, or by callback_result()");
  if (options.selfishness == 0U) {
    throw mothreads::Misuse("a selfishness of 0 would let no fiber do anything: 1 lets others have a turn after every operation");
  }
  if (options.max_fibers) core_->rooms().population.set_max(*options.max_fibers);
  if (options.callback_stack_size) core_->rooms().stacks.set_callback_size(*options.callback_stack_size);
  if (options.selfishness) core_->set_selfishness(*options.selfishness);
}

SchedulerStatistics Scheduler::statistics() const {
  if (!is_current()) throw mothreads::Misuse("a scheduler's statistics can be had on its own thread only: ask by callback_result()");
  const internal::SchedulerCounts counts = core_->counts();
  return {.switches = counts.switches, .rounds = counts.rounds, .sleeps = counts.sleeps, .wakes = counts.wakes};
}

void Scheduler::look(absl::FunctionRef<void(const FiberLook& fiber)> see) const {
  const std::uint64_t life = core_->life();
  if (mailbox_->is_closed()) return;  // else that is the life that this is for: the core's next begins after this is closed
  internal::look_at_fibers(*core_, life, see);
}

}  // namespace cooperative
