#pragma once

// The rendezvous with a thread that is to sleep: it takes no real time, and a test that goes on knows that the other is there.

#include <optional>
#include <string>
#include <string_view>

#include "mothreads/instant.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0::testing {

// What the thread sleeps on at the moment, if it does.
std::optional<internal::WaitReport> sleeps_on(const Thread& thread);

// Blocks until the thread sleeps in a wait whose description has `what` in it; returns when that sleep began. A thread that
// is woken and sleeps again has another time.
Instant await_sleeping(const Thread& thread, std::string_view what);

void give_way();

// Blocks until `condition` is true.
template <typename Condition>
void await(Condition condition) {
  while (!condition()) give_way();
}

}  // namespace mothreads::testing
