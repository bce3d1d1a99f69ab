// caput [-w SECONDS] [-c] [-t] [-a] PV VALUE...
//
// Writes a value, or with -a an array, and prints the values of before and after. With -c it waits until the server has done all that the value sets off.
// Exit code: 0; 1 when it could not be written; 2 for a wrong command line.

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "catools/caget.h"
#include "catools/caput.h"
#include "catools/error.h"
#include "docs/examples/catools/print.h"
#include "docs/examples/command_line.h"

namespace ca = catools;

namespace {

struct Options {
  std::string name;
  std::vector<std::string> values;
  double limit = 1;  // s
  bool wait = false;
  bool terse = false;
  bool is_array = false;
};

std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app("Writes a value into a process variable.", "caput");
  app.add_option("-w", options.limit, "Waits so many seconds")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("-c", options.wait, "Waits until the server has done all of it");
  app.add_flag("-t", options.terse, "Prints the new value alone");
  app.add_flag("-a", options.is_array, "Writes the values as an array");
  app.add_option("pv", options.name, "The name")->required();
  app.add_option("value", options.values, "What is written; numbers may begin with a minus behind --")->required();
  return examples::parse(app, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto code = parse(argc, argv, options)) return *code;
  if (!options.is_array && options.values.size() > 1) {
    std::fprintf(stderr, "caput: %s gets one value; -a writes an array\n", options.name.c_str());
    return examples::kExitUsage;
  }
  return examples::run([&](const mothreads::Signal& please_stop) {
    const auto until = please_stop | absl::Seconds(options.limit);
    // As text, as everywhere here: the server converts it.
    const auto print = [&](const char* when) {
      const std::string text = tools::text_of(ca::caget(options.name, {.datatype = ca::Type::string}, until));
      if (!options.terse) std::printf("%s : %s\n", when, tools::line_of(options.name, text).c_str());
      return text;
    };
    try {
      if (!options.terse) print("Old");
      if (options.is_array) {
        ca::caput(options.name, options.values, {.wait = options.wait}, until);
      } else {
        ca::caput(options.name, options.values.front(), {.wait = options.wait}, until);
      }
      const std::string text = print("New");
      if (options.terse) std::printf("%s\n", text.c_str());
    } catch (const ca::Error& problem) {
      std::fprintf(stderr, "%s\n", problem.what());
      return EXIT_FAILURE;
    }
    return tools::finished(false);
  });
}
