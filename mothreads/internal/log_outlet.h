#pragma once

// Where the log writes without a sink of the program's: stderr and files, and how a line looks there.

#include <string>
#include <string_view>
#include <vector>

#include "mothreads/log.h"

namespace mothreads::log {

// What the sink of set_sink() is not asked for: used by one thread at a time.
class Outlet {
 public:
  Outlet();
  // The same destinations, with descriptors of its own: for the child of a fork().
  Outlet(const Outlet& parents);
  Outlet& operator=(const Outlet&) = delete;
  ~Outlet();

  // Throws std::system_error when it cannot be opened.
  void add_file(const std::string& path);
  void set_stderr(bool on) { to_stderr_ = on; }

  // The line goes out with flush().
  void add(const Line& line);
  void flush() noexcept;

 private:
  struct File {
    std::string path;
    int descriptor = -1;
    bool has_failed = false;  // and stderr has been told
  };

  void write_to(File& file) noexcept;

  std::vector<File> files_;
  bool to_stderr_ = true;
  bool has_colours_ = false;
  std::string plain_;
  std::string coloured_;
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
