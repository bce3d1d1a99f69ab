#pragma once

// One run of relay:
//
//     sensor 1 --\                                              attendant 1, 2, ...  each waits for the end of its sensor
//     sensor 2 ---(readings)--> collector --> seconds --> display
//     ...      --/
//     threads                   fibers of the main thread, which share what is right of the queue without a lock
//
// It ends from the left: the sensors end, by their time or because they are told, the newest first; the queue is closed; the collector
// takes what is left and ends; then the display.

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/threaded_event_queue.h"
#include "docs/examples/relay/reading.h"
#include "docs/examples/relay/screen.h"
#include "docs/examples/relay/seconds.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace relay {

struct Options {
  unsigned sensors = 3;
  double rate = 5;                      // readings per second of the first; the second has twice as many, and so on
  std::optional<unsigned> seconds = {};  // then it ends
  bool fail = false;                    // the last sensor, after a few readings
};

class Run {
 public:
  Run(const Options& options, Screen& screen) : options_(options), screen_(screen) {}

  // The program's exit code.
  int operator()();

 private:
  // Each is the function of a fiber. They take a please_stop, also where they do not look at it: without one, a fiber is cancelled when
  // its thread is asked to stop.
  void collect(const mothreads::Signal& please_stop);
  void show(const mothreads::Signal& please_stop);
  void attend(mothreads::ThreadHandle<void>& sensor, const mothreads::Signal& please_stop);

  void summarise() const;
  absl::Duration elapsed() const { return absl::FromChrono(mothreads::Clock::current().now() - begin_); }

  const Options options_;
  Screen& screen_;
  const mothreads::Instant begin_ = mothreads::Clock::current().now();
  cooperative::ThreadedEventQueue<Reading> readings_;
  Seconds seconds_{options_.sensors};
  std::vector<std::string> ended_;  // sensors, in the order of their ends
  unsigned failed_ = 0;             // of them
  bool was_stopped_ = false;        // one of them was told to end
  bool failed_to_write_ = false;
};

}  // namespace relay
