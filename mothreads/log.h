#pragma once

// The library's log, and the program's if it likes: central, asynchronous, in order per thread.
//
// A line is formatted by its caller and written by the log's own thread. It carries the name of the thread or fiber that
// logged it and the extras in force there. Nothing is lost: a caller that finds 100,000 lines waiting blocks its OS thread
// until the log has caught up. MainThread::run flushes and ends the log's thread when it ends; afterwards each line is
// written by whoever logs it. A child of fork() has a log of its own, with the same sink and files: what waits in the parent at the fork() is
// written there.
//
// What stderr and the files get is one record for each line, whatever is in it: control characters, and bytes that are no UTF-8, become \n,
// \t, \x1b. Only in the text a newline stays one; the line behind it begins with "    | ", which no record does. A value of an extra with
// spaces is quoted. Sinks get everything as it was logged.
//
// Name names one by one (`using mothreads::Signal;`), and write mothreads::log::info(): in a file with `using namespace mothreads;` a bare
// log(2.0) may mean this namespace or the C library's function, and does not compile. std::log(2.0) always does.
//
// Thread safety: every function may be called from any thread or fiber.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace mothreads::inline v0::log {

enum class Level : std::uint8_t { debug, info, warning, error, critical };

// Lines below it are not formatted. Default info.
void set_level(Level level);
bool is_on(Level level) noexcept;

void write(Level level, std::string text);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (is_on(Level::debug)) write(Level::debug, fmt::vformat(format, fmt::make_format_args(args...)));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (is_on(Level::info)) write(Level::info, fmt::vformat(format, fmt::make_format_args(args...)));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (is_on(Level::warning)) write(Level::warning, fmt::vformat(format, fmt::make_format_args(args...)));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (is_on(Level::error)) write(Level::error, fmt::vformat(format, fmt::make_format_args(args...)));
}
template <typename... Args>
void critical(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::critical, fmt::vformat(format, fmt::make_format_args(args...)));
}

// The pairs in force, the innermost last.
using Extras = std::vector<std::pair<std::string, std::string>>;
std::string to_string(const Extras& extras);  // key=value key="a value with spaces"

// What a line says, as a sink gets it.
struct Line {
  Level level;
  std::int64_t unix_nanoseconds;
  std::string context;  // the name of the thread or fiber
  Extras extras;
  std::string text;
};

// Where lines go: by default to stderr, one line each. The function is called by one thread at a time, with nothing of the
// library held; it should not throw, and what it throws is reported on stderr. An empty function restores the default.
void set_sink(std::function<void(const Line&)> sink);

// One more sink, beside where lines go already, while it lives. Once its destructor returns the function is never called again. So it blocks while
// another thread is inside; destroyed within a sink, also its own, it does not wait. Made in the parent of a fork(), it goes on in the child, too.
class [[nodiscard]] AddedSink {
 public:
  AddedSink() = default;  // none
  AddedSink(AddedSink&&) noexcept = default;
  AddedSink& operator=(AddedSink&& other) noexcept {
    AddedSink before(std::move(*this));
    function_ = std::move(other.function_);
    return *this;
  }
  ~AddedSink();

  struct Function;  // for the library

 private:
  friend AddedSink add_sink(std::function<void(const Line&)> sink);
  explicit AddedSink(std::shared_ptr<Function> function) : function_(std::move(function)) {}
  std::shared_ptr<Function> function_;
};
// The function as set_sink()'s. Gets what is logged from now on. Throws Misuse for an empty function.
AddedSink add_sink(std::function<void(const Line&)> sink);

// For set_sink() and add_sink(): each line is one of JSON, appended to the file, or written to stderr for an empty path.
//     {"time":"2026-03-29T10:00:00.123456789Z","level":"info","context":"main","text":"it's\nhere","extras":{"client":"17"}}
// Throws std::runtime_error, naming the file, when it cannot be opened.
std::function<void(const Line&)> json_lines(const std::string& path = {});

// Appends to a file as well, or instead of stderr. Each call adds a file. Throws std::runtime_error, naming the file, when it cannot be opened.
enum class ToStderr : bool { no, yes };
void to_file(const std::string& path, ToStderr to_stderr = ToStderr::yes);

// Blocks until everything logged before the call is written.
void flush();

// Adds "key=value" to the lines of the calling thread or fiber within a scope. Threads and fibers started inside it inherit
// a copy; what they add does not come back.
class [[nodiscard]] Extra {
 public:
  [[nodiscard]] Extra(std::string_view key, std::string_view value);
  ~Extra();
  Extra(const Extra&) = delete;
  Extra& operator=(const Extra&) = delete;

 private:
  std::shared_ptr<const Extras> before_;
};

// What an exception says, with those nested in it: "outer: inner"; its type where it is no std::exception.
std::string describe(const std::exception_ptr& exception);

}  // namespace mothreads::log
