#pragma once

// Where the log writes without a sink of the program's: stderr and files, by sinks of spdlog, and how a line looks there.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mothreads/log.h"

namespace spdlog::sinks {
class sink;
}

namespace mothreads::inline v0::log {

// Used by one thread at a time, as its sinks are: they have no mutex. A copy has the same sinks.
class Outlet {
 public:
  Outlet();  // to stderr alone

  // The same destinations, for the child of a fork(). Its sinks are new, because the parent's may have been in the middle of a line.
  Outlet remade() const;

  // Throws std::runtime_error, naming the file, when it cannot be opened.
  void add_file(const std::string& path);
  void set_stderr(bool on) { to_stderr_ = on; }

  void write(const Line& line);

 private:
  // Only write() changes it.
  struct File {
    const std::string path;
    std::shared_ptr<spdlog::sinks::sink> sink;  // opened with the first line, where it is null
    bool has_failed = false;                    // and stderr has been told
  };

  std::shared_ptr<spdlog::sinks::sink> stderr_;
  std::vector<std::shared_ptr<File>> files_;
  bool to_stderr_ = true;
};

// "2026-03-29 12:00:00.123 " in local time.
void append_local_time(std::string& to, std::int64_t unix_nanoseconds);
// key=value key="a value with spaces"
void append_extras(std::string& to, const Extras& extras);

// One line of JSON, with its end.
std::string to_json(const Line& line);

// All of it, whatever interrupts it. False with errno when that cannot be.
bool write_whole(int descriptor, std::string_view text) noexcept;

}  // namespace mothreads::log
