#pragma once

// Text of others (names, messages) made safe to print: whatever bytes it has, a log line stays one line, and a terminal is told nothing.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mothreads::inline v0::internal {

enum class Newlines : std::uint8_t {
  escaped,  // "\n", as all other control characters
  kept,     // a line of its own behind kContinuation, which no record of the log begins with
};

inline constexpr std::string_view kContinuation = "    | ";

// Control characters become \n, \r, \t or \x1b, and so do U+2028 and U+2029 and the bytes of what is no UTF-8. All else stays, also
// backslashes: it is for readers, and not to be parsed.
std::string printable(std::string_view text, Newlines newlines = Newlines::escaped);
void append_printable(std::string& to, std::string_view text, Newlines newlines = Newlines::escaped);

// Bytes of the well-formed UTF-8 character that begins at `at`; 0 when there is none.
std::size_t utf8_character(std::string_view text, std::size_t at) noexcept;

// What the kernel takes as a thread's name: 15 bytes at most, without half a character, terminated. Control characters, and what is no UTF-8,
// become '?'.
std::array<char, 16> kernel_name(std::string_view name) noexcept;

}  // namespace mothreads::internal
