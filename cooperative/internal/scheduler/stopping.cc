#include "cooperative/internal/scheduler/stopping.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/fiber_tree.h"
#include "cooperative/internal/scheduler/fiber_watch.h"
#include "cooperative/internal/scheduler/groups.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::Signal;
using mothreads::internal::NoUnwind;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;

// --- one fiber, and what runs under it -------------------------------------------------------------------------------------------

void Stopping::stop(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended) return;
  settle_deadline(fiber);
  tell(&fiber, Tell::all);
}

// The deadline of one that it runs under is its own, too, and watched there: that one ends after it.
void Stopping::settle_deadline(FiberBlock& fiber) noexcept {
  if (fiber.stop_deadline != FiberBlock::kNoDeadline) return;
  fiber.is_being_told = fiber.told_to_stop;  // those below are to have it, too
  std::int64_t inherited = deadline_;
  for (const FiberBlock* at = &fiber; at != nullptr; at = at->parent) {
    if (at->stop_deadline == FiberBlock::kNoDeadline) continue;
    inherited = at->stop_deadline;
    break;
  }
  if (settle_own_limit(fiber, inherited)) return;
  fiber.stop_deadline = inherited;
  if (inherited != FiberBlock::kNoDeadline) return;
  if (fiber.group != nullptr && fiber.group->members == 0) return;  // nobody needs time
  const absl::Duration allowed = mothreads::stop_deadline();
  if (allowed == absl::InfiniteDuration()) return;
  watch(fiber, (core_.clock().now() + absl::ToChronoNanoseconds(allowed)).time_since_epoch().count());
}

// Of a group that has a limit of its own.
bool Stopping::settle_own_limit(FiberBlock& block, std::int64_t inherited) noexcept {
  if (block.group == nullptr || !block.group->stop_limit || block.group->members == 0 || block.watch != nullptr) return false;
  constexpr absl::Duration kLongest = absl::Hours(24 * 365 * 10);
  const absl::Duration allowed = std::clamp(*block.group->stop_limit, absl::ZeroDuration(), kLongest);
  const std::int64_t own = core_.clock().now().time_since_epoch().count() + absl::ToInt64Nanoseconds(allowed);
  if (own >= inherited) return false;
  watch(block, own);
  return true;
}

void Stopping::watch(FiberBlock& fiber, std::int64_t deadline) noexcept {
  fiber.stop_deadline = deadline;
  try {
    fiber.watch = new FiberWatch(*this, fiber, deadline);
  } catch (const std::bad_alloc&) {
    mothreads::log::error("the stop of fiber \"{}\" has no deadline, for want of memory", fiber.own_name);
  }
}

void Stopping::end_watch(FiberBlock& fiber) noexcept { std::exchange(fiber.watch, nullptr)->end(); }

bool Stopping::has_passed(std::int64_t deadline) const noexcept {
  return deadline != FiberBlock::kNoDeadline && core_.clock().now().time_since_epoch().count() >= deadline;
}

std::int64_t Stopping::deadline_in_force() const noexcept {
  std::int64_t deadline = deadline_;
  if (const std::optional<Instant> of_thread = core_.rooms().node->deadline()) deadline = std::min(deadline, of_thread->time_since_epoch().count());
  for (const FiberBlock* at = core_.running_fiber(); at != nullptr; at = at->parent) deadline = std::min(deadline, at->stop_deadline);
  return deadline;
}

// Those below `top`, or all where that is null, and then `top` itself if it is meant, too: the newest first, each after those under it.
// In a loop, because trees may be deep, and stacks are not. What a please_stop sets off is foreign code, then() functions, which may
// end fibers, hand them on, make new ones, and even wait. Where that has taken the walk's place away it begins again: who is told once
// more does not notice. New ones are then left out, as before: their parents end them. Below a fiber that has been told, all have been
// told before it; it is passed by, unless some have come since (has_untold) or the deadline is earlier. So a fiber is told once by those
// above it, however many of them end.
void Stopping::tell(FiberBlock* top, Tell whom) {
  const std::uint64_t tops_id = top == nullptr ? 0 : top->id;
  const std::uint64_t id_of_next = core_.blocks().next_id();
  const std::uint64_t late_before = late_;
  const auto is_over = [&] { return top != nullptr && (top->id != tops_id || top->state == FiberBlock::State::ended); };
  const auto first = [&](std::uint64_t end) {
    FiberBlock* const child = whom == Tell::all ? top : newest_before(end, top);
    return child == nullptr ? nullptr : first_to_tell(*child, end);
  };
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  FiberBlock* at = first(end);
  while (at != nullptr) {
    const std::uint64_t id = at->id;
    const std::uint64_t unlinked = core_.rooms().tree.unlinked();
    tell_one(*at, late_before);
    if (core_.rooms().tree.unlinked() != unlinked) [[unlikely]] {
      if (is_over()) return;
      const bool is_there = at->id == id && at->state != FiberBlock::State::ended && (top == nullptr || FiberTree::is_below(*at, *top));
      if (!is_there) {
        end = id_of_next;
        at = first(end);
        continue;
      }
    }
    at = at == top ? nullptr : next_to_tell(*at, top, whom, end);
  }
}

// The newest child whose number is below `end`.
FiberBlock* Stopping::newest_before(std::uint64_t end, const FiberBlock* parent) const noexcept {
  FiberBlock* const newest = core_.rooms().tree.newest_child_of(parent);
  if (newest == nullptr || newest->id < end) return newest;
  if (parent != nullptr && parent->group != nullptr && parent->group->stop_in_turn) return nullptr;  // they come after that one
  FiberBlock* at = newest->older;
  while (at != newest && at->id >= end) at = at->older;
  return at == newest ? nullptr : at;
}

// Of a fiber and those under it. On the way down they get the deadline.
FiberBlock* Stopping::first_to_tell(FiberBlock& fiber, std::uint64_t end) noexcept {
  FiberBlock* at = &fiber;
  while (true) {
    const std::int64_t inherited = at->parent == nullptr ? deadline_ : at->parent->stop_deadline;
    const bool is_earlier = inherited < at->stop_deadline;
    if (is_earlier && !settle_own_limit(*at, inherited)) at->stop_deadline = inherited;
    if (at->told_to_stop && !at->has_untold && !at->is_being_told && !is_earlier) return at;
    at->is_being_told = true;  // until it has been told itself: another walk may come in between
    if (at->group != nullptr) at->told_to_stop = true;  // who becomes a member from now on is told at once
    FiberBlock* const child = newest_before(end, at);
    if (child == nullptr) return at;
    at = child;
  }
}

FiberBlock* Stopping::next_to_tell(FiberBlock& told, const FiberBlock* top, Tell whom, std::uint64_t end) noexcept {
  FiberBlock* const parent = told.parent;
  const bool in_turn = parent != nullptr && parent->group != nullptr && parent->group->stop_in_turn;
  if (!in_turn && !core_.rooms().tree.is_oldest(told)) return first_to_tell(*told.older, end);
  return parent == top && whom == Tell::those_below ? nullptr : parent;
}

// Who came after those above it had been told. They are noted up to one that has been; those above that one have been, too.
void Stopping::note_untold(const FiberBlock& child) noexcept {
  if (child.told_to_stop && !child.has_untold) return;
  ++late_;
  for (FiberBlock* at = child.parent; at != nullptr; at = at->parent) {
    if (!at->told_to_stop || at->has_untold) return;
    at->has_untold = true;
  }
  if (std::exchange(all_told_, false)) core_.rooms().node->note_untold();
}

void Stopping::tell_one(FiberBlock& fiber, std::uint64_t late_before) {
  ++tells_;
  fiber.is_being_told = false;
  if (late_ == late_before) fiber.has_untold = false;  // else who came may be below it
  if (fiber.group != nullptr) {
    const Signal please_stop = fiber.group->please_stop;
    please_stop.go();
    return;
  }
  const bool is_first = !std::exchange(fiber.told_to_stop, true);
  // Cancelled first: what please_stop sets off may end the fiber.
  if (has_passed(fiber.stop_deadline)) {
    kill(fiber);
  } else if (!fiber.takes_stop) {
    cancel(fiber);
  }
  if (!fiber.takes_stop || !is_first) return;
  const Signal please_stop = fiber.please_stop;
  please_stop.go();
}

void Stopping::stop_children(FiberBlock& fiber) noexcept {
  settle_deadline(fiber);
  tell(&fiber, Tell::those_below);
  while (fiber.newest_child != nullptr) {
    if (!fiber.newest_child->told_to_stop) tell(&fiber, Tell::those_below);  // it came meanwhile
    FiberBlock* const child = fiber.newest_child;  // looked at anew: who was told may have ended
    if (child == nullptr) return;
    if (child->group != nullptr) {
      close_group(*child->group);
    } else {
      static_cast<void>(join(*child));
    }
  }
}

void Stopping::cancel(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended || std::exchange(fiber.is_cancelled, true)) return;
  fiber.care.unwind_wanted = true;
  fiber.core->interrupt(fiber);
}

// At the deadline.
void Stopping::kill(FiberBlock& fiber) noexcept {
  if (fiber.outcome == FiberBlock::Outcome::none && !fiber.is_cancelled) fiber.outcome = FiberBlock::Outcome::killed;
  cancel(fiber);
}

void Stopping::cancel_with_all_below(FiberBlock* top) noexcept {
  FiberBlock* at = top != nullptr ? top : core_.rooms().tree.newest();
  const auto go_down = [&] {
    while (at->newest_child != nullptr) at = at->newest_child;
  };
  if (at == nullptr) return;
  go_down();
  while (true) {
    if (at->group == nullptr) kill(*at);
    if (at == top) return;
    if (!core_.rooms().tree.is_oldest(*at)) {
      at = at->older;
      go_down();
    } else if (at->parent != nullptr) {
      at = at->parent;
    } else {
      return;
    }
  }
}

// --- all fibers ------------------------------------------------------------------------------------------------------------------

void Stopping::begin(const std::optional<Instant>& deadline) noexcept {
  ++stops_;
  if (told_at_stop_ == 0) told_at_stop_ = core_.rooms().population.alive() - (core_.running_fiber() != nullptr ? 1 : 0);  // without the one that runs this errand
  settle_deadline_of_all(deadline);
  all_told_ = false;
  start_stopper();
  all_told_ = true;
}

void Stopping::settle_deadline_of_all(const std::optional<Instant>& deadline) noexcept {
  if (!deadline || deadline->time_since_epoch().count() >= deadline_) return;
  deadline_ = deadline->time_since_epoch().count();
  core_.cancel_timer(timer_);
  core_.add_timer(timer_, deadline_);
}

// A fiber of its own, because then() functions of the signals that go belong on no stack of somebody who waits. It tells itself, too,
// which must not end it half way.
void Stopping::start_stopper() noexcept {
  static constexpr FiberBlock::Job kTellAll{
      .call =
          [](void* self) {
            const NoUnwind whole;
            static_cast<Stopping*>(self)->tell_all();
          },
      .drop_function = [](void*) noexcept {},
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  start_helper(make_helper(core_, "stop of all fibers", nullptr), kTellAll, this);
}

// --- at the deadline -------------------------------------------------------------------------------------------------------------

constexpr TimerOps CancelTimer::kOps{
    .take = [](TimerNode&) { return true; },
    .fire =
        [](TimerNode& node) {
          auto& timer = static_cast<CancelTimer&>(node);
          timer.stopping.cancel_with_all_below(timer.top);
        },
};

void Stopping::end() noexcept { core_.cancel_timer(timer_); }

void Stopping::leave_behind() noexcept {
  all_told_ = false;
  told_at_stop_ = 0;
  deadline_ = FiberBlock::kNoDeadline;
}

}  // namespace cooperative::internal
