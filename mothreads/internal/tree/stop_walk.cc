#include "mothreads/internal/tree/stop_walk.h"

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "mothreads/clock.h"

namespace mothreads::inline v0::internal {
namespace {

constinit std::atomic<std::uint64_t> steps_taken{0};

}  // namespace

std::uint64_t StopWalk::steps() { return steps_taken.load(std::memory_order_relaxed); }

bool StopWalk::tell(Node& top, const StopOrder& order) {
  const bool is_first = enter(top, order);
  go_on();
  return is_first;
}

void StopWalk::tell_those_below(Node& top) {
  Node::Settled settled = top.settle_deadline(std::nullopt, {});
  std::vector<Ref<Node>> below = top.first_to_tell(settled.deadline);
  way_.push_back({.node = Ref<Node>(top),
                  .is_meant = false,
                  .order = {.deadline = settled.deadline, .clock = &top.clock(), .watcher = std::move(settled.watcher)},
                  .below = std::move(below)});
  go_on();
}

void StopWalk::tell(Node& top, std::vector<Ref<Node>> next) {
  if (next.empty()) return;
  Node::Settled settled = top.settle_deadline(std::nullopt, {});
  way_.push_back({.node = Ref<Node>(top),
                  .is_meant = false,
                  .order = {.deadline = settled.deadline, .clock = &top.clock(), .watcher = std::move(settled.watcher)},
                  .below = std::move(next)});
  go_on();
}

// True when the node had not been told.
bool StopWalk::enter(Node& node, const StopOrder& order) {
  steps_taken.fetch_add(1, std::memory_order_relaxed);  // orders nothing
  if (node.stopped()) return false;
  std::optional<Instant> deadline = order.deadline;
  // Each clock has a time of its own: what is left of it counts.
  if (deadline && order.clock != &node.clock()) deadline = node.clock().now() + (*deadline - order.clock->now());
  bool is_first = false;
  bool has_been_done = false;
  {
    TinyLock lock(node.mutex_);
    is_first = !std::exchange(node.told_, true);
    has_been_done = node.all_told_ && !std::exchange(node.has_untold_, false);
  }
  if (is_first) node.begins_to_stop();
  Node::Settled settled = node.settle_deadline(deadline, order.watcher);
  if (settled.watcher) node.be_counted(*settled.watcher);
  if (has_been_done && !settled.has_changed) return false;
  {
    TinyLock lock(node.mutex_);
    node.all_told_ = false;  // for those who ask before this is done
  }
  std::vector<Ref<Node>> below = node.first_to_tell(settled.deadline);
  way_.push_back({.node = Ref<Node>(node),
                  .is_meant = true,
                  .order = {.deadline = settled.deadline, .clock = &node.clock(), .watcher = std::move(settled.watcher)},
                  .below = std::move(below)});
  return is_first;
}

void StopWalk::go_on() {
  while (!way_.empty()) {
    Level& at = way_.back();
    if (at.next < at.below.size()) {
      const Ref<Node> child = std::move(at.below[at.next++]);
      const StopOrder order = at.order;  // the way may move as it grows
      enter(*child, order);
      continue;
    }
    if (!at.below.empty()) {
      at.next = 0;
      at.below = at.node->next_to_tell();
      if (!at.below.empty()) continue;
    }
    Level done = std::move(at);
    way_.pop_back();
    leave(std::move(done));
  }
}

void StopWalk::leave(Level level) {
  if (!level.is_meant) return;
  Node& node = *level.node;
  node.please_stop_.go();
  TinyLock lock(node.mutex_);
  node.all_told_ = true;
}

}  // namespace mothreads::internal
