#pragma once

// How the corpora are written: text, in which "\r", "\n", "\0", "\\" and "\x41" stand for what they do in C, and ends of lines for nothing. A line
// "---" stands between one input and the next.

#include <string>
#include <string_view>
#include <vector>

namespace cooperative::inline v0::fuzz {

std::vector<std::string> from_corpus_file(std::string_view text);
// One input, as that.
std::string to_corpus_file(std::string_view input);

// The file of each corpus that tools/fuzz writes.
inline constexpr std::string_view kFound = "found";
inline constexpr std::string_view kBetween = "---\n";

}  // namespace cooperative::fuzz
