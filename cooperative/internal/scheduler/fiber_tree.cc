#include "cooperative/internal/scheduler/fiber_tree.h"

namespace cooperative::inline v0::internal {

// Whoever is above was made before, so most often the first look is enough.
bool FiberTree::is_below(const FiberBlock& fiber, const FiberBlock& ancestor) noexcept {
  for (const FiberBlock* at = &fiber; at != nullptr && at->id >= ancestor.id; at = at->parent) {
    if (at == &ancestor) return true;
  }
  return false;
}

FiberBlock* FiberTree::next_above(FiberBlock* fiber) noexcept {
  FiberBlock* at = fiber;
  while (at != nullptr) {
    if (at->state == FiberBlock::State::ending || at->state <= FiberBlock::State::begun) return at;
    if (at->state != FiberBlock::State::ended) {
      at = at->parent;
    } else {
      const ParentRef left = at->left != nullptr ? *at->left : ParentRef();
      at = left.block != nullptr && left.block->id == left.id ? left.block : nullptr;
    }
  }
  return nullptr;
}

FiberBlock* FiberTree::next(const FiberBlock& fiber, int& depth) const noexcept {
  if (fiber.newest_child != nullptr) {
    ++depth;
    return fiber.newest_child;
  }
  for (const FiberBlock* at = &fiber; at != nullptr; at = at->parent) {
    if (!is_oldest(*at)) return at->older;
    --depth;
  }
  return nullptr;
}

void FiberTree::link(FiberBlock& child, FiberBlock* parent) noexcept {
  FiberBlock* const newest = newest_child_of(parent);
  if (newest == nullptr || child.id > newest->id) return link_newest(child, parent);
  const Changing changing(changes_);
  enter(child, parent);
  // By age, also where one comes from another parent; most often it is the newest, or the oldest.
  FiberBlock* older = newest;
  if (child.id > newest->newer->id) {
    while (child.id < older->id) older = older->older;
  }
  child.older = older;
  child.newer = older->newer;
  older->newer = child.newer->older = &child;
}

}  // namespace cooperative::internal
