#include "tests/fuzz/corpus_file.h"

#include <cstddef>
#include <stdexcept>

#include <fmt/core.h>

namespace cooperative::inline v0::fuzz {

namespace {

std::string one_from(std::string_view text) {
  std::string bytes;
  const auto hex = [&](std::size_t at) -> int {
    const std::size_t digit = at < text.size() ? std::string_view("0123456789abcdef").find(text[at]) : std::string_view::npos;
    if (digit == std::string_view::npos) throw std::runtime_error("a corpus file: \\x needs two small hexadecimal digits");
    return static_cast<int>(digit);
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') continue;
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) throw std::runtime_error("a corpus file: ends with a backslash");
    switch (text[i]) {
      case 'r': bytes.push_back('\r'); break;
      case 'n': bytes.push_back('\n'); break;
      case '0': bytes.push_back('\0'); break;
      case '\\': bytes.push_back('\\'); break;
      case 'x':
        bytes.push_back(static_cast<char>(hex(i + 1) * 16 + hex(i + 2)));
        i += 2;
        break;
      default: throw std::runtime_error("a corpus file: an unknown escape");
    }
  }
  return bytes;
}

}  // namespace

std::vector<std::string> from_corpus_file(std::string_view text) {
  std::vector<std::string> inputs;
  while (true) {
    std::size_t end = text.find(kBetween);
    while (end != std::string_view::npos && end > 0 && text[end - 1] != '\n') end = text.find(kBetween, end + 1);
    inputs.push_back(one_from(text.substr(0, end)));
    if (end == std::string_view::npos) return inputs;
    text.remove_prefix(end + kBetween.size());
  }
}

std::string to_corpus_file(std::string_view input) {
  std::string text;
  for (const char c : input) {
    const bool would_be_between = c == '-' && (text.empty() || text.ends_with('\n'));
    switch (c) {
      case '\r': text += "\\r"; break;
      case '\n': text += "\\n\n"; break;
      case '\\': text += "\\\\"; break;
      default: text += c >= ' ' && c < 0x7f && !would_be_between ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text.ends_with('\n') ? text : text + "\n";
}

}  // namespace cooperative::fuzz
