#include "mothreads/internal/log_outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <new>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "absl/base/thread_annotations.h"
#include "mothreads/contexts/fork.h"
#include "mothreads/contexts/printable.h"
#include "mothreads/contexts/tiny_mutex.h"

namespace mothreads::log {
namespace {

using internal::ForkPart;
using internal::Newlines;
using internal::append_printable;

constexpr std::array<std::string_view, 5> kLevels{"debug", "info", "warning", "error", "critical"};
constexpr std::array<std::string_view, 5> kColours{"\033[36m", "\033[32m", "\033[33m\033[1m", "\033[31m\033[1m", "\033[1m\033[41m"};
constexpr std::string_view kNoColour = "\033[m";

bool shows_colours() {
  const char* const terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

// What local time is ahead of UTC. The C library has a lock of its own around its time zone, which is never held at a fork() by this.
class Zone {
 public:
  std::int64_t seconds_ahead(std::int64_t unix_seconds) {
    const internal::TinyLock lock(mutex_);
    constexpr std::int64_t kQuarter = 900;  // zones change at quarters of an hour
    if (const std::int64_t quarter = unix_seconds / kQuarter; quarter != quarter_) {
      const auto time = static_cast<time_t>(unix_seconds);
      std::tm local{};
      localtime_r(&time, &local);
      ahead_ = local.tm_gmtoff;
      quarter_ = quarter;
    }
    return ahead_;
  }
  void hold() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void leave() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }
  void make_anew() noexcept { new (&mutex_) internal::TinyMutex; }

 private:
  internal::TinyMutex mutex_;
  std::int64_t quarter_ ABSL_GUARDED_BY(mutex_) = -1;
  std::int64_t ahead_ ABSL_GUARDED_BY(mutex_) = 0;
};

constinit Zone zone;
constinit ForkPart part{
    .prepare = []() noexcept { zone.hold(); },
    .in_parent = []() noexcept { zone.leave(); },
    .in_child = []() noexcept { zone.make_anew(); },
};
[[maybe_unused]] const bool takes_part = (internal::take_part_in_forks(part), true);

void append_time(std::string& to, std::int64_t unix_seconds, char between) {
  using namespace std::chrono;
  const sys_seconds time{seconds(unix_seconds)};
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss of_day(time - day);
  fmt::format_to(std::back_inserter(to), "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), between, of_day.hours().count(),
                 of_day.minutes().count(), of_day.seconds().count());
}

void append_json(std::string& to, std::string_view text) {
  to += '"';
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = internal::utf8_character(text, at);
    const char first = text[at];
    if (size == 0) {
      to += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      to += '\\';
      to += first;
    } else if (first == '\n') {
      to += "\\n";
    } else if (size == 1 && (static_cast<unsigned char>(first) < 0x20 || first == 0x7f)) {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(first));
    } else {
      to += text.substr(at, size);
    }
    at += std::max<std::size_t>(size, 1);
  }
  to += '"';
}

// What a value needs so that one can see where it ends.
bool needs_quotes(std::string_view value) { return value.empty() || value.find_first_of(" =\"") != std::string_view::npos; }

}  // namespace

void append_local_time(std::string& to, std::int64_t unix_nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t seconds = unix_nanoseconds / kSecond;
  append_time(to, seconds + zone.seconds_ahead(seconds), ' ');
  fmt::format_to(std::back_inserter(to), ".{:03} ", unix_nanoseconds % kSecond / 1'000'000);
}

void append_extras(std::string& to, const Extras& extras) {
  bool is_first = true;
  for (const auto& [key, value] : extras) {
    if (!std::exchange(is_first, false)) to += ' ';
    append_printable(to, key);
    to += '=';
    if (!needs_quotes(value)) {
      append_printable(to, value);
      continue;
    }
    to += '"';
    for (const char c : internal::printable(value)) {
      if (c == '"') to += '\\';
      to += c;
    }
    to += '"';
  }
}

std::string to_string(const Extras& extras) {
  std::string text;
  append_extras(text, extras);
  return text;
}

std::string to_json(const Line& line) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::string json = R"({"time":")";
  append_time(json, line.unix_nanoseconds / kSecond, 'T');
  fmt::format_to(std::back_inserter(json), R"(.{:09}Z","level":"{}","context":)", line.unix_nanoseconds % kSecond,
                 kLevels[static_cast<std::size_t>(line.level)]);
  append_json(json, line.context);
  json += R"(,"text":)";
  append_json(json, line.text);
  json += R"(,"extras":{)";
  bool is_first = true;
  for (auto extra = line.extras.begin(); extra != line.extras.end(); ++extra) {
    // A name comes once: the innermost is in force.
    if (std::any_of(extra + 1, line.extras.end(), [&](const auto& later) { return later.first == extra->first; })) continue;
    if (!std::exchange(is_first, false)) json += ',';
    append_json(json, extra->first);
    json += ':';
    append_json(json, extra->second);
  }
  json += "}}\n";
  return json;
}

bool write_whole(int descriptor, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd room{descriptor, POLLOUT, 0};  // somebody has made it non-blocking for all who share it
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Outlet::Outlet() : has_colours_(shows_colours()) {}

Outlet::Outlet(const Outlet& parents) : to_stderr_(parents.to_stderr_), has_colours_(parents.has_colours_) {
  for (const File& file : parents.files_) files_.push_back({.path = file.path, .descriptor = -1, .has_failed = false});
}

Outlet::~Outlet() {
  for (const File& file : files_) {
    if (file.descriptor >= 0) ::close(file.descriptor);
  }
}

namespace {

int open_to_append(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666); }

}  // namespace

void Outlet::add_file(const std::string& path) {
  const int descriptor = open_to_append(path);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category());
  files_.push_back({.path = path, .descriptor = descriptor, .has_failed = false});
}

void Outlet::add(const Line& line) {
  std::string& text = plain_;
  const std::size_t begin = text.size();
  append_local_time(text, line.unix_nanoseconds);
  const std::size_t level = text.size() - begin;
  const std::string_view name = kLevels[static_cast<std::size_t>(line.level)];
  text += name;
  text += " [";
  append_printable(text, line.context);
  text += "] ";
  append_printable(text, line.text, Newlines::kept);
  if (!line.extras.empty()) text += ' ';
  append_extras(text, line.extras);
  text += '\n';
  if (!to_stderr_ || !has_colours_) return;
  const std::string_view whole = std::string_view(text).substr(begin);
  coloured_ += whole.substr(0, level);
  coloured_ += kColours[static_cast<std::size_t>(line.level)];
  coloured_ += name;
  coloured_ += kNoColour;
  coloured_ += whole.substr(level + name.size());
}

void Outlet::write_to(File& file) noexcept {
  if (file.descriptor < 0) file.descriptor = open_to_append(file.path);
  if (file.descriptor >= 0 && write_whole(file.descriptor, plain_)) return;
  if (!std::exchange(file.has_failed, true)) {
    std::fprintf(stderr, "mothreads: the log cannot write to \"%s\": %s\n", file.path.c_str(), std::strerror(errno));
  }
}

void Outlet::flush() noexcept {
  if (plain_.empty()) return;
  if (to_stderr_) write_whole(STDERR_FILENO, has_colours_ ? coloured_ : plain_);
  for (File& file : files_) write_to(file);
  plain_.clear();
  coloured_.clear();
}

}  // namespace mothreads::log
