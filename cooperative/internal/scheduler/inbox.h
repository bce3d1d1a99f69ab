#pragma once

// Where other threads put the fibers whose wait they have ended. Its own thread takes them out in order. While that thread sleeps a mark
// lies in the inbox: whoever takes the mark away wakes the thread.
//
// The inbox belongs to a core, not to one life of it: a thread that has posted may still look at it after the scheduler has ended.

#include <atomic>
#include <cstdint>
#include <optional>

#include "cooperative/internal/scheduler/bell.h"
#include "cooperative/internal/stack/runnable.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fifo.h"

namespace cooperative::inline v0::internal {

class alignas(64) Inbox {
 public:
  enum class Waker : bool { code, signal_handler };
  // Where the thread sleeps: a thread that polls hears only the bell.
  enum class Sleep : bool { on_futex, in_poll };

  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // --- any thread ---------------------------------------------------------------------------------------------------------

  void post(Posted& posted) noexcept;
  // After something was put elsewhere that the thread looks at: also from a signal handler.
  void wake_if_asleep(Waker waker) noexcept;
  // In two steps, for who must say in between that it is done: true when the caller now has the mark, and owes the wake.
  class Mark;
  Mark take_mark() noexcept;
  void wake(const Mark& mark, Waker waker = Waker::code) noexcept;
  // System calls of other threads to wake it.
  std::uint64_t wakes() const noexcept { return wakes_.load(std::memory_order_relaxed); }

  // --- its own thread -----------------------------------------------------------------------------------------------------

  // relaxed: only whether there is something; take_into() acquires it.
  bool is_empty() const noexcept { return newest_.load(std::memory_order_relaxed) == nullptr; }
  // Makes ready what was posted, the oldest first; takes a mark away, too.
  void take_into(mothreads::internal::Fifo<Runnable>& ready) noexcept;
  // Puts the mark there. False when something was posted: then there is no mark.
  bool begin_sleep(Sleep sleep) noexcept;
  // Takes the mark away, where nobody has.
  void end_sleep(Sleep sleep) noexcept;
  // Sleeps on the futex while the mark is there, until the deadline.
  void await(const std::optional<mothreads::Instant>& deadline) noexcept;

  Bell& bell() noexcept { return bell_; }

  // Whatever was posted too late is nobody's.
  void clear() noexcept { newest_.store(nullptr, std::memory_order_relaxed); }
  void begin_life() noexcept { wakes_.store(0, std::memory_order_relaxed); }
  // In the child of a fork().
  void leave_behind() noexcept {
    bell_.leave_behind();
    clear();
  }

 private:
  static Posted* asleep() noexcept { return reinterpret_cast<Posted*>(std::uintptr_t{1}); }
  static Posted* polled() noexcept { return reinterpret_cast<Posted*>(std::uintptr_t{2}); }
  static Posted* mark_of(Sleep sleep) noexcept { return sleep == Sleep::on_futex ? asleep() : polled(); }
  static bool is_mark(const Posted* posted) noexcept { return posted == asleep() || posted == polled(); }
  const std::atomic<std::uint32_t>* futex() const noexcept;

  std::atomic<Posted*> newest_{nullptr};  // or a mark
  std::atomic<std::uint64_t> wakes_{0};
  Bell bell_;
};

// Which mark was taken away, if one was.
class Inbox::Mark {
 public:
  explicit operator bool() const noexcept { return mark_ != nullptr; }

 private:
  friend class Inbox;
  explicit Mark(const Posted* mark) noexcept : mark_(mark) {}
  const Posted* mark_;
};

}  // namespace cooperative::internal
