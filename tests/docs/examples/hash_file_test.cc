#include "docs/examples/hash_tree/hash_file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hash_tree {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Property;
using testing::Throws;

bool go_on(std::size_t) { return true; }

class FileHasherTest : public testing::Test {
 protected:
  std::string make(std::string_view content) {
    const std::string path = testing::TempDir() + "hashed";
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  // The digest as a checksum line shows it.
  std::string hash(const std::string& path) {
    const auto digest = hasher_.hash(path, go_on);
    std::string line;
    append_checksum_line(line, digest.value(), path);
    return line.substr(0, 64);
  }

  auto fails_with(std::string_view what, std::string_view path) {
    return Throws<std::runtime_error>(
        Property(&std::runtime_error::what, AllOf(HasSubstr(std::string(what)), HasSubstr(std::string(path)))));
  }

  FileHasher hasher_;
};

TEST_F(FileHasherTest, HashesOneFileAfterTheOther) {
  EXPECT_EQ(hash(make("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash(make("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(make(std::string(1'000'000, 'a'))), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(FileHasherTest, AsksAfterEachBlockWhetherToGoOn) {
  const std::string path = make(std::string(2 * FileHasher::kBlock + 1, 'a'));
  std::vector<std::size_t> blocks;
  const auto count = [&](std::size_t bytes) {
    blocks.push_back(bytes);
    return true;
  };
  EXPECT_TRUE(hasher_.hash(path, count));
  EXPECT_EQ(blocks, (std::vector<std::size_t>{FileHasher::kBlock, FileHasher::kBlock, 1}));
}

TEST_F(FileHasherTest, StopsAtTheNextBlock) {
  const std::string path = make(std::string(3 * FileHasher::kBlock, 'a'));
  int blocks = 0;
  EXPECT_FALSE(hasher_.hash(path, [&](std::size_t) { return ++blocks < 2; }));
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(hash(make("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") << "and starts afresh";
}

TEST_F(FileHasherTest, LeavesOutWhatItWasToldTo) {
  const std::string path = make("lines");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_FALSE(FileHasher(FileId(status)).hash(path, go_on));
}

TEST_F(FileHasherTest, NamesAFileThatVanished) {
  const std::string path = testing::TempDir() + "nowhere";
  EXPECT_THAT([&] { (void)hasher_.hash(path, go_on); }, fails_with("No such file or directory", path));
}

TEST_F(FileHasherTest, NamesAFileThatFailsInTheMiddle) {
  const std::string path = "/proc/self/mem";  // a file that cannot be read where nothing is mapped
  EXPECT_THAT([&] { (void)hasher_.hash(path, go_on); }, fails_with("cannot read on at byte 0: Input/output error", path));
}

TEST_F(FileHasherTest, NamesAFileThatWasCutWhileItWasRead) {
  const std::string path = make(std::string(3 * FileHasher::kBlock, 'a'));
  const auto cut = [&](std::size_t) {
    std::filesystem::resize_file(path, FileHasher::kBlock + 1);
    return true;
  };
  EXPECT_THAT([&] { (void)hasher_.hash(path, cut); }, fails_with("ended at byte 262145 of 786432", path));
}

TEST_F(FileHasherTest, ReadsAFileWhoseSizeTheKernelDoesNotTell) { EXPECT_EQ(hash("/proc/self/comm").size(), 64u); }

TEST_F(FileHasherTest, DoesNotWaitForAFifo) {
  const std::string path = testing::TempDir() + "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT([&] { (void)hasher_.hash(path, go_on); }, fails_with("is a fifo", path));
  ::unlink(path.c_str());
}

TEST_F(FileHasherTest, DoesNotFollowALink) {
  const std::string path = testing::TempDir() + "link";
  std::filesystem::create_symlink(make("abc"), path);
  EXPECT_THAT([&] { (void)hasher_.hash(path, go_on); }, fails_with("symbolic links", path));
  ::unlink(path.c_str());
}

TEST_F(FileHasherTest, ShowsAnOddPathInOneLine) {
  EXPECT_THAT([&] { (void)hasher_.hash("no\nwhere", go_on); }, fails_with("no\\nwhere: ", ""));
}

}  // namespace
}  // namespace hash_tree
