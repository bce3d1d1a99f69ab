#include "cooperative/internal/wait/timeout_scope.h"

#include <chrono>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/in_parallel.h"
#include "mothreads/internal/tree/node.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::Limit;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::Wait;

constexpr TimerOps TimeoutScope::kOps{
    .take = [](TimerNode&) { return true; },
    .fire = [](TimerNode& node) { static_cast<TimeoutScope&>(node).come(Why::timed_out); },
};

TimeoutScope::TimeoutScope(const Until& until)
    : UnwindScope{.outer = Context::current().unwind_scope,
                  .deferred = Context::current().unwind_deferred,
                  .uncaught = std::uncaught_exceptions()},
      TimerNode(kOps),
      core_(SchedulerCore::current()),
      context_(Context::current()) {
  if (until.is_never()) {
    is_in_force_ = false;
    return;
  }
  context_.unwind_scope = this;
  const Limit limit = core_.start(until);
  if (const std::optional<Why> why = limit.has_come()) {
    come(*why);
  } else if (const std::optional<Instant> time = limit.time(); limit.is_only_time() && context_.clock == &core_.clock()) {
    core_.add_timer(*this, time->time_since_epoch().count());
  } else {
    watch(limit);
  }
}

// No stop may end the watcher before the scope is left: those below a fiber are told first, and its please_stop may be the limit.
void TimeoutScope::watch(Limit limit) {
  left_.emplace();
  try {
    watcher_ = cooperative::spawn({.name = "limit of with_timeout", .start = Start::at_once}, [this, limit] {
      const NoUnwind to_the_end;
      Wait wait({"waits for the limit of with_timeout", nullptr, nullptr}, Wait::Spin::no);
      const Why why = wait.park(Limit(limit | *left_));
      if (!*left_) come(why);
    });
  } catch (...) {
    is_in_force_ = false;
    context_.unwind_scope = outer;
    throw;
  }
}

void TimeoutScope::come(Why why) noexcept {
  why_ = why;
  has_come = context_.care.unwind_wanted = true;
  core_.interrupt(context_);
}

void TimeoutScope::leave() noexcept {
  if (!is_in_force_) return;
  is_in_force_ = false;
  context_.unwind_scope = outer;
  if (is_linked()) core_.cancel_timer(*this);
  if (left_) {
    const NoUnwind until_nobody_looks_at_the_limit;
    left_->go();
    watcher_ = {};
  }
  bool wanted = context_.is_cancelled;
  for (const UnwindScope* scope = outer; scope != nullptr; scope = scope->outer) wanted |= scope->has_come;
  if (std::exchange(context_.care.unwind_wanted, wanted) != wanted) core_.unwinding_changed(context_);
}

void TimeoutScope::left_by_exception() {
  leave();
  if (!was_thrown) return;
  try {
    throw;
  } catch (const FiberCancelled&) {
    if (context_.must_unwind()) return;  // it is meant for more than this scope
  } catch (...) {
    if (context_.must_unwind()) {
      // Who is cancelled gets no exception of a function: nobody takes this one.
      const std::exception_ptr failure = std::current_exception();
      if (context_.is_cancelled) {
        mothreads::internal::report_unclaimed_failure("function", "with_timeout", failure);
      } else {
        log_abandoned("with_timeout", failure);
      }
      core_.unwind(context_);
    }
    log_abandoned("with_timeout", std::current_exception());
  }
  mothreads::throw_ended_early(why_, "with_timeout", "with_timeout: the limit came before the function had ended");
}

}  // namespace cooperative::internal
