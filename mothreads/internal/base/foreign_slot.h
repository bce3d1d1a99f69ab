#pragma once

// Where a thread of another library has its name while it is in the scope of a ForeignThread. Its own thread enters and leaves, in order;
// any thread may read. One lock for an entry, none for the exit; nothing allocates or throws.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::internal {

class ForeignSlot {
 public:
  static constexpr std::size_t kMaxName = 63;  // bytes
  using Name = std::array<char, kMaxName + 1>;  // terminated

  // Of scopes, each in the one before it.
  bool is_in_scope() const noexcept { return depth_.load(std::memory_order_relaxed) > 0; }

  // For its own thread. `outer` keeps the name of the scope around it, where there is one.
  void enter(std::string_view name, Name& outer) noexcept {
    const int depth = depth_.load(std::memory_order_relaxed);
    if (depth > 0) [[unlikely]] copy_own_name(outer);
    {
      const TinyLock lock(mutex_);
      write(name);
    }
    depth_.store(depth + 1, std::memory_order_relaxed);  // a reader has the lock, and so sees a whole name
  }
  void leave(const Name& outer) noexcept {
    const int depth = depth_.load(std::memory_order_relaxed) - 1;
    if (depth > 0) [[unlikely]] {
      const TinyLock lock(mutex_);
      name_ = outer;
    }
    depth_.store(depth, std::memory_order_relaxed);
  }
  // Only its own thread reads what this points to, which changes with each scope.
  const char* own_name() const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { return name_.data(); }

  // For any thread. False when it is in no scope.
  bool read(Name& name) const noexcept {
    const TinyLock lock(mutex_);
    name = name_;
    return is_in_scope();
  }

  // The thread ends, whatever scopes are open.
  void clear() noexcept { depth_.store(0, std::memory_order_relaxed); }
  // In a child of fork().
  void leave_behind() noexcept {
    new (&mutex_) TinyMutex;  // another thread may have been at it
    clear();
  }

 private:
  void copy_own_name(Name& to) const noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { to = name_; }

  // A longer name is cut, before the character that does not fit.
  void write(std::string_view name) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::size_t size = std::min(name.size(), kMaxName);
    if (name.size() > kMaxName) [[unlikely]] {
      constexpr std::size_t kLongestCharacter = 4;
      while (size > kMaxName - kLongestCharacter && (static_cast<unsigned char>(name[size]) & 0xc0U) == 0x80) --size;
    }
    if (size > 0) std::memcpy(name_.data(), name.data(), size);
    name_[size] = '\0';
  }

  mutable TinyMutex mutex_;
  std::atomic<int> depth_{0};  // only its own thread writes it
  Name name_ ABSL_GUARDED_BY(mutex_) = {};  // only its own thread writes it
};

}  // namespace mothreads::internal
