#pragma once

// Whose turn it is, among the fibers of one scheduler: the first who came gets it next. Unlike an RLock it tells why it was not got.

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0::internal {

class Turn {
 public:
  bool is_taken() const noexcept { return is_taken_; }
  bool has_waiters() const noexcept { return !waiters_.is_empty(); }

  bool try_take() noexcept { return !is_taken_ && (is_taken_ = true); }
  // `closed` when close() came meanwhile. `verb` is a literal.
  mothreads::Why take(const char* verb, mothreads::Limit limit) {
    if (try_take()) return mothreads::Why::ready;
    mothreads::internal::WaitNode node;
    return SchedulerCore::current().wait(waiters_, node, verb, limit);
  }
  void leave() noexcept {
    if (mothreads::internal::WaitNode* next = waiters_.claim_front_on_host()) {
      SchedulerCore::current().end_wait(*next, mothreads::Why::ready);  // who has it now
    } else {
      is_taken_ = false;
    }
  }
  // Nobody who waits gets it.
  void close() noexcept { wake_all(waiters_, mothreads::Why::closed); }

  static void wake_all(mothreads::internal::WaitList& waiters, mothreads::Why why) noexcept {
    while (mothreads::internal::WaitNode* waiter = waiters.claim_front_on_host()) SchedulerCore::current().end_wait(*waiter, why);
  }

 private:
  bool is_taken_ = false;
  mothreads::internal::WaitList waiters_;
};

}  // namespace cooperative::internal
