#pragma once

// Timers ordered by time, without allocation: adding and removing are O(1). A hierarchical wheel (Varghese and Lauck,
// 1987): level 0 has a slot for each of the next 64 ticks of 1,024 ns, level n one for 64^n of them. A timer sits at the
// level of the highest digit in which its tick differs from the current one and moves down as its time comes near.
// Not thread-safe; knows no clock.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "mothreads/internal/base/linked_list.h"

namespace mothreads::inline v0::internal {

struct TimerNode;

// What an expired timer does, in two steps: `take` under the mutex that guards the wheel, `fire` after it, if `take` said true.
struct TimerOps {
  bool (*take)(TimerNode& node);
  void (*fire)(TimerNode& node);
};

struct TimerNode {
  explicit TimerNode(const TimerOps& operations) : ops(&operations) {}
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;

  bool is_linked() const noexcept { return next != nullptr; }

  const TimerOps* ops;
  std::int64_t when = 0;  // nanoseconds of its clock; set by add()
  TimerNode* previous = nullptr;  // of one whose take() said true, and which is to fire: the one that fires after it
  TimerNode* next = nullptr;
  std::uint16_t slot = 0;
};

// Expired timers in the order of their times, equal times in the order of adding. Linked through `next`.
class ExpiredTimers {
 public:
  bool is_empty() const noexcept { return first_ == nullptr; }
  void insert_by_time(TimerNode& node) noexcept;
  TimerNode* pop_front() noexcept;

 private:
  TimerNode* first_ = nullptr;
  TimerNode* last_ = nullptr;
};

class TimerWheel {
 public:
  static constexpr std::int64_t kNever = INT64_MAX;

  explicit TimerWheel(std::int64_t now) noexcept : tick_(tick_of(now)) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void add(TimerNode& node, std::int64_t when) noexcept {
    node.when = when;
    link(node);
    ++size_;
  }
  void remove(TimerNode& node) noexcept {
    if (node.is_linked()) unlink(node);
  }

  bool is_empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  // When expire() is worth calling next: the time of the first timer, or a little earlier; kNever when there is none.
  std::int64_t next_wake() const noexcept;

  // No timer comes before this; cheap. kNever when there is none.
  std::int64_t earliest() const noexcept;

  // Time of the first timer, exactly; looks at every timer of one slot.
  std::int64_t first_time() const noexcept;

  // Calls `f` for every timer, in no order; `f` may remove the one it is called with.
  template <typename F>
  void for_each(F&& f) {
    for (const Slot& slot : slots_) {
      for (TimerNode* node = slot.first(); node != nullptr;) {
        TimerNode* const next = slot.after(*node);
        f(*node);
        node = next;
      }
    }
  }

  // Removes what is due at `now` and appends it to `expired`. `now` must not go back.
  void expire(std::int64_t now, ExpiredTimers& expired) noexcept;

 private:
  using Slot = LinkedList<TimerNode, &TimerNode::previous, &TimerNode::next>;

  static constexpr unsigned int kDigitBits = 6;
  static constexpr int kSlots = 1 << kDigitBits;
  static constexpr int kLevels = 9;  // 10 + 9 × 6 bits: every time that fits 63 bits
  static constexpr int kTickBits = 10;

  static constexpr std::uint64_t tick_of(std::int64_t when) noexcept {
    return when <= 0 ? 0 : static_cast<std::uint64_t>(when) >> kTickBits;
  }

  void link(TimerNode& node) noexcept;
  void unlink(TimerNode& node) noexcept;
  TimerNode* take_slot(int slot) noexcept;
  int first_slot() const noexcept;  // -1 when empty
  std::uint64_t start_of(int slot) const noexcept;

  std::uint64_t tick_;
  std::size_t size_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};
  std::array<Slot, kLevels * kSlots> slots_{};
};

// Inlined into waits that have a limit.

inline void TimerWheel::link(TimerNode& node) noexcept {
  // What is past due waits in the current slot of level 0 for the next expire().
  const std::uint64_t tick = std::max(tick_of(node.when), tick_);
  const std::uint64_t differs = tick ^ tick_;
  const unsigned int level = (static_cast<unsigned int>(std::bit_width(differs | 1)) - 1) / kDigitBits;
  const unsigned int digit = static_cast<unsigned int>(tick >> (level * kDigitBits)) & (kSlots - 1);
  const unsigned int slot = level * kSlots + digit;
  node.slot = static_cast<std::uint16_t>(slot);
  Slot& its = slots_[slot];
  if (its.is_empty()) occupied_[level] |= std::uint64_t{1} << digit;
  its.push_back(node);
}

inline void TimerWheel::unlink(TimerNode& node) noexcept {
  if (slots_[node.slot].take_out(node)) occupied_[node.slot / kSlots] &= ~(std::uint64_t{1} << (node.slot % kSlots));
  --size_;
}

}  // namespace mothreads::internal
