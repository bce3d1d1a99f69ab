#pragma once

// Lets a loop of somebody else's (poll, Qt, GLib) drive the scheduler of its thread.
//
//     co::ForeignLoop fibers;
//     while (true) {
//       const auto next = fibers.run_due();                        // last before it blocks
//       if (done) break;                                           // by a fiber, maybe
//       pollfd watched[] = {{fibers.descriptor(), POLLIN, 0}, ...};
//       poll(watched, std::size(watched), milliseconds_until(next));
//       ...                                                        // may spawn, signal, post
//     }
//
// Whenever that loop is about to block it calls run_due(), which runs all that is ready and never sleeps. The descriptor is readable from
// when there is more to run: something came from another thread, a time has come, or run_due() left something. So a loop that
// watches it needs no time limit for the fibers' sake. What the loop's own code does to fibers, between two calls, it does not show.
//
// The loop may run in the thread's root or in a fiber, which then needs a stack that suits it. A function called by run_due() may run
// an inner loop of the same kind, as modal dialogs do: then the outer run_due() does not return before the inner ones.
//
// A stop of the thread ends its fibers before its please_stop goes: a loop that ends at please_stop has it wake the loop,
// please_stop.then([here] { here.callback([] {}); }), and not a fiber that waits for it.
//
// Thread safety: used by one thread alone; its end is the end of nothing else.

#include <memory>
#include <optional>

#include "mothreads/instant.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class [[nodiscard]] ForeignLoop {
 public:
  // For the calling thread's scheduler, which is made if there is none. Throws mothreads::Misuse when it has a ForeignLoop, or in a
  // testing::World; std::system_error when the process has no more descriptors.
  [[nodiscard]] ForeignLoop();
  ~ForeignLoop();
  ForeignLoop(const ForeignLoop&) = delete;
  ForeignLoop& operator=(const ForeignLoop&) = delete;

  // To poll for reading, not to be read. The same for as long as this lives.
  int descriptor() const;

  // Runs fibers, callbacks and timers: all that is ready once, and then until nothing is ready or the limit comes. Without a limit
  // fibers that yield without end would keep it for ever.
  // Gives when there is something to run again, now if there is; nothing when only another thread, or this one's own code, can bring
  // something. Throws mothreads::Misuse on another thread, and when the scheduler has ended; std::system_error when the library's
  // timer thread cannot be had.
  std::optional<mothreads::Instant> run_due(const mothreads::Until& until = {});

 private:
  class State;

  const std::unique_ptr<State> state_;
};

}  // namespace cooperative
