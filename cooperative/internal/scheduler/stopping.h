#pragma once

// Stopping fibers: who is told, by when, and who is cancelled. For one life of a scheduler, on its thread; only the watch over a deadline
// (fiber_watch.h) is on another.
//
// Invariant: below a fiber that has been told all have been told before it, but for those that has_untold of it, or all_told_ for the root,
// says have come since.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace cooperative::inline v0::internal {

class Stopping;

// Cancels a fiber and all that run under it, or all of a scheduler, when a stop's deadline comes.
struct CancelTimer : mothreads::internal::TimerNode {
  CancelTimer(Stopping& its_stopping, FiberBlock* its_top) : TimerNode(kOps), stopping(its_stopping), top(its_top) {}
  static const mothreads::internal::TimerOps kOps;

  Stopping& stopping;
  FiberBlock* const top;  // null for all
};

class Stopping {
 public:
  explicit Stopping(SchedulerCore& core) noexcept : core_(core) {}
  Stopping(const Stopping&) = delete;
  Stopping& operator=(const Stopping&) = delete;

  // --- one fiber, and what runs under it ----------------------------------------------------------------------------------

  // Tells the fiber, and all below it; they may wait as they end, this does not.
  void stop(FiberBlock& fiber);
  // Tells all below it, and waits for them.
  void stop_children(FiberBlock& fiber) noexcept;
  // Its next wait, or the one that it is in, is unwound.
  static void cancel(FiberBlock& fiber);
  // A fiber that has just got its place: those above it may have been told already.
  void note_new(const FiberBlock& child) noexcept {
    if (child.parent != nullptr ? child.parent->told_to_stop : all_told_) [[unlikely]] note_untold(child);
  }

  // Keeps a fiber's deadline from now on; ends that.
  void watch(FiberBlock& fiber, std::int64_t deadline) noexcept;
  static void end_watch(FiberBlock& fiber) noexcept;

  // --- all fibers ---------------------------------------------------------------------------------------------------------

  // Tells all fibers to stop, newest first, in a fiber of its own; cancels at the deadline those that are left.
  void begin(const std::optional<mothreads::Instant>& deadline) noexcept;
  // The same here and now, without a deadline.
  void tell_all() { tell(nullptr, Tell::those_below); }
  void settle_deadline_of_all(const std::optional<mothreads::Instant>& deadline) noexcept;
  bool has_deadline_of_all() const noexcept { return deadline_ != FiberBlock::kNoDeadline; }
  // The newest first, each after those under it, as they are told. No code of users runs meanwhile. Null for all.
  void cancel_with_all_below(FiberBlock* top) noexcept;
  // All have ended.
  void end() noexcept;

  // By when whoever runs is to have stopped, in nanoseconds of the clock; FiberBlock::kNoDeadline when nobody has asked.
  std::int64_t deadline_in_force() const noexcept;
  std::uint64_t stops() const noexcept { return stops_; }  // so often all have been told
  std::uint64_t tells() const noexcept { return tells_; }  // for tests
  std::size_t told_at_stop() const noexcept { return told_at_stop_; }

  SchedulerCore& core() const noexcept { return core_; }
  // In the child of a fork().
  void leave_behind() noexcept;

 private:
  enum class Tell : bool { those_below, all };

  void tell(FiberBlock* top, Tell whom);
  FiberBlock* newest_before(std::uint64_t end, const FiberBlock* parent) const noexcept;
  FiberBlock* first_to_tell(FiberBlock& fiber, std::uint64_t end) noexcept;
  FiberBlock* next_to_tell(FiberBlock& told, const FiberBlock* top, Tell whom, std::uint64_t end) noexcept;
  void tell_one(FiberBlock& fiber, std::uint64_t late_before);
  static void kill(FiberBlock& fiber) noexcept;
  void note_untold(const FiberBlock& child) noexcept;
  void settle_deadline(FiberBlock& fiber) noexcept;
  bool settle_own_limit(FiberBlock& block, std::int64_t inherited) noexcept;
  bool has_passed(std::int64_t deadline) const noexcept;
  void start_stopper() noexcept;

  SchedulerCore& core_;
  bool all_told_ = false;  // with the last stop of all, and none has come since
  std::int64_t deadline_ = FiberBlock::kNoDeadline;  // of all fibers
  std::uint64_t stops_ = 0;
  std::uint64_t late_ = 0;   // so many have come below somebody who had been told
  std::uint64_t tells_ = 0;  // so many fibers and groups all walks have told, or found told
  std::size_t told_at_stop_ = 0;  // so many fibers there were at the first of the stops of all
  CancelTimer timer_{*this, nullptr};
};

}  // namespace cooperative::internal
