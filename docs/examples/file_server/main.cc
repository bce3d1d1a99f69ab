// file_server [--address IP] [--port PORT] [--cert FILE --key FILE] [--threads N] [--throttle BYTES] [--quiet] DIR
//
// Serves the files below DIR over HTTP, or HTTPS with a certificate, one scheduler for each processor. Each request has a line in the log, when its
// response has gone or was cut short.
// Ctrl-C drains: no more connections are taken, what is being sent is sent, and then it ends.
//
// Exit code: 0, also after Ctrl-C; 1 when it could not serve; 2 for a wrong command line.

#include <cstdio>
#include <optional>

#include <CLI/CLI.hpp>

#include "docs/examples/command_line.h"
#include "docs/examples/file_server/run.h"

namespace {

std::optional<int> parse(int argc, char** argv, file_server::Options& options) {
  CLI::App app("Serves the files below DIR over HTTP.", "file_server");
  app.add_option("--address", options.ip, "The address to listen at; others than 127.0.0.1 are open to others")->capture_default_str();
  app.add_option("--port", options.port, "0 for any; it is printed")->capture_default_str();
  auto* cert = app.add_option("--cert", options.certificates, "PEM file with the certificates, for HTTPS")->check(CLI::ExistingFile);
  auto* key = app.add_option("--key", options.key, "PEM file with the key")->check(CLI::ExistingFile);
  cert->needs(key);
  key->needs(cert);
  app.add_option("--threads", options.threads, "Schedulers")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--throttle", options.bytes_per_second, "So many bytes a second for each connection")->check(CLI::PositiveNumber);
  app.add_flag("--quiet", options.is_quiet, "No line for each request");
  app.add_option("DIR", options.directory)->required()->check(CLI::ExistingDirectory);
  return examples::parse(app, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  file_server::Options options;
  if (const auto code = parse(argc, argv, options)) return *code;
  return examples::run([&options](const mothreads::Signal& please_stop) {
    file_server::run(options, please_stop, [](const std::string& url) {
      std::printf("%s\n", url.c_str());
      std::fflush(stdout);
    });
    return 0;
  });
}
