#include "cooperative/internal/scheduler/groups.h"

#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/fiber_ends.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/fiber_member.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Ended;
using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::WaitNode;

void check_parent(const char* kind, std::string_view name, const SchedulerCore& core, const ParentRef& parent) {
  if (parent.block->core != &core || parent.block->core_life != core.life()) {
    throw mothreads::Misuse(fmt::format("{} \"{}\" cannot be made under a parent of another thread: post a callback to the parent's scheduler, and make "
                                        "it there", kind, name));
  }
  if (parent.block->id != parent.id || parent.block->state >= FiberBlock::State::leaving) {
    throw mothreads::Misuse(fmt::format("{} \"{}\" cannot be made under a parent that has ended: make it under one that still runs", kind, name));
  }
}

void open_group(SchedulerCore& core, GroupPlace& group, const ParentRef& given) {
  FiberBlock& block = take_block(core, group.name);
  block.tell_kind(kGroupKind);
  block.state = FiberBlock::State::begun;
  block.group = &group;
  group.block = &block;
  group.core = &core;
  // At the end of a member a group is made beside the member's group, which may be about to be destroyed.
  FiberBlock* parent = given.block != nullptr || given.is_root() ? given.block : core.parent_for_new();
  while (parent != nullptr && parent->group != nullptr) parent = parent->parent;
  take_place(block, parent);
}

void stop_group(GroupPlace& group) {
  if (group.block != nullptr) group.core->stopping().stop(*group.block);
}

void member_ended(GroupPlace& group, bool failed) noexcept {
  if (group.block == nullptr) return;
  if (failed && group.fail_fast) stop_group(group);
  if (group.block == nullptr || !group.stop_in_turn || !group.block->told_to_stop) return;
  if (FiberBlock* const next = group.block->newest_child) group.core->stopping().stop(*next);
}

void step_out(GroupPlace& group) noexcept {
  FiberBlock* const me = group.core->running_fiber();
  if (me == nullptr || me->state <= FiberBlock::State::begun || me->parent == nullptr || me->parent != group.block) return;
  const bool failed = me->failure != nullptr && !me->has_handle;
  if (failed) {
    group.failures.push_back(end_record_of(*me));
    me->failure = nullptr;
  }
  hand_to(*me, heir_of(*group.block));
  if (failed && group.fail_fast) stop_group(group);
}

Ended await_members(GroupPlace& its, Limit limit) {
  const auto group = its.shared_from_this();
  while (group->members > 0) {
    WaitNode node;
    if (const Why why = group->core->wait(group->joiners, node, {"waits for the end of group", group->block->kept_name.number()}, limit); why != Why::ready) return why;
  }
  return Why::ready;
}

void close_group(GroupPlace& its) noexcept {
  const auto group = its.shared_from_this();
  if (group->block == nullptr) return;
  stop_group(*group);
  static_cast<void>(await_members(*group, Limit()));
  if (group->block == nullptr) return;  // another was there first
  FiberBlock& block = *std::exchange(group->block, nullptr);
  if (block.member != nullptr) block.member->publish_end(end_record_of(block));
  leave_place(block);
  if (block.watch != nullptr) Stopping::end_watch(block);
  const mothreads::Signal stopped = block.stopped;
  const bool is_told = block.has_stopped_signal;
  block.set_life(0);
  recycle(block);
  if (is_told) stopped.state(mothreads::internal::kAccess).go();
}

void take_place(FiberBlock& fiber, FiberBlock* parent) noexcept {
  SchedulerLife& rooms = fiber.core->rooms();
  rooms.tree.link(fiber, parent);
  rooms.stopping.note_new(fiber);
}

namespace {

// The last member has.
void empty(GroupPlace& group) noexcept {
  if (group.block->watch != nullptr) {  // it may live on, and members may come that have a deadline of their own
    Stopping::end_watch(*group.block);
    group.block->stop_deadline = FiberBlock::kNoDeadline;
  }
  while (WaitNode* joiner = group.joiners.claim_front_on_host()) group.core->end_wait(*joiner, Why::ready);
}

}  // namespace

void leave_place(FiberBlock& fiber) noexcept {
  GroupPlace* const group = fiber.parent != nullptr ? fiber.parent->group : nullptr;
  fiber.core->rooms().tree.unlink(fiber);
  if (group != nullptr && --group->members == 0) empty(*group);
}

}  // namespace cooperative::internal
