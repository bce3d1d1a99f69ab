// camonitor [-m MASK] [-n] [-# COUNT] [-a] [-x] PV...
//
// Prints each change of process variables, with its time and alarm, until Ctrl-C. MASK is of v (value), l (log), a (alarm), p (property). Exit code: 0; 1 when
// stdout could not be written; 2 for a wrong command line.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/error.h"
#include "docs/examples/catools/print.h"
#include "docs/examples/command_line.h"

namespace ca = catools;

namespace {

struct Options {
  std::vector<std::string> names;
  std::string mask;
  bool numbers = false;
  std::size_t count = 0;
  bool all = false;
  bool disconnects = false;
};

std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app("Prints each change of process variables.", "camonitor");
  const CLI::Validator letters([](std::string& text) { return text.find_first_not_of("vlap") == std::string::npos ? "" : "a mask is of the letters v, l, a and p"; }, "MASK");
  app.add_option("-m", options.mask, "Which changes: v, l, a, p")->check(letters);
  app.add_flag("-n", options.numbers, "Prints enumerations as numbers");
  app.add_option("-#", options.count, "So many elements of an array");
  app.add_flag("-a", options.all, "Prints every change; else of those that come faster than they are printed the last");
  app.add_flag("-x", options.disconnects, "Says when a server has gone");
  app.add_option("pv", options.names, "The names")->required();
  return examples::parse(app, argc, argv);
}

std::optional<ca::Events> events(std::string_view mask) {
  std::optional<ca::Events> all;
  for (const char letter : mask) {
    const ca::Events one = letter == 'v' ? ca::Events::value : letter == 'l' ? ca::Events::archive : letter == 'a' ? ca::Events::alarm : ca::Events::property;
    all = all ? *all | one : one;
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto code = parse(argc, argv, options)) return *code;
  std::signal(SIGPIPE, SIG_IGN);
  return examples::run([&](const mothreads::Signal& please_stop) {
    bool failed = false;
    std::map<std::string, std::vector<std::string>> texts;  // of enumerations
    const auto texts_of = [&](const ca::Value& value) -> const std::vector<std::string>& {
      const auto [place, is_new] = texts.try_emplace(value.name());
      if (is_new && !options.numbers && value.ok() && value.type() == ca::Type::enumeration) {
        const auto reply = ca::caget_each({value.name()}, {.format = ca::Format::control}, please_stop | ca::kDefaultLimit);
        if (reply.front() && reply.front()->control() != nullptr) place->second = reply.front()->control()->texts;
      }
      return place->second;
    };
    const auto watch = ca::camonitor(
        options.names,
        [&](const ca::Value& value) {
          const std::string text = value.ok() ? tools::time_of(value) + " " + tools::text_of(value, texts_of(value)) + tools::alarm_of(value) : "*** " + value.error().text();
          std::printf("%s\n", tools::line_of(value.name(), text).c_str());
          if (std::fflush(stdout) == 0) return;
          failed = true;
          mothreads::MainThread::stop();  // whoever read it has gone
        },
        {.format = ca::Format::time,
         .count = options.count,
         .events = events(options.mask),
         .all_updates = options.all,
         .notify_disconnect = options.disconnects});
    please_stop.wait();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
  });
}
