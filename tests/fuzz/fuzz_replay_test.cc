// Every file of the corpora, by the way that the fuzzers go; and each of them with every byte changed, or cut short.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fuzz/corpus_file.h"
#include "tests/fuzz/entries.h"

namespace cooperative::inline v0::fuzz {
namespace {

using ::testing::ElementsAre;

// Of those that people wrote, or of all.
enum class Which : bool { written, all };

template <typename F>
int for_each_input(const Entry& entry, Which which, F&& use) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator("tests/fuzz/corpus/" + std::string(entry.name))) {
    if (which == Which::written && file.path().filename() == kFound) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    SCOPED_TRACE(file.path().string());
    for (const std::string& input : from_corpus_file(text)) {
      use(input);
      ++count;
    }
  }
  return count;
}

TEST(FuzzReplayTest, EveryInputOfEveryCorpus) {
  for (const Entry& entry : kEntries) {
    EXPECT_GE(for_each_input(entry, Which::all, [&](const std::string& input) { entry.run(input); }), 10) << entry.name;
  }
}

TEST(FuzzReplayTest, CutShort) {
  for (const Entry& entry : kEntries) {
    for_each_input(entry, Which::written, [&](const std::string& input) {
      for (std::size_t size = 0; size < input.size(); ++size) entry.run(std::string_view(input).substr(0, size));
    });
  }
}

TEST(FuzzReplayTest, WithAByteChanged) {
  for (const Entry& entry : kEntries) {
    for_each_input(entry, Which::written, [&](const std::string& input) {
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
  EXPECT_THAT(from_corpus_file("a\\r\\n\nb\\x7f\\0\\\\"), ElementsAre(std::string("a\r\nb\x7f\0\\", 7)));
  EXPECT_THAT(from_corpus_file("a---\n---\n---\nb\n"), ElementsAre("a---", "", "b"));
  EXPECT_THROW(from_corpus_file("\\q"), std::runtime_error);
  EXPECT_THROW(from_corpus_file("\\x4"), std::runtime_error);
  EXPECT_THROW(from_corpus_file("\\"), std::runtime_error);
}

TEST(FuzzReplayTest, WhatIsWrittenIsReadAgain) {
  std::string every;
  for (int c = 0; c < 256; ++c) every.push_back(static_cast<char>(c));
  for (const std::string& input : {every, std::string("---\n---\n"), std::string("-\n-"), std::string(), std::string("\n\n"), std::string("a---\n")}) {
    EXPECT_THAT(from_corpus_file(to_corpus_file(input)), ElementsAre(input));
    EXPECT_THAT(from_corpus_file(to_corpus_file(input) + std::string(kBetween) + to_corpus_file("x")), ElementsAre(input, "x"));
  }
}

}  // namespace
}  // namespace cooperative::fuzz
