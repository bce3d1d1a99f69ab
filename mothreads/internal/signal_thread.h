#pragma once

// SIGINT and SIGTERM, taken on a thread of the library's own. The handler only writes the signal's number into a pipe. It runs on that
// thread where all others block the signals. A SIGINT that is ignored when this begins stays ignored; SIGTERM is always taken.
//
//     first    the stop is announced (internal/drain.h): without a drain the main node is asked to stop at once
//     second   a report says who has not stopped, and during a drain what holds it
//     third    the process ends at once, with 128 + the signal's number

#include <functional>

namespace mothreads::inline v0::internal {

// Installs the handlers and starts the thread; nothing when that has been done. Throws std::system_error.
void begin_signal_thread();

// Restores the handlers that were there before and joins the thread; nothing when there is none.
void end_signal_thread();

// The signal that asked for the stop, or 0. begin_signal_thread() starts it at 0 again.
int stop_signal();

// From now on a line "exit" on standard input does what the first signal does. At its end, or when it cannot be read, it is
// looked at no more.
void watch_stdin_for_exit();

}  // namespace mothreads::internal
