#pragma once

// How the corpora are written: text, in which "\r", "\n", "\0", "\\" and "\x41" stand for what they do in C, and ends of lines for nothing.

#include <string>
#include <string_view>

namespace cooperative::fuzz {

std::string from_corpus_file(std::string_view text);

}  // namespace cooperative::fuzz
