#include <utility>

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Ended;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::WaitNode;

void SchedulerCore::open_group(GroupPlace& group) {
  FiberBlock& block = take_block(group.name);
  block.state = FiberBlock::State::begun;
  block.group = &group;
  group.block = &block;
  group.core = this;
  // At the end of a member a group is made beside the member's group, which may be about to be destroyed.
  FiberBlock* parent = parent_for_new();
  while (parent != nullptr && parent->group != nullptr) parent = parent->parent;
  link_child(block, parent);
}

void SchedulerCore::stop_group(GroupPlace& group) {
  if (group.block != nullptr) stop(*group.block);
}

void SchedulerCore::member_ended(GroupPlace& group, bool failed) noexcept {
  if (group.block == nullptr) return;
  if (failed && group.fail_fast) stop_group(group);
  if (group.block == nullptr || !group.stop_in_turn || !group.block->told_to_stop) return;
  if (FiberBlock* const next = group.block->newest_child) stop(*next);
}

void SchedulerCore::step_out(GroupPlace& group) noexcept {
  FiberBlock* const me = running_fiber();
  if (me == nullptr || me->state <= FiberBlock::State::begun || me->parent == nullptr || me->parent != group.block) return;
  const bool failed = me->failure != nullptr && !me->has_handle;
  if (failed) group.failures.emplace_back(me->own_name, std::exchange(me->failure, nullptr));
  hand_to(*me, heir_of(*group.block));
  if (failed && group.fail_fast) stop_group(group);
}

Ended SchedulerCore::await_members(GroupPlace& its, const Until& until) {
  const auto group = its.shared_from_this();
  const Until limit = until.from_now();
  while (group->members > 0) {
    WaitNode node;
    if (const Why why = wait(group->joiners, node, "waits for the end of group", limit); why != Why::ready) return why;
  }
  return Why::ready;
}

void SchedulerCore::close_group(GroupPlace& its) noexcept {
  const auto group = its.shared_from_this();
  if (group->block == nullptr) return;
  stop_group(*group);
  static_cast<void>(await_members(*group, Until()));
  if (group->block == nullptr) return;  // another was there first
  FiberBlock& block = *std::exchange(group->block, nullptr);
  unlink_child(block);
  if (block.watch != nullptr) end_watch(block);
  recycle(block);
}

}  // namespace cooperative::internal
