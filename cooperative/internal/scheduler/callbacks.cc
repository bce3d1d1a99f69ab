#include "cooperative/internal/scheduler/callbacks.h"

#include <utility>

#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0::internal {

void Callbacks::take() {
  mailbox_->take_all(calls_, errands_);
  start_runners();
}

// One that is cancelled, before it has begun or with a function that it runs, leaves the rest to another.
void Callbacks::start_runners() noexcept {
  static constexpr FiberBlock::Job kRunCalls{
      .call = [](void* self) { static_cast<Callbacks*>(self)->run_calls(); },
      .drop_function = [](void* self) noexcept { static_cast<Callbacks*>(self)->calls_end(); },
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  static constexpr FiberBlock::Job kRunErrands{
      .call = [](void* self) { static_cast<Callbacks*>(self)->run_errands(); },
      .drop_function = [](void* self) noexcept { static_cast<Callbacks*>(self)->errands_end(); },
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  if (!errands_.is_empty() && !std::exchange(errands_run_, true)) {
    start_helper(make_helper(core_, "errands", nullptr), kRunErrands, this);
  }
  if (!calls_.is_empty() && !std::exchange(calls_run_, true)) {
    FiberBlock& helper = make_helper(core_, "callbacks", nullptr);
    core_.rooms().stacks.give_callback_size(helper);
    start_helper(helper, kRunCalls, this);
  }
}

void Callbacks::calls_end() noexcept {
  spent_.give_back();
  calls_run_ = false;
  fiber_ = nullptr;
  start_runners();
}

void Callbacks::errands_end() noexcept {
  spent_.give_back();
  errands_run_ = false;
  start_runners();
}

// One after the other; one that waits keeps the later ones waiting. Others get their turn after so many.
void Callbacks::run_calls() {
  constexpr int kCallsPerTurn = 64;
  const FiberBlock& me = *core_.running_fiber();
  fiber_ = &me;
  for (int count = 1; Call* call = calls_.pop_front(); ++count) {
    run_callback(*call, spent_);
    if (me.is_root) return;       // it has called fork(), and has ended in the child
    if (me.is_cancelled) return;  // too late for that one, and not meant for the next
    if (count % kCallsPerTurn == 0) core_.yield();
  }
}

// They wait for nothing.
void Callbacks::run_errands() noexcept {
  while (Call* call = errands_.pop_front()) call->kind->act(*call, Call::What::run, spent_);
}

std::size_t Callbacks::close() noexcept {
  std::size_t withdrawn = calls_.drop_all();
  errands_.drop_all();
  withdrawn += mailbox_->close();
  return withdrawn;
}

void Callbacks::leave_behind() noexcept {
  calls_ = errands_ = {};
  calls_run_ = errands_run_ = false;
  fiber_ = nullptr;
  mailbox_->leave_behind();
}

}  // namespace cooperative::internal
