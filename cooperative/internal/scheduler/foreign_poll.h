#pragma once

// A scheduler whose thread sleeps in somebody else's poll(): foreign_loop.h. Between two run_due() there is a mark in the scheduler's
// inbox, as while it sleeps, and who finds it rings the bell; times ring it by an alarm.

#include <optional>

#include "cooperative/internal/scheduler/alarm.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

class ForeignPoll {
 public:
  explicit ForeignPoll(SchedulerCore& core);
  ~ForeignPoll();
  ForeignPoll(const ForeignPoll&) = delete;
  ForeignPoll& operator=(const ForeignPoll&) = delete;

  int descriptor() const noexcept { return descriptor_; }
  std::optional<mothreads::Instant> run_due(const mothreads::Until& until);

  // The scheduler ends.
  void abandon() noexcept;
  // The same in the child of a fork().
  void leave_behind() noexcept;

 private:
  struct PollCall;

  bool has_more() const noexcept;
  std::optional<mothreads::Instant> arm();
  mothreads::Instant say_more() noexcept;
  void disarm() noexcept;

  SchedulerCore* core_;
  int descriptor_ = -1;
  std::optional<Alarm> alarm_;  // while one is set
  PollCall* innermost_ = nullptr;
};

}  // namespace cooperative::internal
