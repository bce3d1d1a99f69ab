#pragma once

// Threads on a virtual clock, for tests that would else take a clock, use it and start a thread each.

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0::testing {

// Runs `body` on a thread whose time is that of `clock`. Who makes fibers there has a scheduler of its own, which ends with the body.
template <typename F>
void on_clock(VirtualClock& clock, F&& body) {
  const UseClock use(clock);
  Thread::run("host", [&](Signal) { body(); }).join();
}

// The same with a clock of its own, which `body` gets.
template <typename F>
void on_virtual_time(F&& body) {
  VirtualClock clock;
  on_clock(clock, [&] { body(clock); });
}

// A thread that lets so much time pass once somebody waits for it.
inline ThreadHandle<void> advance_once_awaited(VirtualClock& clock, absl::Duration by) {
  return Thread::run("advancer", [&clock, by](Signal) {
    clock.await_timers(1);
    clock.advance(by);
  });
}

}  // namespace mothreads::testing
