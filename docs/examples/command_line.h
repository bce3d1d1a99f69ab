#pragma once

// The common part of the commands among the examples: how they say what is wrong, and with which code they end.

#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"

namespace examples {

inline constexpr int kExitUsage = 2;

// Fills in the options of `app`. Where there is nothing to run it says why, or explains the command, and gives the exit code.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return std::nullopt;
}

// Runs the whole command, f(please_stop), which gives the exit code. An exception that leaves it is logged.
template <typename F>
int run(F&& f) {
  return mothreads::MainThread::run([&f](mothreads::Signal please_stop) {
    try {
      return f(std::move(please_stop));
    } catch (const std::exception& problem) {
      mothreads::log::error("{}", problem.what());
      return EXIT_FAILURE;
    }
  });
}

}  // namespace examples
