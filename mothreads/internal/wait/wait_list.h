#pragma once

// Nodes of waits, and the lists of them that each object has on which contexts wait. See wait.h.

#include <cstdint>
#include <utility>

#include "mothreads/ended.h"
#include "mothreads/internal/base/fifo.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0::internal {

class Wait;

class WaitNode {
 public:
  WaitNode() = default;
  WaitNode(const Wait& wait, Why why) noexcept;  // wait.h
  WaitNode(const WaitNode&) = delete;
  WaitNode& operator=(const WaitNode&) = delete;

  // For a wait; for another only where it did not win the one before.
  void arm(const Wait& wait, Why why) noexcept;
  void arm(Context& context, std::uint64_t generation, Why why) noexcept {
    context_ = &context;
    generation_ = generation;
    why_ = why;
  }

  // For wakers, under the source's mutex: true when this waker has won; then finish() must follow, with or without the mutex.
  bool claim() const noexcept { return context_->claim(generation_); }

  // Lets the claimed waiter go on. The node may be gone when this returns.
  void finish() noexcept { context_->finish(why_); }
  void finish(Why why) noexcept { context_->finish(why); }

  // The same for sources that only code of the waiter's host touches.
  bool claim_on_host() const noexcept { return context_->claim_on_host(generation_); }
  bool is_claimable() const noexcept { return context_->is_claimable(generation_); }
  void finish_on_host(Why why) noexcept { context_->finish_on_host(why); }

  Context& context() const noexcept { return *context_; }

  // False for a waiter that a child of fork() has left behind.
  bool is_of_this_process() const noexcept { return context_->is_in_wait(generation_); }

  bool is_linked() const noexcept { return next != nullptr; }

  // Whether the list of this node ended the wait, which may have several nodes. For the waiter, once the wait is over. Then whatever has that list
  // may be gone.
  bool has_won() const noexcept { return has_won_; }
  void mark_won() noexcept { has_won_ = true; }  // for the list, which has unlinked it

  WaitNode* previous = nullptr;  // circular while linked; the list owns both
  WaitNode* next = nullptr;

 private:
  Context* context_ = nullptr;
  std::uint64_t generation_ = 0;
  Why why_ = Why::ready;
  bool has_won_ = false;
};

// Waiters in the order they came. Guarded by the mutex of its owner.
class WaitList {
 public:
  constexpr WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  bool is_empty() const noexcept { return nodes_.is_empty(); }
  WaitNode* front() const noexcept { return nodes_.first(); }
  WaitNode* after(const WaitNode& node) const noexcept { return nodes_.after(node); }

  void push_back(WaitNode& node) noexcept { nodes_.push_back(node); }
  void push_front(WaitNode& node) noexcept { nodes_.push_front(node); }
  // Nothing when it is not linked.
  void remove(WaitNode& node) noexcept {
    if (node.is_linked()) nodes_.take_out(node);
  }

  // Removes the first waiter that could be claimed and returns it, or null; takes out those before it, whose waits have ended otherwise.
  WaitNode* claim_first() noexcept {
    while (WaitNode* node = nodes_.take_first()) {
      if (node->claim()) return node;
    }
    return nullptr;
  }

  // Removes every waiter and returns those that could be claimed, in order.
  class Claimed take_claimed() noexcept;

  // Removes and returns the first waiter that could be claimed, or null. Those that end otherwise stay until they leave.
  WaitNode* claim_front() noexcept;
  // The same for a list that only code of its waiters' host touches.
  WaitNode* claim_front_on_host() noexcept {
    for (WaitNode* node = front(); node != nullptr; node = after(*node)) {
      if (claim_on_host(*node)) return node;
    }
    return nullptr;
  }
  // Removes it, too, if it could be claimed.
  bool claim_on_host(WaitNode& node) noexcept {
    if (!node.claim_on_host()) return false;
    nodes_.take_out(node);
    node.mark_won();
    return true;
  }

 private:
  LinkedList<WaitNode, &WaitNode::previous, &WaitNode::next> nodes_;
};

// Claimed waiters, to be finished once the source's mutex has been left.
class Claimed {
 public:
  Claimed() = default;
  Claimed(Claimed&& other) noexcept { nodes_.append(other.nodes_); }
  // Claimed waiters must be finished: none is lost.
  Claimed& operator=(Claimed&& other) noexcept {
    nodes_.append(other.nodes_);
    return *this;
  }

  bool is_empty() const noexcept { return nodes_.is_empty(); }
  void add(WaitNode& node) noexcept {
    node.mark_won();
    nodes_.push_back(node);
  }
  void finish_all() noexcept;
  void finish_all(Why why) noexcept;

 private:
  Fifo<WaitNode> nodes_;
};

}  // namespace mothreads::internal
