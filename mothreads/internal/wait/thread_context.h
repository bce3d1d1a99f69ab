#pragma once

// The context of an OS thread: it parks on a futex, after a short, adaptive spin.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mothreads/internal/base/foreign_slot.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0::internal {

class ThreadContext final : public Context {
 public:
  // A context for the calling thread, from the pool of those that earlier threads gave back.
  static ThreadContext& acquire();
  static void release(ThreadContext& context) noexcept;

  // Whether it is one: the context of an OS thread, and no fiber's.
  static ThreadContext* of(Context& context) noexcept { return context.is_root ? dynamic_cast<ThreadContext*>(&context) : nullptr; }

  std::uint64_t os_thread_id() const noexcept { return os_thread_id_.load(std::memory_order_relaxed); }

  // It is that of a simulated thread, which no signal reaches.
  void set_simulated() noexcept { os_thread_id_.store(0, std::memory_order_relaxed); }

  // From now on the context is that of a thread that the library did not make, and `node` is the place of such a thread.
  void set_alien() noexcept { node_of_alien_ = node; }
  // Of one for which that was called: whether nothing has given the thread another place.
  bool is_unknown() const noexcept { return node == node_of_alien_; }

  void set_name(const char* its_name) noexcept override;
  KeptName name_for_others() const noexcept override;
  // The name of its RegisterThread, in that scope; outside of it empty.
  void set_registered_name(std::string_view its_name) noexcept;

  // Its name while it is in the scope of a ForeignThread.
  ForeignSlot& foreign() noexcept { return foreign_; }

  struct ForeignThreadInfo {
    std::string name;
    std::optional<WaitReport> waits_on;
  };
  // All threads that are in such a scope now. From any thread; those threads do not notice.
  static std::vector<ForeignThreadInfo> foreign_threads();

  std::optional<WaitReport> waits_on() const override;

  bool spin_until(absl::FunctionRef<bool()> condition, int pauses) noexcept override;
  // The same also where it has a host, whose own sleep it is.
  bool spin(absl::FunctionRef<bool()> condition, int pauses) noexcept;

 private:
  ThreadContext() = default;
  static void go_on_in_child() noexcept;
  friend struct ThreadContexts;

  void describe(const WaitDescription& what) noexcept override;
  void undescribe() noexcept override;
  void suspend(const std::optional<Instant>& deadline) noexcept override;
  void resume() noexcept override;

  mutable TinyMutex description_mutex_;
  char description_[96] ABSL_GUARDED_BY(description_mutex_) = {};
  Instant described_since_ ABSL_GUARDED_BY(description_mutex_){};
  std::uint32_t described_lock_ ABSL_GUARDED_BY(description_mutex_) = 0;  // the KeptName of the lock that it waits to enter, if it does

  std::atomic<std::uint64_t> os_thread_id_{0};  // what a report sends its signal to
  ThreadContext* next_free_ = nullptr;
  ThreadContext* next_made_ = nullptr;
  std::uint64_t lives_ = 0;
  std::uint32_t spin_nanoseconds_ = 0;
  std::uint32_t waits_ = 0;
  const Node* node_of_alien_ = nullptr;
  ForeignSlot foreign_;
  KeptName kept_name_;        // as set_name() said, for others
  KeptName registered_name_;  // in the scope of a RegisterThread, for others
};

}  // namespace mothreads::internal
