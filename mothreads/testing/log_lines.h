#pragma once

// Captures the log for the length of a test: lines go here instead of to stderr.
//
//     mothreads::testing::LogLines lines;
//     reload("missing.json");
//     EXPECT_EQ(lines.with("missing.json").size(), 1U);
//
// A process has one LogLines at a time, since that is the log's sink (log::set_sink). log::add_sink() is for one more sink beside the others. Thread safety: every member may be called
// from any thread or fiber.

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mothreads/log.h"

namespace mothreads::inline v0::testing {

class LogLines {
 public:
  LogLines() {
    log::set_sink([this](const log::Line& line) {
      std::lock_guard lock(mutex_);
      lines_.push_back(line);
    });
  }
  ~LogLines() {
    log::set_sink({});  // flushes first
  }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  // Everything logged so far, and since the last call.
  std::vector<log::Line> take() {
    log::flush();
    std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

  // A copy of those so far whose text contains `part`. They stay.
  std::vector<log::Line> with(std::string_view part) {
    log::flush();
    std::lock_guard lock(mutex_);
    std::vector<log::Line> found = lines_;
    std::erase_if(found, [&](const log::Line& line) { return line.text.find(part) == std::string::npos; });
    return found;
  }

  // The texts of take().
  std::vector<std::string> take_texts() {
    std::vector<std::string> texts;
    for (log::Line& line : take()) texts.push_back(std::move(line.text));
    return texts;
  }

 private:
  std::mutex mutex_;
  std::vector<log::Line> lines_;
};

}  // namespace mothreads::testing
