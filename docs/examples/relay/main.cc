// relay [--sensors N] [--rate R] [--seconds N] [--fail]
//
// Sensors, each a thread with a rate of its own, send readings through a queue to the fibers of the main thread, which sum them up by the
// second (run.h). On a terminal a table stays in its place; elsewhere there is a line for each sensor and second. With --fail one sensor
// crashes on purpose, and the others go on. Ctrl-C stops all in order.
//
// Messages go to stderr. Exit code: 0; 1 when a sensor failed or the table could not be written; 2 for a wrong command line; 130 after
// Ctrl-C (128 + the signal).

#include <csignal>
#include <cstdio>
#include <optional>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "docs/examples/command_line.h"
#include "docs/examples/relay/run.h"
#include "docs/examples/relay/screen.h"
#include "mothreads/log.h"

namespace {

std::optional<int> parse(int argc, char** argv, relay::Options& options) {
  CLI::App app("Shows what several sensors measure, second by second.", "relay");
  app.add_option("--sensors", options.sensors, "How many there are")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--rate", options.rate, "Readings per second of the first; the second makes twice as many, and so on")
      ->check(CLI::Range(0.01, 1000.0))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Ends after so many")->check(CLI::Range(1, 1'000'000));
  app.add_flag("--fail", options.fail, "The last sensor fails after five readings");
  return examples::parse(app, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  relay::Options options;
  if (const auto code = parse(argc, argv, options)) return *code;

  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of the write, after which all stop in order
  const bool on_terminal = ::isatty(STDOUT_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0;
  relay::Screen screen(stdout, stderr, on_terminal);
  mothreads::log::set_sink([&screen](const mothreads::log::Line& line) { screen.message(line.text); });
  const int code = examples::run([&](const mothreads::Signal&) { return relay::Run(options, screen)(); });
  mothreads::log::set_sink({});
  return code;
}
