#pragma once

// What the user sees: on a terminal a table that stays where it is, with messages above it; elsewhere plain lines, and messages beside
// them. Thread safety: any thread may call.

#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

#include "docs/examples/relay/seconds.h"

namespace relay {

// "  sensor  readings     least      mean  greatest", and a line for each sensor.
std::string table(const Second& second);

// A line for each sensor that has readings: "second 3, sensor 1: 5 readings, 23.10 to 25.20, mean 24.15".
std::string lines(const Second& second);

class Screen {
 public:
  // With `in_place` both files are one terminal.
  Screen(std::FILE* output, std::FILE* messages, bool in_place) : output_(output), messages_(messages), in_place_(in_place) {}

  // Throws std::system_error when it cannot be written.
  void show(const Second& second);
  void message(std::string_view text);

  // The table stays as it is, and messages come below.
  void keep_table();

 private:
  void clear_table();

  std::FILE* const output_;
  std::FILE* const messages_;
  const bool in_place_;
  std::mutex mutex_;   // of the standard library, for the thread that writes the log; held while writing
  std::string shown_;  // the table that is there
};

}  // namespace relay
