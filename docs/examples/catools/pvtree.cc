// pvtree [-w SECONDS] [-m] [-q] [-c] PV...
//
// Prints where a record gets its values from: the record, and below it those of its input links, with their values and alarms. A link that passes no severity is marked
// NMS (-m leaves that out), a record that was shown already is not shown again. -q leaves out links that are constants or hardware. -c marks alarms by colour; by
// default on a terminal that has colours.
//
// Exit code: 0; 1 when a record is not there; 2 for a wrong command line.

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "catools/caget.h"
#include "docs/examples/catools/link_tree.h"
#include "docs/examples/catools/print.h"
#include "docs/examples/command_line.h"

namespace ca = catools;

namespace {

struct Options {
  std::vector<std::string> names;
  double limit = 1;  // s
  bool no_mark = false;
  bool quiet = false;
  bool colour = false;
};

std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app("Prints where a record gets its values from.", "pvtree");
  app.add_option("-w", options.limit, "Waits so many seconds for a record")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("-m", options.no_mark, "Does not mark links without MS");
  app.add_flag("-q", options.quiet, "Leaves out constants and hardware");
  app.add_flag("-c", options.colour, "Marks alarms by colour");
  app.add_option("pv", options.names, "The names")->required();
  return examples::parse(app, argc, argv);
}

class Tree {
 public:
  Tree(const Options& options, const mothreads::Signal& please_stop) : options_(options), please_stop_(please_stop) {}

  void print(const std::string& name, std::size_t depth, std::string_view how);
  bool failed() const { return failed_; }

 private:
  std::vector<ca::Reply<std::string>> get(const std::string& record, const std::vector<std::string>& fields) {
    std::vector<std::string> names;
    for (const std::string& field : fields) names.push_back(record + "." + field);
    return ca::caget_each<std::string>(names, please_stop_ | absl::Seconds(options_.limit));
  }
  void say(std::size_t depth, const std::string& text) const { std::printf("%*s%s\n", static_cast<int>(2 * depth), "", text.c_str()); }
  std::string alarm(const std::string& severity, const std::string& status) const {
    if (severity == "NO_ALARM") return "";
    const std::string text = " " + severity + "/" + status;
    if (!options_.colour) return text;
    return (severity == "MINOR" ? "\x1b[33m" : "\x1b[31m") + text + "\x1b[0m";
  }

  const Options& options_;
  const mothreads::Signal& please_stop_;
  std::set<std::string> shown_;
  bool failed_ = false;
};

void Tree::print(const std::string& name, std::size_t depth, std::string_view how) {
  const std::string record = tools::record_of(name);
  if (!shown_.insert(record).second) return say(depth, name + std::string(how) + " (above)");
  const auto about = get(record, {"RTYP", "VAL", "SEVR", "STAT"});
  if (!about[0] || !about[2] || !about[3]) {
    say(depth, name + std::string(how) + " (not there)");
    failed_ = true;
    return;
  }
  const std::string value = about[1] ? " " + *about[1] : "";
  say(depth, name + std::string(how) + " (" + *about[0] + ")" + value + alarm(*about[2], *about[3]));
  const std::vector<std::string> fields = tools::link_fields(*about[0]);
  const auto links = get(record, fields);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!links[i]) continue;  // this version of the record type has no such field
    const tools::Link link = tools::parse_link(*links[i]);
    if (!link.target.empty()) {
      print(link.target, depth + 1, " <- " + fields[i] + (link.passes_severity || options_.no_mark ? "" : " NMS"));
    } else if (!options_.quiet && !link.text.empty()) {
      say(depth + 1, fields[i] + " = " + link.text);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto code = parse(argc, argv, options)) return *code;
  const char* const terminal = std::getenv("TERM");
  if (::isatty(STDOUT_FILENO) != 0 && terminal != nullptr && std::string_view(terminal) != "dumb") options.colour = true;
  return examples::run([&](const mothreads::Signal& please_stop) {
    Tree tree(options, please_stop);
    for (const std::string& name : options.names) tree.print(name, 0, "");
    return tools::finished(tree.failed());
  });
}
