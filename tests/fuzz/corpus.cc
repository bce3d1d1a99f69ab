// corpus FROM TO           writes every input in the files of FROM, as they are kept, into TO, as the bytes they stand for
// corpus --show FILE       the other way round
// corpus --keep FROM FILE  so for all files of FROM

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/corpus_file.h"

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  using cooperative::fuzz::from_corpus_file;
  using cooperative::fuzz::to_corpus_file;
  namespace fs = std::filesystem;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "--show") {
    std::fputs(to_corpus_file(text_of(arguments[1])).c_str(), stdout);
    return 0;
  }
  if (arguments.size() == 3 && arguments[0] == "--keep") {
    std::vector<std::string> inputs;
    for (const auto& file : fs::directory_iterator(arguments[1])) inputs.push_back(text_of(file.path()));
    std::sort(inputs.begin(), inputs.end());
    std::ofstream out(arguments[2]);
    for (std::size_t i = 0; i < inputs.size(); ++i) out << (i == 0 ? "" : cooperative::fuzz::kBetween) << to_corpus_file(inputs[i]);
    return out.flush() ? 0 : 1;
  }
  if (arguments.size() != 2) {
    std::fputs("corpus FROM TO, corpus --show FILE or corpus --keep FROM FILE\n", stderr);
    return 2;
  }
  fs::create_directories(arguments[1]);
  for (const auto& file : fs::directory_iterator(arguments[0])) {
    int number = 0;
    for (const std::string& input : from_corpus_file(text_of(file.path()))) {
      std::ofstream(arguments[1] + "/" + file.path().filename().string() + "." + std::to_string(number++), std::ios::binary) << input;
    }
  }
}
