// hash_tree [--workers N] [--out FILE] [--resume] DIR
//
// Writes the SHA-256 of every file in a tree, as lines that `sha256sum -c` checks. A scanner, a few workers and a writer
// share the work (run.h). Ctrl-C ends it within a second, with every line that was written complete and correct, and
// --resume goes on from there.
//
// Files that cannot be read, and what is no file, are reported on stderr and counted. Exit code: 0; 1 when some file failed
// or the lines could not be written; 2 for a wrong command line; 130 after Ctrl-C (128 + the signal).

#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "docs/examples/command_line.h"
#include "docs/examples/hash_tree/run.h"
#include "mothreads/log.h"

namespace {

std::optional<int> parse(int argc, char** argv, hash_tree::Options& options) {
  CLI::App app("Writes the SHA-256 of every file below DIR, as lines that `sha256sum -c` checks.", "hash_tree");
  app.add_option("--workers", options.workers, "Threads that hash")->check(CLI::Range(1, 1024))->capture_default_str();
  auto* out = app.add_option("--out", options.out, "File for the lines, instead of standard output");
  app.add_flag("--resume", options.resume, "Keep the lines that FILE has, and skip the paths that they name")->needs(out);
  app.add_option("DIR", options.directory, "The tree; it is named in the lines as it is here")
      ->required()
      ->check(CLI::ExistingDirectory);
  return examples::parse(app, argc, argv);
}

// Messages like those of other commands, each in place of the progress bar where there is one.
void log_like_a_command() {
  const char* begin = ::isatty(STDERR_FILENO) ? "\r\x1b[K" : "";
  mothreads::log::set_sink([begin](const mothreads::log::Line& line) {
    const std::string text = std::string(begin) + "hash_tree: " + line.text + "\n";
    std::fputs(text.c_str(), stderr);
  });
}

}  // namespace

int main(int argc, char** argv) {
  hash_tree::Options options;
  if (const auto code = parse(argc, argv, options)) return *code;

  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of write(), after which the threads stop in order
  log_like_a_command();
  return examples::run([&options](const mothreads::Signal& please_stop) { return hash_tree::Run(options)(please_stop); });
}
