#pragma once

// Whether a function of somebody's runs on a scheduler, for a destructor that has to wait for its end.

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0::internal {

class UnderWay {
 public:
  // Around the function. False when it is not to run any more.
  bool begin() noexcept;
  void end() noexcept;

  // Whether this code is inside the function.
  bool is_here() const noexcept;

  // No more; waits for the end of what runs, but from inside it. Any thread or fiber.
  void close() noexcept;

 private:
  const mothreads::internal::Born born_;
  mutable mothreads::internal::TinyMutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  const mothreads::internal::Context* who_ ABSL_GUARDED_BY(mutex_) = nullptr;  // runs it
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cooperative::internal
