// corpus FROM TO: writes every file of FROM, as it is kept, into TO, as the bytes it stands for. corpus --show FILE: the other way round.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "tests/fuzz/corpus_file.h"

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void show(std::string_view bytes) {
  for (const char c : bytes) {
    switch (c) {
      case '\r': std::fputs("\\r", stdout); break;
      case '\n': std::fputs("\\n\n", stdout); break;
      case '\\': std::fputs("\\\\", stdout); break;
      default: std::printf(c >= ' ' && c < 0x7f ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
    }
  }
  std::puts("");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("corpus FROM TO, or corpus --show FILE\n", stderr);
    return 2;
  }
  if (std::string_view(argv[1]) == "--show") {
    show(text_of(argv[2]));
    return 0;
  }
  std::filesystem::create_directories(argv[2]);
  for (const auto& file : std::filesystem::directory_iterator(argv[1])) {
    std::ofstream(argv[2] / file.path().filename(), std::ios::binary) << cooperative::fuzz::from_corpus_file(text_of(file.path()));
  }
}
