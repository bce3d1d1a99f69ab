#include "mothreads/internal/log_outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::log {
namespace {

using internal::ForkPart;
using internal::Newlines;
using internal::append_printable;

constexpr std::array<std::string_view, 5> kLevels{"debug", "info", "warning", "error", "critical"};
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
    } else if (size == 2 && first == '\xc2' && static_cast<unsigned char>(text[at + 1]) < 0xa0) {  // U+0080 to U+009F: controls
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(text[at + 1])));
    } else if (text.substr(at, size) == "\u2028" || text.substr(at, size) == "\u2029") {  // which readers of JavaScript take for newlines
      to += text[at + 2] == '\xa8' ? "\\u2028" : "\\u2029";
    } else {
      to += text.substr(at, size);
    }
    at += std::max<std::size_t>(size, 1);
  }
  to += '"';
}

// In quotes where one could not see where it ends. Its own backslashes and quotes are then behind backslashes.
void append_in_quotes(std::string& to, std::string_view text) {
  if (!text.empty() && text.find_first_of(" =\"") == std::string_view::npos) return append_printable(to, text);
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  to += '"';
  append_printable(to, escaped);
  to += '"';
}

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
    append_in_quotes(to, key);
    to += '=';
    append_in_quotes(to, value);
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
  std::vector<std::string> names(line.extras.size());
  for (std::size_t i = 0; i < names.size(); ++i) append_json(names[i], line.extras[i].first);
  bool is_first = true;
  for (auto extra = line.extras.begin(); extra != line.extras.end(); ++extra) {
    // A name comes once, also of two that differ in bytes of no character: the innermost is in force.
    const auto name = names.begin() + (extra - line.extras.begin());
    if (std::find(name + 1, names.end(), *name) != names.end()) continue;
    if (!std::exchange(is_first, false)) json += ',';
    json += *name;
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

// --- spdlog --------------------------------------------------------------------------------------------------------------

namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::critical:
      return spdlog::level::critical;
  }
  return spdlog::level::critical;
}

// Instead of a pattern: spdlog would ask the C library for local time, whose lock another thread may hold at a fork(). See Zone.
class Formatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& record, spdlog::memory_buf_t& to) override {
    std::string time;
    append_local_time(time, std::chrono::duration_cast<std::chrono::nanoseconds>(record.time.time_since_epoch()).count());
    append(to, time);
    record.color_range_start = to.size();
    append(to, kLevels[static_cast<std::size_t>(record.level - spdlog::level::debug)]);
    record.color_range_end = to.size();
    append(to, " ");
    append(to, {record.payload.data(), record.payload.size()});
    append(to, "\n");
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<Formatter>(); }

 private:
  static void append(spdlog::memory_buf_t& to, std::string_view text) { to.append(text.data(), text.data() + text.size()); }
};

template <typename Sink, typename... Args>
std::shared_ptr<spdlog::sinks::sink> make_sink(Args&&... args) {
  auto sink = std::make_shared<Sink>(std::forward<Args>(args)...);
  sink->set_formatter(std::make_unique<Formatter>());
  return sink;
}

// Without a mutex: that of the sinks for terminals is one for the process, and may be held at a fork().
std::shared_ptr<spdlog::sinks::sink> make_stderr_sink() { return make_sink<spdlog::sinks::stderr_color_sink_st>(); }

// Each line is written at once: what is in a buffer at a fork() is written twice.
std::shared_ptr<spdlog::sinks::sink> make_file_sink(const std::string& path) {
  spdlog::file_event_handlers handlers;
  handlers.after_open = [](const spdlog::filename_t&, std::FILE* file) {
    std::setvbuf(file, nullptr, _IONBF, 0);
    fcntl(fileno(file), F_SETFD, FD_CLOEXEC);
  };
  return make_sink<spdlog::sinks::basic_file_sink_st>(path, /*truncate=*/false, handlers);
}

}  // namespace

Outlet::Outlet() : stderr_(make_stderr_sink()) {}

Outlet Outlet::remade() const {
  Outlet made;
  made.to_stderr_ = to_stderr_;
  for (const auto& file : files_) made.files_.push_back(std::make_shared<File>(File{.path = file->path, .sink = nullptr}));
  return made;
}

void Outlet::add_file(const std::string& path) {
  try {
    // A child of fork() opens it again, maybe with another current folder.
    files_.push_back(std::make_shared<File>(File{.path = std::filesystem::absolute(path).string(), .sink = make_file_sink(path)}));
  } catch (const spdlog::spdlog_ex& failed) {
    throw std::runtime_error(fmt::format("cannot log to file \"{}\": {}", path, failed.what()));
  }
}

void Outlet::write(const Line& line) {
  std::string text = "[";
  append_printable(text, line.context);
  text += "] ";
  append_printable(text, line.text, Newlines::kept);
  if (!line.extras.empty()) text += ' ';
  append_extras(text, line.extras);
  const spdlog::log_clock::time_point time{
      std::chrono::duration_cast<spdlog::log_clock::duration>(std::chrono::nanoseconds(line.unix_nanoseconds))};
  const spdlog::details::log_msg record(time, spdlog::source_loc{}, "mothreads", to_spdlog(line.level), text);
  bool is_written = to_stderr_;
  if (to_stderr_) stderr_->log(record);
  for (const auto& each : files_) {
    File& file = *each;
    if (file.sink == nullptr && file.has_failed) continue;
    try {
      if (file.sink == nullptr) file.sink = make_file_sink(file.path);
      file.sink->log(record);
      is_written = true;
    } catch (const spdlog::spdlog_ex& failed) {
      if (std::exchange(file.has_failed, true)) continue;
      std::fprintf(stderr, "mothreads: the log cannot write to \"%s\": %s\n", file.path.c_str(), failed.what());
    }
  }
  if (!is_written) stderr_->log(record);  // no line is lost
}

}  // namespace mothreads::log
