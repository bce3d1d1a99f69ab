#pragma once

// Updates for functions in fibers of one thread come to it by one wake, however many subscriptions have got one.
//
//     a thread of libca: delivery.add(monitor)    the monitor has an update, and its fiber waits for one
//     the thread's own:  delivery.run(yield)           in a fiber: makes the fibers of all those monitors go on
//
// A single update comes at once. When several are found at a time, as when a server sends many together, run() sleeps for a millisecond, and libca's thread
// gathers meanwhile: a thread that went on with each would do nothing but fall asleep and be woken. It does so by a real clock alone.
//
// Each monitor leaves before it goes, so none is kept here. Locks: that of a monitor is outside of this one's.
//
// Thread safety: add() may be called from any thread; all else belongs to the thread that made it.

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/wait_list.h"

namespace catools::inline v0::internal {

class Monitor;

class Delivery {
 public:
  Delivery() = default;
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  // Gives the delivery of this thread; null where no delivery goes on.
  static std::shared_ptr<Delivery> here() noexcept;
  // Makes it that of this thread. The caller then lets a fiber run it.
  static std::shared_ptr<Delivery> make();

  // The users of a delivery are monitors whose fibers run on its thread. run() ends when the last has left.
  void enter() noexcept { ++users_; }
  // The monitor's fiber waits for nothing any more: it is forgotten.
  void leave(Monitor& monitor) noexcept;
  // Lets the fibers have their turns by `yield`, a few at a time, so that what they need is in the cache once for all.
  void run(absl::FunctionRef<void()> yield);

  // Any thread, under the mutex of the monitor, whose fiber waits. `runner` is then to be finished, if there is one. False when it has ended: the
  // monitor's fiber is to be woken in another way.
  bool add(Monitor& monitor, mothreads::internal::WaitNode*& runner) noexcept;

 private:
  bool deliver(absl::FunctionRef<void()> yield);
  void end() noexcept;

  const mothreads::internal::Born born_;
  std::size_t users_ = 0;
  std::vector<Monitor*> taken_;  // monitors that are being delivered to; null for a monitor that has left

  mutable mothreads::internal::TinyMutex mutex_;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_gathering_ ABSL_GUARDED_BY(mutex_) = false;  // run() looks by itself, soon
  std::vector<Monitor*> added_ ABSL_GUARDED_BY(mutex_);
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
