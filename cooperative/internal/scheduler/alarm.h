#pragma once

// Wakes a scheduler at a time of its clock: one that sleeps while the time passes by somebody's hand, or one whose thread polls.

#include <atomic>

#include "cooperative/internal/scheduler/inbox.h"
#include "mothreads/internal/base/spin.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace cooperative::inline v0::internal {

struct Alarm : mothreads::internal::TimerNode {
  explicit Alarm(Inbox& its_inbox) : TimerNode(kOps), inbox(its_inbox) {}

  // Once taken, until it has rung.
  void await() const noexcept {
    while (!rang.load(std::memory_order_acquire)) mothreads::internal::spin_pause();  // pairs with fire()
  }

  static bool take(TimerNode&) { return true; }
  static void fire(TimerNode& node) {
    auto& alarm = static_cast<Alarm&>(node);
    Inbox& its_inbox = alarm.inbox;
    const Inbox::Mark mark = its_inbox.take_mark();
    alarm.rang.store(true, std::memory_order_release);  // the alarm may be gone now; the inbox stays
    if (mark) its_inbox.wake(mark);
  }
  static constexpr mothreads::internal::TimerOps kOps{take, fire};

  Inbox& inbox;
  std::atomic<bool> rang{false};
};

}  // namespace cooperative::internal
