#pragma once

// One line of a checksum file, as GNU sha256sum writes it and `sha256sum -c` reads it:
//
//     <64 hexadecimal digits>  <path>
//
// Where the path has a backslash, a newline or a carriage return they are written as \\ \n \r, and a backslash begins the
// line.

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace hash_tree {

using Digest = std::array<unsigned char, 32>;

// Appends the line with its newline.
void append_checksum_line(std::string& text, const Digest& digest, std::string_view path);

// The path that a line, given without its newline, speaks of; none where it is no checksum line.
std::optional<std::string> path_of_checksum_line(std::string_view line);

// Whether this is how a checksum line begins: what an interrupted write leaves behind.
bool begins_checksum_line(std::string_view text);

// A path as lines and messages show it: in one line, whatever is in it.
std::string escaped(std::string_view path);

}  // namespace hash_tree
