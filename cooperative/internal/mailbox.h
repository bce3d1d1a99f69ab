#pragma once

// What other threads ask one scheduler to call. One order over all who post: what was posted before comes before.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace cooperative::internal {

// One call. It deletes itself: after run(), or by withdraw() when the scheduler ends before its turn.
struct Call {
  virtual void run() = 0;
  virtual void withdraw() noexcept = 0;
  // Whether it runs at once, between two fibers, where nothing may wait.
  virtual bool is_urgent() const noexcept { return false; }
  virtual ~Call() = default;

  Call* next = nullptr;
};

class Conductor;

class Mailbox {
 public:
  explicit Mailbox(Conductor* conductor = nullptr) : conductor_(conductor) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() { close(); }

  // From any thread. False when it is closed: the call is still the caller's.
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
  // Of the scheduler, if it has one and takes calls.
  Conductor* conductor() const noexcept { return conductor_ == nullptr || is_closed() ? nullptr : conductor_; }

  bool has_calls() const noexcept {
    Call* const newest = newest_.load(std::memory_order_seq_cst);
    return newest != nullptr && newest != closed();
  }

  // On the scheduler's thread: all that was posted, the oldest first.
  Call* take_all() noexcept {
    Call* oldest = nullptr;
    Call* newest = newest_.load(std::memory_order_relaxed);
    do {
      if (newest == closed()) return nullptr;
      // acquire pairs with post().
    } while (!newest_.compare_exchange_weak(newest, nullptr, std::memory_order_acquire, std::memory_order_relaxed));
    while (newest != nullptr) {
      Call* const next = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = next;
    }
    return oldest;
  }

  // Takes no more, and withdraws what is left; gives how many that were, of those with a turn to wait for.
  std::size_t close() noexcept {
    Call* call = newest_.exchange(closed(), std::memory_order_acq_rel);
    std::size_t count = 0;
    while (call != nullptr && call != closed()) {
      Call& withdrawn = *std::exchange(call, call->next);
      if (!withdrawn.is_urgent()) ++count;
      withdrawn.withdraw();
    }
    return count;
  }

 private:
  static Call* closed() noexcept { return reinterpret_cast<Call*>(std::uintptr_t{1}); }

  Conductor* const conductor_;
  alignas(64) std::atomic<Call*> newest_{nullptr};
};

}  // namespace cooperative::internal
