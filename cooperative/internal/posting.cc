#include "cooperative/internal/scheduler_core.h"

#include <utility>

#include "mothreads/contexts/futex.h"

namespace cooperative::internal {

using mothreads::internal::Context;

// What other threads ask for.

void SchedulerCore::post(Posted& posted) noexcept {
  if (conductor_ != nullptr) [[unlikely]] conductor_->check_waker();
  // relaxed: the exchange below publishes, or fails and is done again.
  Posted* newest = inbox_.load(std::memory_order_relaxed);
  do {
    posted.next = is_mark(newest) ? nullptr : newest;
    // release pairs with the acquire in take_posted().
  } while (!inbox_.compare_exchange_weak(newest, &posted, std::memory_order_release, std::memory_order_relaxed));
  if (!is_mark(newest)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  wake(newest, Waker::code);
}

void SchedulerCore::wake(const Posted* mark, Waker waker) noexcept {
  if (mark == asleep()) {
    mothreads::internal::futex_wake(inbox_futex(), 1);
  } else if (waker == Waker::signal_handler) {
    bell_.ring_in_handler();
  } else {
    bell_.set(true);
  }
}

void SchedulerCore::take_posted() noexcept {
  Posted* newest = inbox_.exchange(nullptr, std::memory_order_acquire);  // pairs with the release in post()
  if (is_mark(newest)) newest = nullptr;
  Posted* oldest = nullptr;
  while (newest != nullptr) {
    Posted* const next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Posted& posted = *oldest;
    oldest = oldest->next;
    ready_.push_back(static_cast<Runnable&>(posted));
  }
}

void SchedulerCore::resume(Context& context) noexcept {
  Runnable& runnable = &context == root_->context ? *root_ : static_cast<FiberBlock&>(context).runnable;
  if (is_its_thread()) {
    ready_.push_back(runnable);
  } else {
    post(runnable);
  }
}

// A fiber that nobody owns, for work of the scheduler's own that may run users' code.
void SchedulerCore::start_helper(std::string_view name, const FiberBlock::Job& job) noexcept {
  start_helper(make_helper(name, nullptr), job, this);
}

FiberBlock& SchedulerCore::make_helper(std::string_view name, FiberBlock* parent) noexcept {
  FiberBlock& helper = make_fiber(name, parent);
  helper.clock = clock_;
  helper.floating_point = floating_point_;
  if (helper.log_extras != root_->context->log_extras) helper.log_extras = root_->context->log_extras;
  return helper;
}

void SchedulerCore::start_helper(FiberBlock& helper, const FiberBlock::Job& job, void* job_self) noexcept {
  helper.job = &job;
  helper.job_self = job_self;
  start(helper);
}

bool SchedulerCore::post(Mailbox& mailbox, Call& call) noexcept {
  if (!mailbox.post(call)) {
    drop(call);
    return false;
  }
  wake_if_asleep();
  return true;
}

void SchedulerCore::check_caller(const Mailbox& mailbox, const char* what) {
  if (const Conductor* const conductor = mailbox.conductor()) [[unlikely]] conductor->check_caller(what);
}

mothreads::Posted SchedulerCore::post_of_user(const std::shared_ptr<Mailbox>& mailbox, Call& call, const char* what) {
  // Kept for afterwards, when the call may have run.
  const std::shared_ptr<const Mailbox> world = mailbox->conductor() == nullptr ? nullptr : mailbox;
  if (world != nullptr) [[unlikely]] check_caller(*world, what);
  if (!mailbox->post(call)) return mothreads::Why::closed;
  wake_if_asleep();
  if (world != nullptr) [[unlikely]] may_be_interrupted(*world);
  return mothreads::Why::ready;
}

void SchedulerCore::wake_if_asleep(Waker waker) noexcept {
  // seq_cst: see Mailbox::post().
  Posted* newest = inbox_.load(std::memory_order_seq_cst);
  if (!is_mark(newest) || !inbox_.compare_exchange_strong(newest, nullptr, std::memory_order_seq_cst)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  wake(newest, waker);
}

void SchedulerCore::take_calls() noexcept {
  mailbox_->take_all(calls_, errands_);
  start_runners();
}

// One that is cancelled, before it has begun or with a function that it runs, leaves the rest to another.
void SchedulerCore::start_runners() noexcept {
  static constexpr FiberBlock::Job kRunCalls{
      .call = [](void* self) { static_cast<SchedulerCore*>(self)->run_calls(); },
      .drop_function =
          [](void* self) noexcept {
            auto& core = *static_cast<SchedulerCore*>(self);
            core.spent_.give_back();
            core.calls_run_ = false;
            core.calls_fiber_ = nullptr;
            core.start_runners();
          },
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  static constexpr FiberBlock::Job kRunErrands{
      .call = [](void* self) { static_cast<SchedulerCore*>(self)->run_errands(); },
      .drop_function =
          [](void* self) noexcept {
            auto& core = *static_cast<SchedulerCore*>(self);
            core.spent_.give_back();
            core.errands_run_ = false;
            core.start_runners();
          },
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  if (!errands_.is_empty() && !std::exchange(errands_run_, true)) start_helper("errands", kRunErrands);
  if (!calls_.is_empty() && !std::exchange(calls_run_, true)) {
    FiberBlock& helper = make_helper("callbacks", nullptr);
    give_callback_stack(helper);
    start_helper(helper, kRunCalls, this);
  }
}

// One after the other; one that waits keeps the later ones waiting. Others get their turn after so many.
void SchedulerCore::run_calls() {
  constexpr int kCallsPerTurn = 64;
  const FiberBlock& me = *running_fiber();
  calls_fiber_ = &me;
  for (int count = 1; Call* call = calls_.pop_front(); ++count) {
    run_callback(*call, spent_);
    if (me.is_root) return;       // it has called fork(), and has ended in the child
    if (me.is_cancelled) return;  // too late for that one, and not meant for the next
    if (count % kCallsPerTurn == 0) yield();
  }
}

// They wait for nothing.
void SchedulerCore::run_errands() noexcept {
  while (Call* call = errands_.pop_front()) call->kind->act(*call, Call::What::run, spent_);
}

}  // namespace cooperative::internal
