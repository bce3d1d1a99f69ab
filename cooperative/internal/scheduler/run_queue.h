#pragma once

// Which fiber runs when: the rest of this round, those for the next round, and those who gave up their turn for nothing. On the scheduler's
// thread alone. A round runs all that was ready as the round began, once, in that order.

#include <cstdint>

#include "cooperative/internal/stack/runnable.h"
#include "mothreads/internal/base/fifo.h"

namespace cooperative::inline v0::internal {

class RunQueue {
 public:
  // For the next round, behind all that is ready.
  void push_ready(Runnable& runnable) noexcept { ready_.push_back(runnable); }
  // The same, behind what becomes ready until the next round begins.
  void push_yielded(Runnable& runnable) noexcept { yielded_.push_back(runnable); }
  // For this round, as the last.
  void push_into_round(Runnable& runnable) noexcept { batch_.push_back(runnable); }
  // Before anybody else.
  void push_next(Runnable& runnable) noexcept { batch_.push_front(runnable); }

  bool has_ready() const noexcept { return !ready_.is_empty(); }
  bool has_yielded() const noexcept { return !yielded_.is_empty(); }
  bool is_empty() const noexcept { return batch_.is_empty() && ready_.is_empty() && yielded_.is_empty(); }
  // For who puts something before what is ready, or takes all of it.
  mothreads::internal::Fifo<Runnable>& ready() noexcept { return ready_; }

  // Whoever comes next in this round; null when the round is over.
  Runnable* pop_in_round() noexcept { return batch_.pop_front(); }
  // The same, and what the next after that one needs comes into the cache.
  Runnable* pop_in_round_ahead() noexcept {
    Runnable* const next = batch_.pop_front();
    if (next != nullptr) {
      if (Runnable* const after = batch_.first()) {
        __builtin_prefetch(after->stack_pointer);
        __builtin_prefetch(after->next);
      }
    }
    return next;
  }

  // Begins a round with nothing but what this thread has made ready. Null when that is nothing; then it is no round.
  Runnable* begin_round_at_once() noexcept {
    if (ready_.is_empty()) {
      if (yielded_.is_empty()) return nullptr;
      batch_.take(yielded_);
    } else {
      ready_.append(yielded_);
      batch_.take(ready_);
    }
    ++rounds_;
    return batch_.pop_front();
  }
  // A round in three steps, for who looks elsewhere in between: the scheduler counts it, lets in those who yielded, and takes the first; null
  // when nobody is ready.
  void count_round() noexcept { ++rounds_; }
  void let_in_yielded() noexcept { ready_.append(yielded_); }
  Runnable* begin_round() noexcept {
    Runnable* const first = ready_.pop_front();
    if (first != nullptr) batch_.append(ready_);
    return first;
  }

  std::uint64_t rounds() const noexcept { return rounds_; }

  // In the child of a fork(): whoever was in here is the parent's.
  void leave_behind() noexcept { batch_ = ready_ = yielded_ = {}; }

 private:
  mothreads::internal::Fifo<Runnable> batch_;  // the rest of this round
  mothreads::internal::Fifo<Runnable> ready_;  // for the next
  mothreads::internal::Fifo<Runnable> yielded_;
  std::uint64_t rounds_ = 0;
};

}  // namespace cooperative::internal
