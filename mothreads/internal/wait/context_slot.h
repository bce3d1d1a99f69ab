#pragma once

// Which context runs a member of the shutdown tree now, for whoever looks at it from elsewhere.
//
// Thread safety: set() is for that context's own thread; with() may be called from any.

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::internal {

class Context;

class ContextSlot {
 public:
  // Calls `f` with the context, which stays while `f` runs. Nothing when there is none.
  template <typename F>
  void with(F&& f) const {
    TinyLock lock(mutex_);
    if (context_ != nullptr) f(*context_);
  }
  void set(Context* context) {
    if (born_.is_left_behind()) return;  // somebody else may have been at the mutex
    TinyLock lock(mutex_);
    context_ = context;
  }

 private:
  const Born born_;
  mutable TinyMutex mutex_;
  Context* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace mothreads::internal
