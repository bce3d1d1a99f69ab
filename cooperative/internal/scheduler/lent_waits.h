#pragma once

// Waits for descriptors that belong to others, who may use or close them as they like: poll.h. Level-triggered, and registered only
// while somebody waits, so that nothing is left of them here. What the kernel says of one goes to those who wait for it in the order
// they came: each kind of readiness to the first who wants it, hang-ups and errors to all, as cothread's scheduler does it.

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "cooperative/internal/scheduler/poller.h"
#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0::internal {

class LentWaits {
 public:
  // Throws std::system_error when the process has no more descriptors.
  explicit LentWaits(Poller& poller);
  ~LentWaits();
  LentWaits(const LentWaits&) = delete;
  LentWaits& operator=(const LentWaits&) = delete;

  struct Waiter : mothreads::internal::WaitNode {
    int descriptor = -1;
    std::uint32_t wanted = 0;  // EPOLL...
    bool was_closed = false;   // by close_descriptor()
    Waiter* next_woken = nullptr;
  };

  // From then on the waiter's wait ends when its descriptor is ready. False when there is nothing to wait for: the kernel takes it as
  // always ready, or does not know it.
  bool link(Waiter& waiter);
  void unlink(Waiter& waiter) noexcept;

  // All who wait for it end.
  void closes(int descriptor) noexcept;
  // The same on the calling thread's scheduler, if it has one.
  static void closes_here(int descriptor) noexcept;

  int descriptor() const noexcept { return epoll_; }
  void collect() noexcept;

 private:
  struct Lent {
    bool is_registered = false;
    std::uint32_t registered = 0;  // what the kernel then watches for
    mothreads::internal::WaitList waiters;
    Waiter* woken = nullptr;  // and not gone on: they, too, learn of a close
  };

  void settle(int descriptor, Lent& place) noexcept;
  void arrived(int descriptor, std::uint32_t events) noexcept;

  Poller& poller_;
  int epoll_ = -1;
  absl::flat_hash_map<int, std::unique_ptr<Lent>> places_;
};

}  // namespace cooperative::internal
