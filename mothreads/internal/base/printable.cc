#include "mothreads/internal/base/printable.h"

#include <algorithm>
#include <cstddef>

namespace mothreads::inline v0::internal {
namespace {

constexpr bool is_plain(char c) { return c >= 0x20 && c < 0x7f; }

// Of a well-formed character of two bytes or more: whether it is a control character (U+0080 to U+009F), or ends a line.
bool is_control(std::string_view character) {
  if (character.size() == 2) return character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
  return character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9";
}

void append_escaped(std::string& to, std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const char byte : bytes) {
    switch (byte) {
      case '\n': to += "\\n"; break;
      case '\r': to += "\\r"; break;
      case '\t': to += "\\t"; break;
      default: {
        const auto value = static_cast<unsigned char>(byte);
        to += "\\x";
        to += kDigits[value >> 4];
        to += kDigits[value & 15];
      }
    }
  }
}

}  // namespace

std::size_t utf8_character(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80; };
  const unsigned first = byte(0);
  if (at >= text.size()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    // Neither longer than needed, nor half of a pair of UTF-16.
    const bool is_one = follows(1) && follows(2) && (first != 0xe0 || byte(1) >= 0xa0) && (first != 0xed || byte(1) < 0xa0);
    return is_one ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool is_one = follows(1) && follows(2) && follows(3) && (first != 0xf0 || byte(1) >= 0x90) && (first != 0xf4 || byte(1) < 0x90);
    return is_one ? 4 : 0;
  }
  return 0;
}

void append_printable(std::string& to, std::string_view text, Newlines newlines) {
  if (std::all_of(text.begin(), text.end(), is_plain)) {
    to += text;
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = utf8_character(text, at);
    const std::string_view character = text.substr(at, std::max<std::size_t>(size, 1));
    at += character.size();
    if (character[0] == '\n' && newlines == Newlines::kept) {
      to += '\n';
      to += kContinuation;
    } else if (size == 0 || (size == 1 ? !is_plain(character[0]) : is_control(character))) {
      append_escaped(to, character);
    } else {
      to += character;
    }
  }
}

std::string printable(std::string_view text, Newlines newlines) {
  std::string result;
  append_printable(result, text, newlines);
  return result;
}

std::array<char, 16> kernel_name(std::string_view name) noexcept {
  std::array<char, 16> result{};
  std::size_t used = 0;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t size = utf8_character(name, at);
    std::string_view character = name.substr(at, std::max<std::size_t>(size, 1));
    at += character.size();
    if (size == 0 || (size == 1 ? !is_plain(character[0]) : is_control(character))) character = "?";
    if (used + character.size() >= result.size()) break;
    std::copy(character.begin(), character.end(), result.begin() + static_cast<std::ptrdiff_t>(used));
    used += character.size();
  }
  return result;
}

}  // namespace mothreads::internal
