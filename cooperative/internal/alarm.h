#pragma once

// Wakes a scheduler at a time of its clock: one that sleeps while the time passes by somebody's hand, or one whose thread polls.

#include <atomic>

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/spin.h"
#include "mothreads/contexts/timer_wheel.h"

namespace cooperative::internal {

struct SchedulerCore::Alarm : mothreads::internal::TimerNode {
  explicit Alarm(SchedulerCore& its_core) : TimerNode(kOps), core(its_core) {}

  // Once taken, until it has rung.
  void await() const noexcept {
    while (!rang.load(std::memory_order_acquire)) mothreads::internal::spin_pause();  // pairs with fire()
  }

  static bool take(TimerNode&) { return true; }
  static void fire(TimerNode& node);
  static constexpr mothreads::internal::TimerOps kOps{take, fire};

  SchedulerCore& core;
  std::atomic<bool> rang{false};
};

}  // namespace cooperative::internal
