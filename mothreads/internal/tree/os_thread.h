#pragma once

#include <pthread.h>

#include <cstddef>
#include <utility>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/thread_stack.h"

namespace mothreads::inline v0::internal {

// An OS thread that somebody has to join, and its stack; or none.
class OsThread {
 public:
  OsThread() = default;
  // Throws std::system_error when the system refuses. `stack_size` in bytes, 0 for the system's default.
  OsThread(void* (*function)(void*), void* argument, std::size_t stack_size);
  OsThread(OsThread&& other) noexcept
      : exists_(std::exchange(other.exists_, false)), born_(other.born_), id_(other.id_), stack_(std::move(other.stack_)) {}
  OsThread& operator=(OsThread&& other) noexcept {
    std::swap(exists_, other.exists_);
    std::swap(born_, other.born_);
    std::swap(id_, other.id_);
    std::swap(stack_, other.stack_);
    return *this;
  }
  // It has been joined: nobody else can free its stack.
  ~OsThread();

  explicit operator bool() const { return exists_; }
  bool is_current() const { return exists_ && !born_.is_left_behind() && pthread_equal(id_, pthread_self()) != 0; }

  // Waits until the kernel has ended it; nothing when there is none. In a child of fork() a thread of the parent's is none.
  void join();

 private:
  bool exists_ = false;
  Born born_;
  pthread_t id_{};
  ThreadStack stack_;
};

}  // namespace mothreads::internal
