#pragma once

// The tree of fibers of one scheduler's life: who runs under whom. Children are a circular list, the newest first. On the scheduler's thread
// alone; a report may interrupt that thread anywhere, and walks along the tree while is_changing() is false.

#include <atomic>
#include <cstdint>
#include <utility>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/group_place.h"

namespace cooperative::inline v0::internal {

class FiberTree {
 public:
  FiberTree() = default;
  FiberTree(const FiberTree&) = delete;
  FiberTree& operator=(const FiberTree&) = delete;

  // --- who is there -------------------------------------------------------------------------------------------------------

  bool is_empty() const noexcept { return newest_ == nullptr; }
  // Below nobody but the root.
  FiberBlock* newest() const noexcept { return newest_; }
  // Null for the children of the root.
  FiberBlock* newest_child_of(const FiberBlock* parent) const noexcept { return parent == nullptr ? newest_ : parent->newest_child; }
  // No sibling is older.
  bool is_oldest(const FiberBlock& fiber) const noexcept { return fiber.older == newest_child_of(fiber.parent); }
  // The fiber itself, or, where it runs functions of its end, the next above it that lives on; null for the root.
  static FiberBlock* next_above(FiberBlock* fiber) noexcept;
  static bool is_below(const FiberBlock& fiber, const FiberBlock& ancestor) noexcept;
  // Each before its children, the newest first, from newest() on; null after the last. `depth` goes along.
  FiberBlock* next(const FiberBlock& fiber, int& depth) const noexcept;

  // So many have left their places: who looks away sees whether it is where it was.
  std::uint64_t unlinked() const noexcept { return unlinked_; }
  // A signal handler on this thread must not look.
  bool is_changing() const noexcept { return changes_.load(std::memory_order_relaxed); }

  // --- who comes and goes -------------------------------------------------------------------------------------------------

  // One that has just got its number.
  void link_newest(FiberBlock& child, FiberBlock* parent) noexcept;
  // Any.
  void link(FiberBlock& child, FiberBlock* parent) noexcept;
  // Its parent's group does not know yet: groups.h.
  void unlink(FiberBlock& child) noexcept;

  // In the child of a fork(): the children of the root, whose places are gone.
  FiberBlock* leave_behind() noexcept { return std::exchange(newest_, nullptr); }

 private:
  // The compiler keeps the order; there is no other thread to keep it for.
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

  FiberBlock*& place_of_newest(FiberBlock* parent) noexcept { return parent == nullptr ? newest_ : parent->newest_child; }
  static void enter(FiberBlock& child, FiberBlock* parent) noexcept {
    child.parent = parent;
    if (parent != nullptr && parent->group != nullptr) [[unlikely]] ++parent->group->members;
  }

  FiberBlock* newest_ = nullptr;  // children of the root
  std::uint64_t unlinked_ = 0;
  std::atomic<bool> changes_{false};  // only a signal handler on the same thread looks
};

inline void FiberTree::link_newest(FiberBlock& child, FiberBlock* parent) noexcept {
  const Changing changing(changes_);
  enter(child, parent);
  FiberBlock*& newest = place_of_newest(parent);
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

inline void FiberTree::unlink(FiberBlock& child) noexcept {
  const Changing changing(changes_);
  ++unlinked_;
  FiberBlock* const older = child.older;
  FiberBlock*& newest = place_of_newest(child.parent);
  if (older == &child) {
    newest = nullptr;
  } else {
    older->newer = child.newer;
    child.newer->older = older;
    if (newest == &child) newest = older;
  }
  child.parent = child.older = child.newer = nullptr;
}

}  // namespace cooperative::internal
