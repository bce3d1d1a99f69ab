#pragma once

// Watches over the stop of one fiber and of all that runs under it, where the stop is the fiber's own and not its thread's: at the
// deadline it cancels them, and when they have not ended after the grace it ends the process with a report. The first happens on the
// scheduler's own thread, by its own timers; the second on another, for the scheduler's may be stuck.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "cooperative/internal/scheduler/stopping.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/tree/stop_watch.h"

namespace cooperative::inline v0::internal {

class FiberWatch final : public mothreads::internal::StopWatch {
 public:
  FiberWatch(Stopping& stopping, FiberBlock& fiber, std::int64_t deadline);

  // The fiber has ended.
  void end() noexcept;

 private:
  bool has_ended() const noexcept override { return ended_.load(std::memory_order_acquire); }
  bool may_unwind() const override { return true; }
  std::string_view watched_name() const noexcept override { return name_; }
  [[noreturn]] void report() override;

  CancelTimer cancel_timer_;
  const std::string name_;
  const mothreads::internal::Ref<mothreads::internal::Node> thread_;
  std::atomic<bool> ended_{false};
};

}  // namespace cooperative::internal
