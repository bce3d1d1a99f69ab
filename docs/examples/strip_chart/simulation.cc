#include "docs/examples/strip_chart/simulation.h"

#include <cmath>
#include <cstddef>
#include <numbers>

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/instant.h"

namespace strip_chart {
namespace {

constexpr int kCells = 24;
constexpr int kMonitorsInACell = 7;
constexpr absl::Duration kStep = absl::Milliseconds(100);

}  // namespace

std::vector<std::string> orbit_names() {
  std::vector<std::string> names;
  for (int cell = 1; cell <= kCells; ++cell) {
    for (int monitor = 1; monitor <= kMonitorsInACell; ++monitor) names.push_back(fmt::format("SR{:02}C-DI-EBPM-{:02}:SA:X", cell, monitor));
  }
  return names;
}

double current_at(absl::Duration since_begin) {
  constexpr double kPeriod = 20, kLifetime = 400, kFull = 300;  // s, s, mA
  const double seconds = absl::ToDoubleSeconds(since_begin);
  return kFull * std::exp(-std::fmod(seconds, kPeriod) / kLifetime) + 0.02 * std::sin(37 * seconds);
}

double position_at(std::size_t monitor, absl::Duration since_begin) {
  constexpr double kTune = 27.2;  // waves around the ring
  const double seconds = absl::ToDoubleSeconds(since_begin);
  const double place = static_cast<double>(monitor) / (kCells * kMonitorsInACell);
  return 0.1 * std::sin(2 * std::numbers::pi * kTune * place + 0.5 * seconds) + 0.05 * std::sin(2 * std::numbers::pi * place - 0.2 * seconds);  // mm
}

Simulation::Simulation()
    : server_("simulation"),
      current_(server_.add<double>(kCurrentName, current_at(absl::ZeroDuration()), {.units = "mA", .precision = 3, .limits = {.low_warning = 290}})) {
  for (const std::string& name : orbit_names()) {
    orbit_.push_back(server_.add<double>(name, position_at(orbit_.size(), absl::ZeroDuration()), {.units = "mm", .precision = 4}));
  }
}

void Simulation::play(const mothreads::Signal& please_stop) {
  const mothreads::Instant begin = mothreads::Clock::current().now();
  for (int step = 0; !please_stop.wait(begin + absl::ToChronoNanoseconds(kStep * step)); ++step) {
    current_.set(current_at(kStep * step));
    for (std::size_t i = 0; i < orbit_.size(); ++i) orbit_[i].set(position_at(i, kStep * step));
  }
}

}  // namespace strip_chart
