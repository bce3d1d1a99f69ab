#include "docs/examples/hash_tree/checksum_line.h"

#include <algorithm>
#include <cstddef>

namespace hash_tree {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kNeedsEscape = "\\\n\r";
constexpr std::string_view kEscapeLetters = "\\nr";
constexpr std::size_t kDigestLength = 2 * Digest().size();

void append_escaped(std::string& text, std::string_view path) {
  for (const char c : path) {
    const std::size_t which = kNeedsEscape.find(c);
    if (which == std::string_view::npos) {
      text += c;
    } else {
      text += '\\';
      text += kEscapeLetters[which];
    }
  }
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    const std::size_t which = ++i < text.size() ? kEscapeLetters.find(text[i]) : std::string_view::npos;
    if (which == std::string_view::npos) return std::nullopt;
    path += kNeedsEscape[which];
  }
  return path;
}

bool is_hex(std::string_view text) { return text.find_first_not_of(kHexDigits) == std::string_view::npos; }

}  // namespace

std::string escaped(std::string_view path) {
  std::string text;
  append_escaped(text, path);
  return text;
}

void append_checksum_line(std::string& text, const Digest& digest, std::string_view path) {
  const bool is_escaped = path.find_first_of(kNeedsEscape) != std::string_view::npos;
  if (is_escaped) text += '\\';
  for (const unsigned char byte : digest) {
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  text += "  ";
  if (is_escaped) {
    append_escaped(text, path);
  } else {
    text += path;
  }
  text += '\n';
}

std::optional<std::string> path_of_checksum_line(std::string_view line) {
  if (!begins_checksum_line(line)) return std::nullopt;
  const bool is_escaped = line.starts_with('\\');
  if (is_escaped) line.remove_prefix(1);
  if (line.size() <= kDigestLength + 2) return std::nullopt;
  const std::string_view path = line.substr(kDigestLength + 2);
  return is_escaped ? unescaped(path) : std::string(path);
}

bool begins_checksum_line(std::string_view text) {
  if (text.starts_with('\\')) text.remove_prefix(1);
  if (!is_hex(text.substr(0, kDigestLength))) return false;
  // Then two spaces, or a space and the star of `sha256sum --binary`.
  const std::string_view separator = text.substr(std::min(text.size(), kDigestLength), 2);
  return std::string_view("  ").starts_with(separator) || std::string_view(" *").starts_with(separator);
}

}  // namespace hash_tree
