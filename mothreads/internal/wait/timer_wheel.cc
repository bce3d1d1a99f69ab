#include "mothreads/internal/wait/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace mothreads::inline v0::internal {

void ExpiredTimers::insert_by_time(TimerNode& node) noexcept {
  // Slots come in order, so only times within one tick can be out of order: the search from the end is short.
  TimerNode* before = last_;
  while (before != nullptr && before->when > node.when) before = before->previous;
  node.previous = before;
  node.next = before == nullptr ? first_ : before->next;
  (before == nullptr ? first_ : before->next) = &node;
  (node.next == nullptr ? last_ : node.next->previous) = &node;
}

TimerNode* ExpiredTimers::pop_front() noexcept {
  TimerNode* node = first_;
  if (node == nullptr) return nullptr;
  first_ = node->next;
  (first_ == nullptr ? last_ : first_->previous) = nullptr;
  node->previous = node->next = nullptr;
  return node;
}

int TimerWheel::first_slot() const noexcept {
  // Whatever is at a lower level comes before whatever is at a higher one.
  for (int level = 0; level < kLevels; ++level) {
    const std::uint64_t occupied = occupied_[static_cast<std::size_t>(level)];
    if (occupied != 0) return level * kSlots + std::countr_zero(occupied);
  }
  return -1;
}

std::uint64_t TimerWheel::start_of(int slot) const noexcept {
  const int shift = slot / kSlots * kDigitBits;
  const std::uint64_t above = tick_ >> shift >> kDigitBits << kDigitBits;
  return (above | static_cast<std::uint64_t>(slot % kSlots)) << shift;
}

std::int64_t TimerWheel::next_wake() const noexcept {
  const int slot = first_slot();
  if (slot < 0) return kNever;
  // Exact while few timers share the slot, so that an idle program is not woken just to move a timer down a level.
  constexpr int kLookAt = 16;
  const Slot& timers = slots_[static_cast<std::size_t>(slot)];
  std::int64_t first = kNever;
  const TimerNode* node = timers.first();
  for (int i = 0; node != nullptr && i <= kLookAt; ++i, node = timers.after(*node)) first = std::min(first, node->when);
  if (node == nullptr || slot < kSlots) return first;
  return static_cast<std::int64_t>(start_of(slot) << kTickBits);
}

std::int64_t TimerWheel::earliest() const noexcept {
  const int slot = first_slot();
  return slot < 0 ? kNever : static_cast<std::int64_t>(start_of(slot) << kTickBits);
}

std::int64_t TimerWheel::first_time() const noexcept {
  const int slot = first_slot();
  if (slot < 0) return kNever;
  const Slot& timers = slots_[static_cast<std::size_t>(slot)];
  std::int64_t first = kNever;
  for (const TimerNode* node = timers.first(); node != nullptr; node = timers.after(*node)) first = std::min(first, node->when);
  return first;
}

TimerNode* TimerWheel::take_slot(int slot) noexcept {
  TimerNode* const head = slots_[static_cast<std::size_t>(slot)].take_all();  // a plain chain from here on
  occupied_[static_cast<std::size_t>(slot / kSlots)] &= ~(std::uint64_t{1} << (slot % kSlots));
  return head;
}

void TimerWheel::expire(std::int64_t now, ExpiredTimers& expired) noexcept {
  const std::uint64_t now_tick = tick_of(now);
  while (true) {
    const int slot = first_slot();
    if (slot < 0 || start_of(slot) > now_tick) break;
    tick_ = std::max(tick_, start_of(slot));
    bool all_later = true;
    for (TimerNode* node = take_slot(slot); node != nullptr;) {
      TimerNode* next = node->next;
      // Above level 0 a slot is only spread over the levels below, so that expired timers come in order.
      if (slot < kSlots && node->when <= now) {
        expired.insert_by_time(*node);
        --size_;
        all_later = false;
      } else {
        link(*node);
      }
      node = next;
    }
    if (slot < kSlots && all_later) break;  // this very tick, its timers not due yet
  }
  tick_ = std::max(tick_, now_tick);
}

}  // namespace mothreads::internal
