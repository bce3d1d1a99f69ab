// plugins [--device FIFO] [--stop-seconds S] MODULE...
//
// Loads modules, each with threads and fibers of its own below the program's (host.h). "stop NAME" on standard input stops one plugin, which
// is unloaded when it has ended; Ctrl-C stops all. A plugin that has not stopped in time is reported with its stack and marked lost, and the
// others go on; its module stays loaded, until it ends after all. The first plugin is given the FIFO; the ticker reads it as it stops, and is
// stuck until somebody writes there. One that has fibers is given kUnwindGrace (mothreads/stopping.h) beyond S. `plugins_static` is the same
// program with the plugins built in: there MODULE is ticker, or adder.
//
// Messages go to stderr. Exit code: 0 when all have ended, also after Ctrl-C; 1 when a plugin failed or was lost, or a module cannot be
// loaded; 2 for a wrong command line.

#include <cstdio>
#include <optional>

#include <CLI/CLI.hpp>

#include "docs/examples/command_line.h"
#include "docs/examples/plugins/host.h"
#include "mothreads/log.h"

namespace {

std::optional<int> parse(int argc, char** argv, plugins::Options& options) {
  CLI::App app("Runs plugins, and survives one that gets stuck.", "plugins");
  app.add_option("--device", options.device, "A FIFO for the first plugin");
  app.add_option("--stop-seconds", options.stop_seconds, "By when a plugin must have stopped")->check(CLI::Range(0.0, 1e6))->capture_default_str();
  app.add_option("MODULE", options.modules, "The files of the plugins")->required();
  return examples::parse(app, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  plugins::Options options;
  if (const auto code = parse(argc, argv, options)) return *code;

  mothreads::log::set_sink([](const mothreads::log::Line& line) { std::fputs(("plugins: " + line.text + "\n").c_str(), stderr); });
  return examples::run([&options](const mothreads::Signal&) { return plugins::Host(options)(); });
}
