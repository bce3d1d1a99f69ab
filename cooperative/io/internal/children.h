#pragma once

// The processes that this one has started and that have not ended: killed when it ends without an orderly stop, past a stop's deadline or by the
// third signal. mothreads/internal/base/sudden_end.h calls that.

#include <signal.h>
#include <sys/types.h>

#include <atomic>

namespace cooperative::inline v0::internal::io {

// Lives as long as the process must not be left behind. Thread-safe.
class Child {
 public:
  // Before the process is started: a sudden end waits until the start is over, so that it finds the new process, and a start that comes after it
  // never goes on. Blocks the thread's signals until the start is over, because a handler on this thread would wait for what it has interrupted.
  Child();
  // The start is over, on the same thread. `group` is that of its own which goes with it, or 0. The descriptor must stay open while this lives.
  void has_begun(int pidfd, pid_t group) noexcept;
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  struct Slot;
  static Slot& take_slot();
  static void await_start(const Slot& slot) noexcept;
  static void kill_all() noexcept;
  static std::atomic<Slot*> first_;
  static std::atomic<pid_t> ending_process_;

  void end_start() noexcept;

  Slot& slot_;
  sigset_t mask_of_caller_{};
  bool is_starting_ = true;
};

}  // namespace cooperative::internal::io
