#pragma once

// The last of the OS threads that have ended and that nobody joins, each of which joins the one before.

#include <utility>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/tree/os_thread.h"

namespace mothreads::inline v0::internal {

class LeftOver {
 public:
  // Leaves an ended OS thread here and gives the one that was left before.
  OsThread exchange(OsThread ended) {
    TinyLock lock(mutex_);
    return std::exchange(thread_, std::move(ended));
  }
  // Joins the one that was left here last; see ThreadNode::leave_to_parent().
  void reap() { exchange({}).join(); }

 private:
  TinyMutex mutex_;
  OsThread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mothreads::internal
