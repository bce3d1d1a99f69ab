#include "mothreads/internal/wait/wait_list.h"

namespace mothreads::inline v0::internal {

Claimed WaitList::take_claimed() noexcept {
  Claimed claimed;
  while (WaitNode* node = nodes_.take_first()) {
    if (node->claim()) claimed.add(*node);
  }
  return claimed;
}

WaitNode* WaitList::claim_front() noexcept {
  for (WaitNode* node = front(); node != nullptr; node = after(*node)) {
    if (node->claim()) {
      nodes_.take_out(*node);
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
