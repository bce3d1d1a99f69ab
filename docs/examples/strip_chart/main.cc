// strip_chart [--pv NAME...] [--profile NAME...] [--record FILE] [--port PORT] [--window SECONDS] [--seconds N]
//
// Follows process variables of EPICS and draws the last minute of each: in the terminal, and as a page (--port). Without names a simulation in the
// program plays a beam current and the orbit of 168 beam position monitors. --record writes every update to a file. Ctrl-C ends it in order.
//
// Messages go to stderr; on a terminal they stand below the chart. Exit code: 0; 1 when a variable has no number or something could not be written; 2 for a
// wrong command line.

#include <csignal>
#include <cstdio>
#include <optional>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "catools/use_servers.h"
#include "cooperative/fiber.h"
#include "docs/examples/command_line.h"
#include "docs/examples/strip_chart/run.h"
#include "docs/examples/strip_chart/screen.h"
#include "docs/examples/strip_chart/simulation.h"
#include "mothreads/log.h"

namespace {

std::optional<int> parse(int argc, char** argv, strip_chart::Options& options) {
  CLI::App app("Draws the last minute of process variables.", "strip_chart");
  app.add_option("--pv", options.strips, "Each is drawn over time");
  app.add_option("--profile", options.profile, "Their last values are drawn beside each other");
  app.add_option("--record", options.record, "A file for every update: time,name,value,severity");
  app.add_option("--port", options.port, "Serves the chart as a page on the loopback interface; 0 for any port");
  app.add_option("--window", options.window, "So many seconds are shown")->check(CLI::Range(1, 3600))->capture_default_str();
  app.add_option("--seconds", options.seconds, "Ends after so many")->check(CLI::Range(1, 1'000'000));
  return examples::parse(app, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  strip_chart::Options options;
  if (const auto code = parse(argc, argv, options)) return *code;

  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of the write, after which all stop in order
  strip_chart::Screen screen(stdout, ::isatty(STDOUT_FILENO) != 0);
  mothreads::log::set_sink([&screen](const mothreads::log::Line& line) { screen.message(line.text); });
  const int code = examples::run([&](const mothreads::Signal& please_stop) {
    if (!options.strips.empty() || !options.profile.empty()) return strip_chart::Run(options, screen)(please_stop);
    strip_chart::Simulation simulation;
    catools::use_servers({simulation.address()});
    options.strips = {strip_chart::kCurrentName};
    options.profile = strip_chart::orbit_names();
    auto player = cooperative::spawn("player", &strip_chart::Simulation::play, &simulation);
    return strip_chart::Run(options, screen)(please_stop);
  });
  mothreads::log::set_sink({});
  return code;
}
