#pragma once

// What stands for hardware: a thread that measures at its own rate.

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "cooperative/threaded_event_queue.h"
#include "docs/examples/relay/reading.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"

namespace relay {

struct Sensor {
  unsigned number = 1;
  double per_second = 1;
  absl::Duration last = absl::InfiniteDuration();     // it measures until then, since the beginning
  std::optional<std::uint64_t> fails_after = {};  // so many readings
};

// Slow waves, around another value for each sensor.
double measure(unsigned sensor, absl::Duration at);

// The function of a sensor's thread. Throws std::runtime_error when it fails.
void sense(const Sensor& sensor, cooperative::ThreadedEventQueue<Reading>& readings, mothreads::Instant begin,
           const mothreads::Signal& please_stop);

}  // namespace relay
