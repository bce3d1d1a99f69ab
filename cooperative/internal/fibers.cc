#include "cooperative/internal/scheduler_core.h"

#include <cxxabi.h>
#include <sys/mman.h>

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/internal/fiber_tree.h"
#include "mothreads/contexts/node.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::NoUnwind;
using mothreads::internal::WaitNode;

void SchedulerCore::refuse_fiber(std::string_view name) const {
  throw FiberLimit(fmt::format("fiber \"{}\" cannot be made: its scheduler has {} already, as many as set_max_fibers() allows", name,
                               fibers_));
}

// For ever: see FiberBlock. Twice as many each time, and then in huge pages: a million of them would need more of the processor's
// entries for pages than it has.
void SchedulerCore::make_blocks() {
  constexpr std::size_t kFewest = 32;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  constexpr std::size_t kMost = kHugePage / sizeof(FiberBlock);
  const std::size_t count = std::clamp(blocks_, kFewest, kMost);
  const std::size_t bytes = count * sizeof(FiberBlock);
  const bool is_huge = count == kMost;
  auto* blocks = static_cast<FiberBlock*>(::operator new(bytes, std::align_val_t{is_huge ? kHugePage : alignof(FiberBlock)}));
  if (is_huge) madvise(blocks, bytes, MADV_HUGEPAGE);  // where it is refused, small ones do
  for (std::size_t i = count; i > 0; --i) {
    FiberBlock& block = *new (&blocks[i - 1]) FiberBlock;
    block.core = this;
    block.host = this;
    block.next_free() = free_blocks_;
    free_blocks_ = &block;
  }
  blocks_ += count;
}

// pthread_exit(), or a pthread_cancel() that has met a cancellation point. The C library wants to unwind the whole thread, and ends the program
// when the exception is not thrown on. Whose stack it was is unwound; the thread is the others', too, so the handler is left for good.
void SchedulerCore::end_forced(FiberBlock& fiber) noexcept {
  fiber.outcome = FiberBlock::Outcome::threw;
  fiber.failure = std::make_exception_ptr(std::runtime_error(
      fmt::format("fiber \"{}\" was ended by pthread_exit() or pthread_cancel(): let its function return", fiber.own_name)));
  end_function(fiber);
  Stack& stack = *fiber.runnable.stack;
  finish_with_care(fiber);
  Runnable* const next = batch_.pop_front();
  leave_forced(stack, next != nullptr ? *next : next_round());
}

void SchedulerCore::mark_stack(const FiberBlock& fiber) noexcept {
  try {
    if (checks_stacks_) stack_marks_.record(*fiber.runnable.stack, fiber.own_name);
  } catch (const std::bad_alloc&) {  // then it is not counted
  }
  fiber.runnable.stack->began_clean = false;
}

// The block is the fiber's until these functions have returned, which run in it, also when they destroy its handle.
void SchedulerCore::tell_of_end(FiberBlock& fiber, const ParentRef& parent, const std::shared_ptr<GroupPlace>& group,
                                bool failed) noexcept {
  fiber.left = &parent;
  ++finishing_;
  if (fiber.stopped) {
    const Signal stopped = *fiber.stopped;
    stopped.state().go();
  }
  if (fiber.is_root) [[unlikely]] end_forked_fiber();  // one of the functions has called fork()
  if (group != nullptr) member_ended(*group, failed);
  if (!fiber.has_handle) drop_job(fiber);
  --finishing_;
  fiber.left = nullptr;
}

// Of one that runs functions of its end.
FiberBlock* SchedulerCore::next_above(FiberBlock* fiber) noexcept {
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

// Who gets it when it is released; null for the root.
FiberBlock* SchedulerCore::heir_of(const FiberBlock& fiber) noexcept {
  FiberBlock* heir = fiber.parent;
  if (fiber.stays_with_parent) return heir;
  // What it uses outlives the group that it was made in, if it was, else the scheduler.
  while (heir != nullptr && heir->group == nullptr) heir = heir->parent;
  return heir;
}

// To the group, as long as that can tell somebody.
std::shared_ptr<GroupPlace> SchedulerCore::report_failure(FiberBlock& fiber) noexcept {
  std::exception_ptr failure = std::exchange(fiber.failure, nullptr);
  auto group = std::exchange(fiber.failed_in, {}).lock();
  if (group == nullptr) {
    mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, failure);
  } else {
    group->failures.emplace_back(fiber.own_name, std::move(failure));
  }
  return group;
}

// A fiber that the running one runs under waits for it.
bool SchedulerCore::check_join(const FiberBlock& fiber) const {
  if (!runs_below(fiber)) return false;
  const FiberBlock* me = running_fiber();
  if (is_over(fiber)) return true;
  throw mothreads::Misuse(me == &fiber
                              ? fmt::format("fiber \"{}\" waits for itself to end: let another fiber join it", fiber.own_name)
                              : fmt::format("fiber \"{}\" waits for \"{}\", which it runs under and which waits for it: let another "
                                            "fiber join it", me->own_name, fiber.own_name));
}

void SchedulerCore::let_go_with_care(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended) {
    const auto group = fiber.failure ? report_failure(fiber) : nullptr;
    if (fiber.left == nullptr) recycle(fiber);
    if (group != nullptr && group->fail_fast) stop_group(*group);
    return;
  }
  if (FiberBlock* const heir = heir_of(fiber); heir != fiber.parent) hand_to(fiber, heir);
  tell_if_late(fiber);
}

void SchedulerCore::hand_to(FiberBlock& fiber, FiberBlock* heir) noexcept {
  unlink_child(fiber);
  link_child(fiber, heir);
  // The one under which it was told does not wait for it any more.
  if (fiber.stop_deadline != FiberBlock::kNoDeadline && fiber.watch == nullptr && stop_deadline_ == FiberBlock::kNoDeadline) {
    watch(fiber, fiber.stop_deadline);
  }
}

void SchedulerCore::tell_if_late(FiberBlock& fiber) {
  const FiberBlock* parent = fiber.parent;
  const bool is_late = parent == nullptr ? ending_
                                         : parent->state == FiberBlock::State::ending || (parent->group != nullptr && parent->told_to_stop);
  // Who has a deadline was about to be told by a stop that does not find it any more.
  const bool is_lost = fiber.stop_deadline != FiberBlock::kNoDeadline && !fiber.told_to_stop && fiber.state != FiberBlock::State::ending;
  if (is_late || is_lost) stop(fiber);
}

void SchedulerCore::stop_and_wait(FiberBlock& fiber) noexcept {
  NoUnwind destructors_must_not_be_left;
  if (!is_over(fiber)) {
    stop(fiber);
    static_cast<void>(join(fiber));
  }
  let_go(fiber);
}

Signal SchedulerCore::stopped_signal(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended && !fiber.stopped) return mothreads::DONE;
  if (!fiber.stopped) {
    fiber.stopped.emplace(mothreads::internal::SignalState::make_owned("stopped of " + fiber.own_name,
                                                                       "call stop() to ask for the end, or let it end"));
  }
  return *fiber.stopped;
}

// --- the tree of fibers --------------------------------------------------------------------------------------------------------

void SchedulerCore::link_child(FiberBlock& child, FiberBlock* parent) noexcept {
  FiberBlock* const newest = parent == nullptr ? newest_ : parent->newest_child;
  if (newest == nullptr || child.id > newest->id) return link_newest(child, parent);
  const Changing changing(tree_changes_);
  child.parent = parent;
  if (parent != nullptr ? parent->told_to_stop : all_told_) note_untold(child);
  if (parent != nullptr && parent->group != nullptr) ++parent->group->members;
  // By age, also where one comes from another parent; most often it is the newest, or the oldest.
  FiberBlock* older = newest;
  if (child.id > newest->newer->id) {
    while (child.id < older->id) older = older->older;
  }
  child.older = older;
  child.newer = older->newer;
  older->newer = child.newer->older = &child;
}

void SchedulerCore::unlink_child(FiberBlock& child) noexcept {
  GroupPlace* const group = child.parent != nullptr ? child.parent->group : nullptr;
  leave_siblings(child);
  if (group != nullptr && --group->members == 0) leave_group(*group);
}

// The last member has.
void SchedulerCore::leave_group(GroupPlace& group) noexcept {
  if (group.block->watch != nullptr) {  // it may live on, and members may come that have a deadline of their own
    end_watch(*group.block);
    group.block->stop_deadline = FiberBlock::kNoDeadline;
  }
  while (WaitNode* joiner = group.joiners.claim_front_on_host()) end_wait(*joiner, Why::ready);
}

// Whoever is above was made before, so most often the first look is enough.
bool SchedulerCore::is_below(const FiberBlock& fiber, const FiberBlock& ancestor) noexcept {
  for (const FiberBlock* at = &fiber; at != nullptr && at->id >= ancestor.id; at = at->parent) {
    if (at == &ancestor) return true;
  }
  return false;
}

SchedulerCounts SchedulerCore::counts() const noexcept {
  return {.switches = switches_, .rounds = rounds_, .sleeps = sleeps_, .wakes = wakes_.load(std::memory_order_relaxed)};
}

}  // namespace cooperative::internal
