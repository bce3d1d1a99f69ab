#pragma once

// Updates for functions in fibers of one thread come to it by one wake, however many subscriptions have got one.
//
//     a thread of libca: delivery.add(monitor)    the monitor has an update, and its fiber waits for one
//     the thread's own:  delivery.run()           in a fiber: makes the fibers of all those monitors go on
//
// A single update comes at once. When several are found at a time, as when a server sends many together, run() sleeps for a millisecond, and libca's thread
// gathers meanwhile: a thread that went on with each would do nothing but fall asleep and be woken. It does so by a real clock alone.
//
// Thread safety: add() may be called from any thread; all else belongs to the thread that made it.

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
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

  // That of this thread; null where there is none that goes on.
  static std::shared_ptr<Delivery> here() noexcept;
  // Makes it that of this thread. The caller then lets a fiber run it.
  static std::shared_ptr<Delivery> make();

  // Its users are monitors whose fibers run on its thread. run() ends when the last has left.
  void enter() noexcept { ++users_; }
  void leave() noexcept;
  void run();

  // Any thread. False when it has ended: the monitor's fiber is to be woken in another way.
  bool add(std::shared_ptr<Monitor> monitor);

 private:
  bool deliver();
  void end() noexcept;

  const mothreads::internal::Born born_;
  std::size_t users_ = 0;
  std::vector<std::shared_ptr<Monitor>> taken_;  // those that are being delivered

  mutable mothreads::internal::TinyMutex mutex_;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_gathering_ ABSL_GUARDED_BY(mutex_) = false;  // it looks by itself, soon
  std::vector<std::shared_ptr<Monitor>> added_ ABSL_GUARDED_BY(mutex_);
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace catools::inline v0::internal
