#pragma once

// How long a stop may take, and how a process ends that did not stop well.

#include "absl/time/time.h"

namespace mothreads::inline v0 {

// From a stop request to the moment by which everything below must have stopped. Past it a report names who did not, what it
// waits on and its stack, logs are flushed, and the process ends with kExitDidNotStop.
inline constexpr absl::Duration kDefaultStopDeadline = absl::Seconds(30);

// Fibers that have not ended by the deadline are cancelled then, also those that take a please_stop. Where a scheduler is among those who
// have not stopped, the report comes so much later: time for them to unwind. Threads, which nothing unwinds, are given none.
inline constexpr absl::Duration kUnwindGrace = absl::Seconds(2);

// Changes it for requests made from now on; absl::InfiniteDuration() for none. Any thread may call it.
void set_stop_deadline(absl::Duration duration);
absl::Duration stop_deadline();

// Exit codes of the library's own, outside those that shells and <sysexits.h> use.
inline constexpr int kExitUnclaimedFailure = 111;  // a thread failed, nobody joined it, and the program would have ended with 0
inline constexpr int kExitDidNotStop = 113;        // see above

// How many threads have failed without anyone to learn of it but the log.
int unclaimed_failures();

}  // namespace mothreads
