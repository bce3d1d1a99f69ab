#pragma once

// Parts that several entries need.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace cooperative::inline v0::fuzz {

// Ends the program when the condition does not hold.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzzing: %s\n", what);
  std::fflush(stderr);
  std::abort();
}

// Takes the first line, and its end, off the input. Without an end all of the input is one line.
inline std::string_view take_line(std::string_view& input) {
  const std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(line.size() + 1, input.size()));
  return line;
}

}  // namespace cooperative::fuzz
