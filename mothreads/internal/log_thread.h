#pragma once

// The life of the log's thread, for the shutdown tree.

namespace mothreads::inline v0::internal {

// From now on the next line starts the log's thread.
void begin_log();

// Writes what is waiting and joins the thread; later lines are written by their callers.
void end_log_thread();

// The shutdown tree's end will call end_log_thread(). Without that word the end of the process does: a program that only logs has no tree.
void leave_log_to_tree() noexcept;

}  // namespace mothreads::internal
