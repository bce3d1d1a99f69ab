#pragma once

// What other threads ring when the scheduler's own thread is in somebody else's poll().

#include <new>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "cooperative/internal/scheduler/ready_descriptor.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace cooperative::inline v0::internal {

class Bell {
 public:
  // Throws as ReadyDescriptor::get().
  int hang() {
    mothreads::internal::TinyLock lock(mutex_);
    return descriptor_.emplace().get(/*is_ready=*/false);
  }
  void take_down() noexcept {
    mothreads::internal::TinyLock lock(mutex_);
    descriptor_.reset();
  }

  // Nothing while none hangs: a thread may be late.
  void set(bool rings) noexcept {
    mothreads::internal::TinyLock lock(mutex_);
    if (descriptor_) descriptor_->set(rings);
  }
  // For a signal handler, which cannot wait for whom it may have interrupted. Whoever has the mutex when the scheduler is in poll()
  // rings, too; else it is the scheduler, before it looks for what was posted.
  void ring_in_handler() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (!mutex_.try_lock()) return;
    if (descriptor_) descriptor_->set(true);
    mutex_.unlock();
  }

  // In the child of a fork(), whose parent goes on with it; another thread may have been at it.
  void leave_behind() noexcept {
    new (&mutex_) mothreads::internal::TinyMutex;
    take_down();
  }

 private:
  mothreads::internal::TinyMutex mutex_;
  std::optional<ReadyDescriptor> descriptor_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cooperative::internal
