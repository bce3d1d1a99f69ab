#pragma once

// Groups of fibers: a group has a block in the tree that never runs, with its members below it (GroupPlace). And how a fiber takes its place
// in the tree and leaves it, which a group and a stop want to know. On the thread of the scheduler.

#include <string_view>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/group_place.h"
#include "mothreads/ended.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

// Below `parent`; below the fiber that runs where that is none. No group is below another: it is beside the one that is its parent.
void open_group(SchedulerCore& core, GroupPlace& group, const ParentRef& parent);
// Throws Misuse when that parent is another thread's, or has ended. `kind` says what was to be made: "fiber".
void check_parent(const char* kind, std::string_view name, const SchedulerCore& core, const ParentRef& parent);
// Tells the members.
void stop_group(GroupPlace& group);
// Tells the members, waits for them, and takes the group's place away; nothing when that is done.
void close_group(GroupPlace& group) noexcept;
mothreads::Ended await_members(GroupPlace& group, mothreads::Limit limit);

// Where the running fiber is a member whose function has ended: what that fiber still does is its end, for which nobody waits any more. It
// leaves the group.
void step_out(GroupPlace& group) noexcept;
// A member has ended, and has left its place.
void member_ended(GroupPlace& group, bool failed) noexcept;

// Below that parent, null for the root, among its siblings by age.
void take_place(FiberBlock& fiber, FiberBlock* parent) noexcept;
// The last member that does wakes who waits for the group.
void leave_place(FiberBlock& fiber) noexcept;

}  // namespace cooperative::internal
