#include "docs/examples/hash_tree/checksum_line.h"

#include <string>

#include <gtest/gtest.h>

namespace hash_tree {
namespace {

const std::string kDigits = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";

Digest digest() {
  Digest digest;
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<unsigned char>(i);
  digest.back() = 0xff;
  return digest;
}

std::string line(std::string_view path) {
  std::string text = "before\n";
  append_checksum_line(text, digest(), path);
  return text.substr(7);
}

TEST(ChecksumLine, HasDigestTwoSpacesAndPath) { EXPECT_EQ(line("tree/a b"), kDigits + "  tree/a b\n"); }

TEST(ChecksumLine, EscapesWhatWouldBreakTheLine) {
  EXPECT_EQ(line("a\nb"), "\\" + kDigits + "  a\\nb\n");
  EXPECT_EQ(line("a\\b"), "\\" + kDigits + "  a\\\\b\n");
  EXPECT_EQ(line("\r"), "\\" + kDigits + "  \\r\n");
}

TEST(ChecksumLine, IsReadBack) {
  for (const std::string path : {"a", " ", "*star", "  two spaces", "\\", "\\n", "\n\r\\\n", "\xff\xfe", "tree/\xc3\xa9"}) {
    const std::string text = line(path);
    EXPECT_EQ(path_of_checksum_line(std::string_view(text).substr(0, text.size() - 1)), path);
  }
}

TEST(ChecksumLine, OfSha256sumBinaryIsRead) { EXPECT_EQ(path_of_checksum_line(kDigits + " *a"), "a"); }

TEST(ChecksumLine, OtherLinesHaveNoPath) {
  const std::string upper = "A" + kDigits.substr(1);
  for (const std::string& text : {std::string(), std::string("hello"), kDigits, kDigits + "  ", kDigits + " a",
                                  kDigits + "\t a", kDigits + "0  a", kDigits.substr(1) + "  a", upper + "  a",
                                  "\\\\" + kDigits + "  a", "\\" + kDigits + "  a\\", "\\" + kDigits + "  a\\x"}) {
    EXPECT_EQ(path_of_checksum_line(text), std::nullopt) << text;
  }
}

TEST(ChecksumLine, EveryBeginningOfOneIsKnownAsSuch) {
  for (const std::string& text : {line("tree/file"), line("tree/new\nline")}) {
    for (std::size_t size = 0; size < text.size(); ++size) EXPECT_TRUE(begins_checksum_line(text.substr(0, size))) << size;
  }
  for (const std::string& text : {std::string("hello"), std::string("\\\\"), kDigits + "x", kDigits + " x", kDigits + "0"}) {
    EXPECT_FALSE(begins_checksum_line(text)) << text;
  }
}

}  // namespace
}  // namespace hash_tree
