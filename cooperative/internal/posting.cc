#include "cooperative/internal/scheduler_core.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
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
  wake(newest);
}

void SchedulerCore::wake(const Posted* mark) noexcept {
  if (mark == asleep()) {
    mothreads::internal::futex_wake(inbox_futex(), 1);
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
  FiberBlock& helper = make_fiber(name, nullptr);
  helper.job = &job;
  helper.job_self = this;
  start(helper);
}

void SchedulerCore::take_calls() noexcept {
  static constexpr FiberBlock::Job kRunCalls{
      .call = [](void* self) { static_cast<SchedulerCore*>(self)->run_calls(); },
      .drop_function = [](void*) noexcept {},
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  Call* call = mailbox_->take_all();
  while (call != nullptr) {
    Call& taken = *std::exchange(call, call->next);
    if (taken.is_urgent()) {
      taken.run();
    } else {
      calls_.push_back(taken);
    }
  }
  if (!calls_.is_empty() && !std::exchange(calls_run_, true)) start_helper("callbacks", kRunCalls);
}

// One after the other; one that waits keeps the later ones waiting. Others get their turn after so many.
void SchedulerCore::run_calls() {
  constexpr int kCallsPerTurn = 64;
  absl::Cleanup done = [this] { calls_run_ = false; };
  for (int count = 1; Call* call = calls_.pop_front(); ++count) {
    call->run();
    if (count % kCallsPerTurn == 0) yield();
  }
}

void SchedulerCore::wake_if_asleep() noexcept {
  // seq_cst: see Mailbox::post().
  Posted* newest = inbox_.load(std::memory_order_seq_cst);
  if (!is_mark(newest) || !inbox_.compare_exchange_strong(newest, nullptr, std::memory_order_seq_cst)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  wake(newest);
}

}  // namespace cooperative::internal
