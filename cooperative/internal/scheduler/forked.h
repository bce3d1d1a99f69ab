#pragma once

// A scheduler in the child of a fork() that its own thread has called. Of what shares the thread only the caller goes on: it becomes the
// scheduler's root. The other fibers are left behind as they are, since to unwind them, or to let them run, would be to do twice what the
// parent does once: to read from its connections, to say farewell on them. To their handles they have ended. What the kernel shares with the
// parent, above all the epoll, is closed here and made anew.

namespace cooperative::inline v0::internal {

class SchedulerCore;

// Of each core, before the next.
void leave_if_others(SchedulerCore& core) noexcept;
// Of the calling thread's.
void go_on_in_child() noexcept;

// The function of the fiber that called fork() has ended in the child, and with it the process.
[[noreturn]] void end_forked_fiber() noexcept;

}  // namespace cooperative::internal
