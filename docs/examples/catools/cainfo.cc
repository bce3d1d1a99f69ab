// cainfo [-w SECONDS] PV...
//
// Prints what is known of the channels of process variables. Exit code: 0; 1 when one of them is not connected; 2 for a wrong command line.

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "catools/connect.h"
#include "docs/examples/catools/print.h"
#include "docs/examples/command_line.h"

namespace ca = catools;

int main(int argc, char** argv) {
  std::vector<std::string> names;
  double limit = 1;
  CLI::App app("Prints what is known of the channels of process variables.", "cainfo");
  app.add_option("-w", limit, "Waits so many seconds")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("pv", names, "The names")->required();
  if (const auto code = examples::parse(app, argc, argv)) return *code;
  return examples::run([&](const mothreads::Signal& please_stop) {
    bool failed = false;
    for (const ca::Reply<ca::Info>& reply : ca::cainfo_each(names, please_stop | absl::Seconds(limit))) {
      if (reply) {
        std::printf("%s", to_string(*reply).c_str());
      } else {
        std::fprintf(stderr, "%s\n", reply.error().what());
        failed = true;
      }
    }
    return tools::finished(failed);
  });
}
