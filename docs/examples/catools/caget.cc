// caget [-w SECONDS] [-t | -a] [-n] [-d TYPE] [-# COUNT] PV...
//
// Prints the values of process variables, all asked for at once. Exit code: 0; 1 when one of them could not be had, or stdout not be written; 2 for a wrong command line.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "catools/caget.h"
#include "catools/connect.h"
#include "docs/examples/catools/print.h"
#include "docs/examples/command_line.h"

namespace ca = catools;

namespace {

struct Options {
  std::vector<std::string> names;
  double limit = 1;  // s
  bool terse = false;
  bool with_time = false;
  bool numbers = false;  // of enumerations
  std::optional<ca::Type> type = {};
  std::size_t count = 0;
};

std::optional<int> parse(int argc, char** argv, Options& options) {
  const std::map<std::string, ca::Type> types{{"string", ca::Type::string}, {"short", ca::Type::int16},  {"float", ca::Type::float32}, {"enum", ca::Type::enumeration},
                                              {"char", ca::Type::uint8},    {"long", ca::Type::int32}, {"double", ca::Type::float64}};
  CLI::App app("Prints the values of process variables.", "caget");
  app.add_option("-w", options.limit, "Waits so many seconds")->check(CLI::PositiveNumber)->capture_default_str();
  auto* const terse = app.add_flag("-t", options.terse, "Prints the value alone");
  app.add_flag("-a", options.with_time, "Prints the time and the alarm, too")->excludes(terse);
  app.add_flag("-n", options.numbers, "Prints enumerations as numbers");
  app.add_option("-d", options.type, "Asks for this type: string, short, float, enum, char, long, double")->transform(CLI::CheckedTransformer(types));
  app.add_option("-#", options.count, "So many elements of an array");
  app.add_option("pv", options.names, "The names")->required();
  return examples::parse(app, argc, argv);
}

// Enumerations are asked for as text, if they are not wanted as numbers. Their types are known once they are connected.
std::vector<ca::Reply<ca::Value>> get(const Options& options, const mothreads::Until& until) {
  ca::GetOptions get{.datatype = options.type, .format = options.with_time ? ca::Format::time : ca::Format::raw, .count = options.count};
  if (options.type || options.numbers) return ca::caget_each(options.names, get, until);
  const auto infos = ca::cainfo_each(options.names, until);
  std::vector<std::string> texts, others;
  for (const auto& info : infos) (info && info->type == ca::Type::enumeration ? texts : others).push_back(info.name());
  auto of_others = ca::caget_each(others, get, until);
  get.datatype = ca::Type::string;
  auto of_texts = ca::caget_each(texts, get, until);
  std::vector<ca::Reply<ca::Value>> all;
  std::size_t other = 0, text = 0;
  for (const auto& info : infos) all.push_back(std::move(info && info->type == ca::Type::enumeration ? of_texts[text++] : of_others[other++]));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto code = parse(argc, argv, options)) return *code;
  return examples::run([&](const mothreads::Signal& please_stop) {
    bool failed = false;
    for (const ca::Reply<ca::Value>& reply : get(options, please_stop | absl::Seconds(options.limit))) {
      if (!reply) {
        std::fprintf(stderr, "%s\n", reply.error().what());
        failed = true;
        continue;
      }
      std::string text = tools::text_of(*reply);
      if (options.with_time) text = tools::time_of(*reply) + " " + text + tools::alarm_of(*reply);
      std::printf("%s\n", options.terse ? text.c_str() : tools::line_of(reply.name(), text).c_str());
    }
    return tools::finished(failed);
  });
}
