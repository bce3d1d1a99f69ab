#pragma once

// What plays the machine where there is none: a server in the process with a beam current and the orbit of 168 beam position monitors.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "catools/server/server.h"
#include "cooperative/io/address.h"
#include "mothreads/signal.h"

namespace strip_chart {

inline constexpr const char* kCurrentName = "SR-DI-DCCT-01:SIGNAL";

// "SR01C-DI-EBPM-01:SA:X" and so on: seven in each of 24 cells.
std::vector<std::string> orbit_names();

// So long after the begin. The current decays, and is filled up every 20 s.
double current_at(absl::Duration since_begin);
double position_at(std::size_t monitor, absl::Duration since_begin);

class Simulation {
 public:
  Simulation();

  const cooperative::Address& address() const { return server_.address(); }

  // Sets all of them ten times a second, until the Signal goes.
  void play(const mothreads::Signal& please_stop);

 private:
  catools::Server server_;
  catools::Served<double> current_;
  std::vector<catools::Served<double>> orbit_;
};

}  // namespace strip_chart
