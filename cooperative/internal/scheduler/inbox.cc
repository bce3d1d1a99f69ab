#include "cooperative/internal/scheduler/inbox.h"

#include "mothreads/internal/base/futex.h"

namespace cooperative::inline v0::internal {

void Inbox::post(Posted& posted) noexcept {
  // relaxed: the exchange below publishes, or fails and is done again.
  Posted* newest = newest_.load(std::memory_order_relaxed);
  do {
    posted.next = is_mark(newest) ? nullptr : newest;
    // release pairs with the acquire in take_into().
  } while (!newest_.compare_exchange_weak(newest, &posted, std::memory_order_release, std::memory_order_relaxed));
  if (!is_mark(newest)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  wake(Mark(newest));
}

void Inbox::wake_if_asleep(Waker waker) noexcept {
  // seq_cst: see Mailbox::post().
  Posted* newest = newest_.load(std::memory_order_seq_cst);
  if (!is_mark(newest) || !newest_.compare_exchange_strong(newest, nullptr, std::memory_order_seq_cst)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  wake(Mark(newest), waker);
}

Inbox::Mark Inbox::take_mark() noexcept {
  // relaxed: the alarm's own flag publishes that it has rung.
  Posted* newest = newest_.load(std::memory_order_relaxed);
  const bool is_taken = is_mark(newest) && newest_.compare_exchange_strong(newest, nullptr, std::memory_order_relaxed);
  return Mark(is_taken ? newest : nullptr);
}

void Inbox::wake(const Mark& mark, Waker waker) noexcept {
  if (mark.mark_ == asleep()) {
    mothreads::internal::futex_wake(futex(), 1);
  } else if (waker == Waker::signal_handler) {
    bell_.ring_in_handler();
  } else {
    bell_.set(true);
  }
}

void Inbox::take_into(mothreads::internal::Fifo<Runnable>& ready) noexcept {
  Posted* newest = newest_.exchange(nullptr, std::memory_order_acquire);  // pairs with the release in post()
  if (is_mark(newest)) newest = nullptr;
  Posted* oldest = nullptr;
  while (newest != nullptr) {
    Posted* const next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Posted& posted = *oldest;
    oldest = oldest->next;
    ready.push_back(static_cast<Runnable&>(posted));
  }
}

bool Inbox::begin_sleep(Sleep sleep) noexcept {
  Posted* nothing = nullptr;
  // seq_cst: who posts to the mailbox looks here afterwards, and the scheduler looks there after this.
  return newest_.compare_exchange_strong(nothing, mark_of(sleep), std::memory_order_seq_cst);
}

void Inbox::end_sleep(Sleep sleep) noexcept {
  Posted* still = mark_of(sleep);
  newest_.compare_exchange_strong(still, nullptr, std::memory_order_relaxed);  // nothing was posted: there is nothing to acquire
}

void Inbox::await(const std::optional<mothreads::Instant>& deadline) noexcept {
  constexpr auto kAsleep = static_cast<std::uint32_t>(std::uintptr_t{1});
  mothreads::internal::futex_wait(futex(), kAsleep, deadline);
}

const std::atomic<std::uint32_t>* Inbox::futex() const noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof newest_ == 8);
  return reinterpret_cast<const std::atomic<std::uint32_t>*>(&newest_);
}

}  // namespace cooperative::internal
