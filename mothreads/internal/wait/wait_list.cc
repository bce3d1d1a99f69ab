#include "mothreads/internal/wait/wait_list.h"

namespace mothreads::inline v0::internal {

void WaitList::push_front(WaitNode& node) noexcept {
  push_back(node);
  head_ = &node;
}

Claimed WaitList::take_claimed() noexcept {
  Claimed claimed;
  while (WaitNode* node = head_) {
    remove(*node);
    if (node->claim()) claimed.add(*node);
  }
  return claimed;
}

WaitNode* WaitList::claim_front() noexcept {
  for (WaitNode* node = head_; node != nullptr; node = after(*node)) {
    if (node->claim()) {
      remove(*node);
      node->mark_won();
      return node;
    }
  }
  return nullptr;
}

void Claimed::finish_all() noexcept {
  while (WaitNode* node = nodes_.pop_front()) {
    node->next = nullptr;
    node->finish();
  }
}

void Claimed::finish_all(Why why) noexcept {
  while (WaitNode* node = nodes_.pop_front()) {
    node->next = nullptr;
    node->finish(why);
  }
}

}  // namespace mothreads::internal
