#pragma once

// The tree of fibers of one scheduler: how most come into it, and leave it. For the sources of SchedulerCore alone; the rest is in fibers.cc.

#include <atomic>

#include "cooperative/internal/scheduler_core.h"

namespace cooperative::internal {

// A report may interrupt the thread anywhere, and walks along the tree: see picture.cc. The compiler keeps the order; there is no other
// thread to keep it for.
class Changing {
 public:
  explicit Changing(std::atomic<bool>& changes) : changes_(changes) {
    changes_.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~Changing() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    changes_.store(false, std::memory_order_relaxed);
  }
  Changing(const Changing&) = delete;
  Changing& operator=(const Changing&) = delete;

 private:
  std::atomic<bool>& changes_;
};

// `fiber` has just got its number.
inline void SchedulerCore::link_newest(FiberBlock& child, FiberBlock* parent) noexcept {
  const Changing changing(tree_changes_);
  child.parent = parent;
  if (parent != nullptr ? parent->told_to_stop : all_told_) [[unlikely]] note_untold(child);
  if (parent != nullptr && parent->group != nullptr) [[unlikely]] ++parent->group->members;
  FiberBlock*& newest = parent == nullptr ? newest_ : parent->newest_child;
  FiberBlock* const before = newest;
  newest = &child;
  if (before == nullptr) {
    child.older = child.newer = &child;
  } else {
    child.older = before;
    child.newer = before->newer;
    before->newer = child.newer->older = &child;
  }
}

inline void SchedulerCore::leave_siblings(FiberBlock& child) noexcept {
  const Changing changing(tree_changes_);
  ++unlinked_;
  FiberBlock* const older = child.older;
  if (older == &child) {
    (child.parent == nullptr ? newest_ : child.parent->newest_child) = nullptr;
  } else {
    FiberBlock*& newest = child.parent == nullptr ? newest_ : child.parent->newest_child;
    older->newer = child.newer;
    child.newer->older = older;
    if (newest == &child) newest = older;
  }
  child.parent = child.older = child.newer = nullptr;
}

}  // namespace cooperative::internal
