#pragma once

// The parts of thread.h that need no template.

#include "mothreads/clock.h"
#include "mothreads/ended.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0 {
struct ThreadOptions;
}

namespace mothreads::inline v0::internal {

Signal please_stop_for(const ThreadOptions& options);
void start_thread(ThreadNode& thread, const ThreadOptions& options);
// Of a thread that is lost the caller takes the loss, as WasLost.
Ended wait_to_join(ThreadNode& thread, const Until& until);
[[noreturn]] void throw_timeout(const ThreadNode& thread, Why why);

// What the destructor of a handle does.
void stop_and_wait(ThreadNode& thread) noexcept;

}  // namespace mothreads::internal
