#pragma once

// Threads that did not stop by their deadline, where a group above them has chosen that the stop goes on without them (when_stuck.h).

#include <string>
#include <vector>

#include "mothreads/ended.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/until.h"

namespace mothreads::inline v0::internal {

// Reports who is stuck at `top` or below, marks them lost and tells who has chosen that. True when there was anybody. Who waits for others that
// are stuck is none of them: it may go on when they are marked.
bool give_up_below(Node& top);
// Waits until it has stopped, or has been marked lost. `ready` in both cases.
Ended wait_stopped_or_lost(const Node& node, const Until& until);
// Those of the tree of `top` who have not stopped, what they wait on, and their stacks.
std::string describe_with_stacks(const Node& top);

// Of all the process: from the marking to the end.
void keep_lost(TreeMember& member);
void forget_lost(TreeMember& member);
std::vector<Ref<TreeMember>> lost_in_process();  // the first marked first

}  // namespace mothreads::internal
