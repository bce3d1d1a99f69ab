#include "cooperative/internal/scheduler/fiber_ends.h"

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/fiber_member.h"
#include "cooperative/internal/scheduler/forked.h"
#include "cooperative/internal/scheduler/groups.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Signal;
using mothreads::internal::NoUnwind;

// --- who is told -----------------------------------------------------------------------------------------------------------------

// The block is the fiber's until these functions have returned, which run in it, also when they destroy its handle.
void tell_of_end(FiberBlock& fiber, const ParentRef& parent, const std::shared_ptr<GroupPlace>& group,
                                bool failed) noexcept {
  fiber.left = &parent;
  fiber.core->rooms().population.begin_finishing();
  if (fiber.has_stopped_signal) {
    const Signal stopped = fiber.stopped;
    stopped.state(mothreads::internal::kAccess).go();
  }
  if (fiber.is_root) [[unlikely]] end_forked_fiber();  // one of the functions has called fork()
  if (group != nullptr) member_ended(*group, failed);
  if (!fiber.has_handle) drop_job(fiber);
  fiber.core->rooms().population.end_finishing();
  fiber.left = nullptr;
}

// To the group, as long as that can tell somebody.
std::shared_ptr<GroupPlace> report_failure(FiberBlock& fiber) noexcept {
  mothreads::EndRecord end = end_record_of(fiber);
  if (fiber.member != nullptr) end = fiber.member->end().value_or(end);
  fiber.failure = nullptr;
  auto group = std::exchange(fiber.failed_in, {}).lock();
  if (group == nullptr) {
    mothreads::internal::report_unclaimed_failure(end);
  } else {
    group->failures.push_back(std::move(end));
  }
  return group;
}

// --- who has it now --------------------------------------------------------------------------------------------------------------

// The fiber that gets this one when it is released; null for the root.
FiberBlock* heir_of(const FiberBlock& fiber) noexcept {
  FiberBlock* heir = fiber.parent;
  if (fiber.stays_with_parent) return heir;
  // All that the fiber uses outlives the group that it was made in, if it was made in one, else the scheduler.
  while (heir != nullptr && heir->group == nullptr) heir = heir->parent;
  return heir;
}

void hand_to(FiberBlock& fiber, FiberBlock* heir) noexcept {
  Stopping& stopping = fiber.core->stopping();
  leave_place(fiber);
  take_place(fiber, heir);
  if (fiber.member != nullptr) fiber.member->note_parent(fiber);
  // The one under which it was told does not wait for it any more.
  if (fiber.stop_deadline != FiberBlock::kNoDeadline && fiber.watch == nullptr && !stopping.has_deadline_of_all()) {
    stopping.watch(fiber, fiber.stop_deadline);
  }
}

void tell_if_late(FiberBlock& fiber) {
  const FiberBlock* parent = fiber.parent;
  const bool is_late = parent == nullptr ? fiber.core->rooms().ending
                                         : parent->state == FiberBlock::State::ending || (parent->group != nullptr && parent->told_to_stop);
  // A fiber with a deadline was about to be told by a stop that does not find it any more.
  const bool is_lost = fiber.stop_deadline != FiberBlock::kNoDeadline && !fiber.told_to_stop && fiber.state != FiberBlock::State::ending;
  if (is_late || is_lost) fiber.core->stopping().stop(fiber);
}

// --- the handle ------------------------------------------------------------------------------------------------------------------

// A fiber that the running one runs under waits for it.
bool check_join(const FiberBlock& fiber) {
  if (!fiber.core->runs_below(fiber)) return false;
  const FiberBlock* me = fiber.core->running_fiber();
  if (is_over(fiber)) return true;
  throw mothreads::Misuse(me == &fiber
                              ? fmt::format("fiber \"{}\" waits for itself to end: let another fiber join it", fiber.own_name)
                              : fmt::format("fiber \"{}\" waits for \"{}\", which it runs under and which waits for it: let another "
                                            "fiber join it", me->own_name, fiber.own_name));
}

void let_go_with_care(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended) {
    const auto group = fiber.failure ? report_failure(fiber) : nullptr;
    if (fiber.left == nullptr) recycle(fiber);
    if (group != nullptr && group->fail_fast) stop_group(*group);
    return;
  }
  if (FiberBlock* const heir = heir_of(fiber); heir != fiber.parent) hand_to(fiber, heir);
  tell_if_late(fiber);
}

void stop_then_let_go(FiberBlock& fiber) noexcept {
  NoUnwind destructors_must_not_be_left;
  if (!is_over(fiber)) {
    fiber.core->stopping().stop(fiber);
    static_cast<void>(join(fiber));
  }
  let_go(fiber);
}

Signal stopped_signal(FiberBlock& fiber) {
  if (fiber.has_stopped_signal) return fiber.stopped;
  if (fiber.state == FiberBlock::State::ended) return mothreads::DONE;
  fiber.stopped = Signal(mothreads::internal::SignalState::make_owned("stopped of " + fiber.own_name,
                                                                      "call stop() to ask for the end, or let it end"),
                          mothreads::internal::kAccess);
  fiber.has_stopped_signal = true;
  return fiber.stopped;
}

void let_go_after_end(FiberBlock& fiber) noexcept {
  if (fiber.state != FiberBlock::State::ended) return;  // in a child of fork(): the parent has it, and nothing of it is destroyed here
  // Of a fiber that has ended only the result and the failure are left.
  if (const std::exception_ptr failure = std::exchange(fiber.failure, nullptr)) {
    mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, failure);
  }
  drop_job(fiber);
  drop_member(fiber);
  fiber.core->blocks().give_back_late(fiber);
}

}  // namespace cooperative::internal
