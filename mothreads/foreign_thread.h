#pragma once

// Makes a thread of another library known, within a scope: one that the stop does not wait for.
//
//     void on_frame(const driver_frame* frame, void* context) {   // the driver's own thread calls this, until the process ends
//       ForeignThread here("camera driver");
//       static_cast<Camera*>(context)->frames.add(copy_of(frame), absl::ZeroDuration());
//     }                                          // log lines are of "camera driver", reports of the stop list "camera driver (foreign)"
//
// A ForeignThread is for callbacks that such a thread makes again and again. A RegisterThread is for a thread that the stop is to wait for.
//
//                        unknown                 ForeignThread           RegisterThread
//     name               "Unknown Thread 4711"   its own                 its own
//     in reports         no                      yes                     yes
//     its please_stop    never goes              never goes              goes at the stop
//     the stop waits     no                      no                      for the scope's end
//     what it starts     the main thread's       the main thread's       its own
//     cost               none                    tens of nanoseconds     microseconds
//
// So a wait in the scope that is to end with the program has MainThread::please_stop() as a limit, as on every unknown thread.
//
// Scopes may be nested; the innermost name counts. A scope changes nothing on a thread that is known already: one that the library has made,
// also in its fibers, the main thread, and in the scope of a RegisterThread. In a child of fork() the scope is over, and its end does nothing.
// A thread may end in the scope.
//
// The name is copied: of one of more than 63 bytes the first 63, or a little less so that no UTF-8 character is cut, and none behind a zero
// byte. Control characters are escaped where it is printed.
//
// Blocking: never. Failure: none; where a thread's first scope finds no memory, it changes nothing. Nothing is allocated after the first
// scope of a thread. It may be used before and after main(), and in destructors of thread_local objects.
// Thread safety: an object belongs to the thread that made it, and is destroyed there, in the order of scopes.

#include <cstdint>
#include <string_view>

#include "mothreads/internal/base/foreign_slot.h"
#include "mothreads/internal/base/fork.h"

namespace mothreads::inline v0 {

namespace internal {
class ThreadContext;
}

class [[nodiscard]] ForeignThread {
 public:
  [[nodiscard]] explicit ForeignThread(std::string_view name) noexcept;
  ~ForeignThread();
  ForeignThread(const ForeignThread&) = delete;
  ForeignThread& operator=(const ForeignThread&) = delete;

 private:
  internal::ThreadContext* context_;  // null where it changes nothing; the others below are of one that does
  std::uint64_t life_;
  const char* name_before_;
  const internal::Born born_;
  internal::ForeignSlot::Name outer_name_;  // of the scope around it, where there is one
};

}  // namespace mothreads
