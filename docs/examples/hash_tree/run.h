#pragma once

// One run of hash_tree:
//
//     scanner --(paths)--> workers --(lines)--> writer          progress looks on
//
// It ends from the left: who produces ends, its queue is closed, who consumes takes what is left and ends. A stop request
// reaches scanner and workers at once, workers leave the file they are at; the writer only ends when its queue is closed.

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "docs/examples/hash_tree/checksum_file.h"
#include "docs/examples/hash_tree/progress.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"

namespace hash_tree {

struct Options {
  std::string directory;
  unsigned workers = std::max(1u, std::thread::hardware_concurrency());
  std::optional<std::string> out;  // default standard output
  bool resume = false;
};

class Run {
 public:
  // Opens what it writes to, and throws when that fails.
  explicit Run(const Options& options);

  // The program's exit code.
  int operator()(const mothreads::Signal& please_stop);

 private:
  using Paths = std::vector<std::string>;  // those that a worker takes at once

  // Each is the function of a thread.
  void scan(mothreads::Signal please_stop);
  void work(mothreads::Signal please_stop);
  void write(mothreads::Signal please_stop);
  void show(mothreads::Signal please_stop);
  void count(mothreads::Signal please_stop);

  bool is_done_already(const std::string& path) const { return done_.contains(path); }
  void report(const std::string& problem);
  void summarise(bool was_stopped);

  const Options options_;
  const mothreads::Instant begin_ = mothreads::Clock::current().now();
  ChecksumFile file_;
  std::unordered_set<std::string> done_;  // paths that the file had already; fixed before there are threads
  Progress progress_;
  mothreads::Queue<Paths> paths_{"paths to hash", {.max = 64, .silent = true}};
  mothreads::Queue<std::string> lines_{"lines to write", {.max = 64, .silent = true}};
  mothreads::Queue<std::string> ended_{"threads that ended"};
  bool failed_to_write_ = false;  // the writer's, read when it has ended
};

}  // namespace hash_tree
