// Every file of the corpora, by the way that the fuzzers go; and each of them with every byte changed, or cut short.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/fuzz/corpus_file.h"
#include "tests/fuzz/entries.h"

namespace cooperative::fuzz {
namespace {

template <typename F>
int for_each_file(const Entry& entry, F&& use) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator("tests/fuzz/corpus/" + std::string(entry.name))) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    SCOPED_TRACE(file.path().string());
    use(from_corpus_file(text));
    ++count;
  }
  return count;
}

TEST(FuzzReplayTest, EveryFileOfEveryCorpus) {
  for (const Entry& entry : kEntries) {
    EXPECT_GE(for_each_file(entry, [&](const std::string& input) { entry.run(input); }), 5) << entry.name;
  }
}

TEST(FuzzReplayTest, EveryFileCutShort) {
  for (const Entry& entry : kEntries) {
    for_each_file(entry, [&](const std::string& input) {
      for (std::size_t size = 0; size < input.size(); ++size) entry.run(std::string_view(input).substr(0, size));
    });
  }
}

TEST(FuzzReplayTest, EveryFileWithAByteChanged) {
  for (const Entry& entry : kEntries) {
    for_each_file(entry, [&](const std::string& input) {
      for (std::size_t at = 0; at < input.size(); ++at) {
        for (const char c : {'\0', '\r', '\n', ' ', ':', '0', '\xFF'}) {
          std::string changed = input;
          changed[at] = c;
          entry.run(changed);
        }
      }
    });
  }
}

TEST(FuzzReplayTest, FilesAreWrittenAsText) {
  EXPECT_EQ(from_corpus_file("a\\r\\n\nb\\x7f\\0\\\\"), std::string("a\r\nb\x7f\0\\", 7));
  EXPECT_THROW(from_corpus_file("\\q"), std::runtime_error);
  EXPECT_THROW(from_corpus_file("\\x4"), std::runtime_error);
  EXPECT_THROW(from_corpus_file("\\"), std::runtime_error);
}

}  // namespace
}  // namespace cooperative::fuzz
