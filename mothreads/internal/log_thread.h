#pragma once

// The life of the log's thread, for MainThread.

namespace mothreads::internal {

// From now on the next line starts the log's thread.
void begin_log();

// Writes what is waiting and joins the thread; later lines are written by their callers.
void end_log_thread();

}  // namespace mothreads::internal
