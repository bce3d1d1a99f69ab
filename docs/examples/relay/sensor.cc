#include "docs/examples/relay/sensor.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace relay {

double measure(unsigned sensor, absl::Duration at) {
  constexpr double kWavesPerSecond = 0.1;
  return 20.0 + 5.0 * sensor + 3.0 * std::sin(2 * std::numbers::pi * kWavesPerSecond * absl::ToDoubleSeconds(at));
}

void sense(const Sensor& sensor, cooperative::ThreadedEventQueue<Reading>& readings, mothreads::Instant begin,
           const mothreads::Signal& please_stop) {
  for (std::uint64_t count = 0;; ++count) {
    // Counted from the beginning, so that a reading that comes late puts off no other.
    const absl::Duration at = absl::Seconds(static_cast<double>(count) / sensor.per_second);
    if (please_stop.wait(begin + absl::ToChronoNanoseconds(std::min(at, sensor.last))) || at >= sensor.last) return;
    if (count == sensor.fails_after) throw std::runtime_error("no answer from the hardware");
    readings.signal({.sensor = sensor.number, .at = at, .value = measure(sensor.number, at)});
  }
}

}  // namespace relay
