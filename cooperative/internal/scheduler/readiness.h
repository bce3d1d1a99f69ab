#pragma once

// The state of one descriptor that the library owns, and its waiters: see poller.h.

#include <cstddef>
#include <cstdint>

#include "cooperative/internal/scheduler/poller.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0::internal {

// One descriptor that is the library's, for the scheduler whose fibers use it. On that scheduler's thread.
//
// Each side has one turn at a time. Who is woken has it until it goes on; who comes meanwhile stands behind those who wait, and what
// comes meanwhile wakes nobody. So nobody is overtaken between the wake and the try, and whoever has tried passes the turn on.
class Readiness : private Registered {
 public:
  enum class Side : std::uint8_t { read, write };
  enum class QueuePosition : bool { last, first };

  // Who waits. Once it was closed the Readiness may be gone.
  struct Waiter : mothreads::internal::WaitNode {
    bool was_closed = false;
  };

  // Registers nothing yet.
  Readiness() = default;
  ~Readiness() { forget(); }
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // Whether it is worth trying: also where nothing is known.
  bool may_be_ready(Side side) const noexcept { return ready_[index(side)]; }
  // Somebody tried, and found nothing (more).
  void clear(Side side) noexcept { ready_[index(side)] = false; }
  // The kernel said so, by another way than by an edge.
  void set(Side side) noexcept { ready_[index(side)] = true; }
  // A read that got less than it had room for has taken all there was, unless the end of the stream is behind it: no edge comes for that.
  void clear_after_short_read() noexcept { ready_[index(Side::read)] = reads_may_be_short_; }
  // Somebody waits, or has been woken and not gone on.
  bool has_waiters(Side side) const noexcept { return turns_[index(side)] != nullptr || !waiters_[index(side)].is_empty(); }
  bool has_waiters() const noexcept { return has_waiters(Side::read) || has_waiters(Side::write) || !close_waiters_.is_empty(); }

  // Waits for an edge, behind those who wait already; before them who has had the turn and found nothing. `closed` when close() came
  // first, also after the edge. Throws std::system_error when the kernel does not take the descriptor, and mothreads::Misuse in a
  // testing::World, or on another thread than the scheduler it was first used on.
  mothreads::Why wait(int descriptor, Side side, const char* verb, mothreads::Limit limit, QueuePosition place = QueuePosition::last);
  // Waits for close() alone: for what the kernel tells nothing of, and somebody tries again and again.
  mothreads::Why wait_for_close(const char* verb, mothreads::Limit limit);

  // Registers it for that side, and puts the waiter into the list, for wait_for_any(): inside Poller::begin_wait() and end_wait().
  void link(int descriptor, Side side, Waiter& waiter);
  // For one that was not closed. Passes the turn on, when this one has it: what a wait_for_any() does then is its own affair.
  void unlink(Side side, Waiter& waiter) noexcept;

  // Instead of a fiber, where a read has just found nothing: tells `watcher` of the next edge of reading, or of close(), once. One at a time. False
  // when the kernel has no edges for such a descriptor. Throws as wait().
  bool watch(int descriptor, ReadinessWatcher& watcher);
  // Nothing when there is none.
  void unwatch() noexcept;

  // After a try: the next who waits has the turn, if anything may be left.
  void pass_on(Side side) noexcept {
    const std::size_t i = index(side);
    if (ready_[i] && turns_[i] == nullptr && !waiters_[i].is_empty()) wake_first(side);
  }

  // Before the descriptor is closed: all who wait, and who have been woken and not gone on, end `closed`, and the kernel forgets it. They
  // touch this no more.
  void close(int descriptor) noexcept;
  // The same where nobody may wait.
  void forget() noexcept;

  // In the child of a fork(): those who wait are the parent's.
  void leave_behind() noexcept;
  // The same where its scheduler is one of another thread's. False when that is none that was left behind.
  bool leave_lost_poller() noexcept;

  // Throws mothreads::Misuse on another thread than that of the scheduler it belongs to, if it does.
  void check_thread(const char* what);
  [[noreturn]] static void refuse_thread(const char* what);
  bool is_registered() const noexcept { return poller_ != nullptr; }
  bool is_its_thread() const noexcept;

 private:
  friend class Poller;
  static std::size_t index(Side side) noexcept { return static_cast<std::size_t>(side); }

  void join_scheduler();
  bool register_for(int descriptor, Side side);
  void arrived(std::uint32_t events) noexcept;
  void wake_first(Side side) noexcept;
  void tell_watcher() noexcept;
  void close_list(mothreads::internal::WaitList& list) noexcept;

  Poller* poller_ = nullptr;  // once registered
  int descriptor_ = -1;       // likewise
  std::uint32_t interest_ = 0;
  bool ready_[2] = {true, true};
  bool reads_may_be_short_ = false;  // with more behind: an end, an error, urgent data
  bool is_pollable_ = true;          // else always ready, as the kernel sees it
  mothreads::internal::WaitList waiters_[2];  // of Waiters
  Waiter* turns_[2] = {nullptr, nullptr};     // woken by an edge
  mothreads::internal::WaitList close_waiters_;
  ReadinessWatcher* watcher_ = nullptr;
};

inline bool Readiness::is_its_thread() const noexcept { return poller_ == nullptr || poller_->core().is_its_thread(); }

inline void Readiness::check_thread(const char* what) {
  if (is_its_thread()) [[likely]] return;
  if (!leave_lost_poller()) refuse_thread(what);
}

}  // namespace cooperative::internal
