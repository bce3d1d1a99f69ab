#pragma once

// A terminal on which the picture stays where it is, with the last messages below it. Thread safety: any thread may call.

#include <cstddef>
#include <cstdio>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace strip_chart {

struct Size {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

class Screen {
 public:
  // Without `in_place` nothing is shown but messages, on stderr.
  Screen(std::FILE* output, bool in_place) : output_(output), in_place_(in_place) {}

  bool is_in_place() const { return in_place_; }
  // For a picture: of the terminal, less the lines of messages.
  Size size() const;

  // Throws std::system_error when it cannot be written.
  void show(const std::vector<std::string>& lines);
  void message(std::string_view text);

 private:
  static constexpr std::size_t kMessages = 3;
  static constexpr std::size_t kMessage = 200;  // bytes of each

  std::FILE* const output_;
  const bool in_place_;
  std::mutex mutex_;  // for the thread that writes the log; held while writing
  std::deque<std::string> messages_;
};

}  // namespace strip_chart
