#pragma once

// The processes that this one has started and that have not ended: killed when it ends without an orderly stop, past a stop's deadline or by the
// third signal. mothreads/internal/base/sudden_end.h calls that.

#include <sys/types.h>

#include <atomic>

namespace cooperative::inline v0::internal::io {

// Lives as long as the process must not be left behind. Thread-safe.
class Child {
 public:
  // `group` is that of its own which goes with it, or 0. The descriptor must stay open while this lives.
  Child(int pidfd, pid_t group);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  struct Slot;
  static Slot& take_slot();
  static void kill_all() noexcept;
  static std::atomic<Slot*> first_;

  Slot& slot_;
};

}  // namespace cooperative::internal::io
