#include "docs/examples/hash_tree/run.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "docs/examples/hash_tree/hash_file.h"
#include "docs/examples/hash_tree/scan.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/until.h"

using namespace mothreads;

namespace hash_tree {
namespace {

// Paths and lines change hands in batches, since waking a thread takes as long as hashing a small file. Few files, or what
// comes slowly, or what took long to hash, goes one by one.
constexpr std::size_t kMaxBatch = 64;
constexpr std::uint64_t kEnoughBytes = 4 << 20;

// Adds the calling thread to the list when its function ends.
class NoteEnd {
 public:
  explicit NoteEnd(Queue<std::string>& ended) : ended_(ended) {}
  ~NoteEnd() { ended_.force_add(Thread::current().name()); }
  NoteEnd(const NoteEnd&) = delete;
  NoteEnd& operator=(const NoteEnd&) = delete;

 private:
  Queue<std::string>& ended_;
};

absl::Duration since(Instant begin) { return absl::FromChrono(Clock::current().now() - begin); }

std::size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

}  // namespace

Run::Run(const Options& options)
    : options_(options),
      file_(options.out
                ? ChecksumFile(*options.out, options.resume ? ChecksumFile::Existing::keep : ChecksumFile::Existing::replace)
                : ChecksumFile()) {}

int Run::operator()(const Signal& please_stop) {
  if (options_.resume) done_ = file_.read_paths(please_stop);
  {
    auto writer = Thread::run("writer", &Run::write, this);
    const absl::Cleanup end_writer = [this] { lines_.close(); };  // also when something below throws
    ThreadGroup workers({.name = "workers", .fail_fast = true});
    for (unsigned i = 1; i <= options_.workers; ++i) workers.run(fmt::format("worker {}", i), &Run::work, this);
    auto scanner = Thread::run("scanner", &Run::scan, this);
    auto progress = Thread::run("progress", &Run::show, this);

    scanner.join();
    paths_.close();
    workers.join();
    lines_.close();
    writer.join();
    progress.stop().join();
  }
  // Those below are told before the main thread itself: they may all have ended before its own please_stop goes. A request from now on
  // comes too late to change anything.
  const bool was_stopped = MainThread::please_stop() || MainThread::stop_signal() != 0;
  summarise(was_stopped);
  if (const int signal = MainThread::stop_signal(); was_stopped && signal != 0) return 128 + signal;
  return failed_to_write_ || progress_.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

void Run::scan(Signal please_stop) {
  const NoteEnd note(ended_);
  Paths batch;
  std::size_t found_files = 0;
  walk(options_.directory, [&](Found found) {
    if (please_stop) return false;
    if (found.error != 0) {
      report(fmt::format("{}: {}", escaped(found.path), std::generic_category().message(found.error)));
    } else if (found.type != S_IFREG) {
      report(fmt::format("{}: is a {}, not a regular file", escaped(found.path), name_of_file_type(found.type)));
    } else if (is_done_already(found.path)) {
      ++progress_.skipped;
    } else {
      batch.push_back(std::move(found.path));
      // A small part of all, so that the last files are shared out among the workers, too.
      const std::size_t enough = std::clamp<std::size_t>(++found_files / kMaxBatch, 1, kMaxBatch);
      if (batch.size() >= enough || paths_.empty())
        return static_cast<bool>(paths_.add(std::exchange(batch, {}), please_stop));
    }
    return true;
  });
  if (!batch.empty()) static_cast<void>(paths_.add(std::move(batch), please_stop));
}

void Run::work(Signal please_stop) {
  const NoteEnd note(ended_);
  FileHasher hasher(file_.id());
  std::string lines;
  std::uint64_t bytes_since = 0;
  // Waits for room even when asked to stop: the writer goes on until all have ended. False when it cannot write any more.
  const auto hand_over = [&] {
    bytes_since = 0;
    return lines.empty() || lines_.add(std::exchange(lines, {}), NEVER);
  };
  const auto on_block = [&](std::size_t bytes) {
    progress_.bytes.fetch_add(bytes, std::memory_order_relaxed);
    bytes_since += bytes;
    if (bytes_since >= kEnoughBytes && !hand_over()) return false;
    return !please_stop;
  };
  while (const auto batch = paths_.pop(please_stop)) {
    for (const std::string& path : *batch) {
      if (please_stop) break;
      try {
        if (const auto digest = hasher.hash(path, on_block)) append_checksum_line(lines, *digest, path);
      } catch (const std::runtime_error& problem) {
        report(problem.what());
      }
    }
    if (!hand_over()) return;
  }
}

void Run::write(Signal please_stop) {
  const NoteEnd note(ended_);
  try {
    for (const std::string& lines : lines_)
      file_.write(lines, please_stop);  // until it is closed, to write all that is complete
    file_.close();
  } catch (const std::exception& problem) {
    log::error("{}", problem.what());
    failed_to_write_ = true;
    lines_.close();  // nobody shall wait for room
    MainThread::stop();
  }
}

void Run::show(Signal please_stop) {
  const NoteEnd note(ended_);
  if (!::isatty(STDERR_FILENO)) {
    while (!please_stop.wait(absl::Seconds(5))) log::info("{}", describe(progress_, file_.lines_written(), since(begin_)));
    return;
  }
  const auto counter = Thread::run("counter", &Run::count, this);
  while (!please_stop.wait(absl::Milliseconds(100))) {
    fmt::print(stderr, "\r\x1b[K{}", bar(progress_, file_.lines_written(), since(begin_), terminal_columns()));
  }
  fmt::print(stderr, "\r\x1b[K");
}

// The time left needs the size of everything, which the scanner, kept back by its queue, learns too late.
void Run::count(Signal please_stop) {
  const NoteEnd note(ended_);
  walk(options_.directory, [&](const Found& found) {
    struct stat status {};
    if (found.type == S_IFREG && !is_done_already(found.path) && ::lstat(found.path.c_str(), &status) == 0) {
      progress_.total_bytes.fetch_add(static_cast<std::uint64_t>(status.st_size), std::memory_order_relaxed);
    }
    return !please_stop;
  });
  if (!please_stop) progress_.total_is_known.store(true, std::memory_order_release);
}

void Run::report(const std::string& problem) {
  ++progress_.failed;
  log::error("{}", problem);
}

void Run::summarise(bool was_stopped) {
  std::string text = describe(progress_, file_.lines_written(), since(begin_));
  if (progress_.skipped > 0) text += fmt::format(", {} were there already", progress_.skipped.load());
  if (was_stopped) {
    text = fmt::format("stopped after {}; ended in this order: {}", text, fmt::join(ended_.pop_all(), ", "));
    if (options_.out && !failed_to_write_) text += "; go on with --resume";
  }
  log::info("{}", text);
}

}  // namespace hash_tree
