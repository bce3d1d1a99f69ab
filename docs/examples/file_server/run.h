#pragma once

// A server of files on every processor.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "mothreads/signal.h"

namespace file_server {

struct Options {
  std::string directory;
  std::string ip = "127.0.0.1";
  std::uint16_t port = 8080;
  std::string certificates;  // paths of PEM files; empty for HTTP without TLS
  std::string key;
  unsigned threads = std::thread::hardware_concurrency();
  std::optional<std::uint64_t> bytes_per_second;  // of each connection
  bool is_quiet = false;
};

// Serves until please_stop goes, and then until all that is under way has been answered, or its time is over. Calls `listens` with the URL
// once all threads listen. Throws when it cannot listen, or cannot read what the options name.
void run(const Options& options, const mothreads::Signal& please_stop, const std::function<void(const std::string& url)>& listens);

}  // namespace file_server
