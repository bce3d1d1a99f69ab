#pragma once

// What other threads ask one scheduler to call. One order over all who post: what was posted before comes before.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/internal/scheduler/call.h"

namespace cooperative::inline v0::internal {

class Conductor;

class Mailbox {
 public:
  // `owner` is the name of the scheduler's thread.
  explicit Mailbox(Conductor* conductor = nullptr, std::string_view owner = "unknown") : conductor_(conductor), owner_(owner) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() { close(); }

  // From any thread, and from a signal handler. False when it is closed: the call is still the caller's.
  bool post(Call& call) noexcept {
    Call* newest = newest_.load(std::memory_order_relaxed);
    do {
      if (newest == closed()) return false;
      call.next = newest;
      // seq_cst: the poster then looks whether the scheduler sleeps, which has looked here after it said that it would.
    } while (!newest_.compare_exchange_weak(newest, &call, std::memory_order_seq_cst, std::memory_order_relaxed));
    return true;
  }

  bool is_closed() const noexcept { return newest_.load(std::memory_order_acquire) == closed(); }
  // Whether it is worth looking; it may be just about to be.
  bool may_have_calls() const noexcept { return newest_.load(std::memory_order_relaxed) != nullptr; }
  // Also when it is closed.
  const std::string& owner() const noexcept { return owner_; }
  // Of the scheduler, if it has one and takes calls.
  Conductor* conductor() const noexcept { return conductor_ == nullptr || is_closed() ? nullptr : conductor_; }

  bool has_calls() const noexcept {
    Call* const newest = newest_.load(std::memory_order_seq_cst);
    return newest != nullptr && newest != closed();
  }

  // On the scheduler's thread: adds all that was posted, the oldest first.
  void take_all(Calls& calls, Calls& errands) noexcept {
    if (!has_calls()) return;
    Call* newest = newest_.exchange(nullptr, std::memory_order_acquire);  // pairs with post(); only this thread closes it
    Calls taken;
    Calls taken_errands;
    while (newest != nullptr) {
      // The calls of one thread lie beside each other: the older ones are on their way while these are linked.
      __builtin_prefetch(reinterpret_cast<const std::byte*>(newest) - CallPlaces::kAhead, 1);
      Call& call = *std::exchange(newest, newest->next);
      (call.kind->is_errand ? taken_errands : taken).push_front(call);
    }
    calls.append(taken);
    errands.append(taken_errands);
  }

  // In the child of a fork(): takes no more, and what others had posted stays where it is.
  void leave_behind() noexcept { newest_.store(closed(), std::memory_order_relaxed); }

  // On the scheduler's thread: takes no more, and drops what is left; gives how many that were, but for errands.
  std::size_t close() noexcept {
    Call* newest = newest_.exchange(closed(), std::memory_order_acq_rel);
    if (newest == closed()) return 0;
    Calls left;
    while (newest != nullptr) left.push_front(*std::exchange(newest, newest->next));
    return left.drop_all();
  }

 private:
  static Call* closed() noexcept { return reinterpret_cast<Call*>(std::uintptr_t{1}); }

  Conductor* const conductor_;
  const std::string owner_;
  alignas(64) std::atomic<Call*> newest_{nullptr};
};

}  // namespace cooperative::internal
