#include "cooperative/io/file_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/pipe.h"
#include "cooperative/sleep.h"
#include "cooperative/wait_for.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "tests/cooperative/io/nothing_left_open.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FileWatchTest : public testing::NothingLeftOpen {
 protected:
  void SetUp() override {
    NothingLeftOpen::SetUp();
    folder_ = ::testing::TempDir() + "/file_watch_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    NothingLeftOpen::TearDown();
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text = "x") const { std::ofstream(path(name)) << text; }

  // All that has happened, as "name: changes".
  std::vector<std::string> taken(FileWatch& watch) const {
    std::vector<std::string> changes;
    while (auto change = watch.next(absl::ZeroDuration())) {
      changes.push_back(std::filesystem::path(change->path).filename().string() + ": " + to_string(change->what));
    }
    return changes;
  }

  std::string folder_;
};

TEST_F(FileWatchTest, AFiberWaitsForAChange) {
  FileWatch watch(folder_, Changed::created);
  auto waiter = spawn("waiter", [&] { return watch.next()->path; });
  yield();
  write("new");
  EXPECT_EQ(waiter.join(), path("new"));
}

TEST_F(FileWatchTest, APathWithAZeroByteIsRefused) {
  write("a");
  FileWatch watch;
  try {
    watch.add(path("a") + std::string("\0b", 2));
    ADD_FAILURE() << "another file is watched";
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("a\\x00b\": cannot watch it: its name has a zero byte"));
  }
}

TEST_F(FileWatchTest, WhatHappensInAFolder) {
  FileWatch watch(folder_);
  write("a");
  std::filesystem::rename(path("a"), path("b"));
  chmod(path("b").c_str(), 0600);
  std::filesystem::remove(path("b"));
  EXPECT_THAT(taken(watch), ElementsAre("a: created", "a: modified", "a: written", "a: moved_away", "b: moved_in", "b: attributes", "b: removed"));
}

TEST_F(FileWatchTest, ItIsOneOfSeveralThings) {
  FileWatch watch(folder_, Changed::created);
  const Signal other;
  auto waiter = spawn("waiter", [&] { return wait_for_any(std::tie(other, watch)).index(); });
  yield();
  EXPECT_TRUE(waiter.is_alive());
  write("a");
  write("b");
  EXPECT_EQ(waiter.join(), 1u);
  EXPECT_EQ(watch.next(absl::ZeroDuration())->path, path("a"));
  // What has been read from the system already counts, too.
  EXPECT_EQ(wait_for_any(std::tie(other, watch)).index(), 1u);
  EXPECT_EQ(watch.next(absl::ZeroDuration())->path, path("b"));
  EXPECT_EQ(watch.next(absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_THROW(static_cast<void>(watch.next(absl::ZeroDuration()).value()), Timedout);
  auto second = spawn("second", [&] { return wait_for_any(std::tie(other, watch)).index(); });
  yield();
  EXPECT_TRUE(second.is_alive());
  other.go();
  EXPECT_EQ(second.join(), 0u);
  watch.remove(folder_);
  EXPECT_EQ(wait_for_any(std::tie(watch)).index(), 0u) << "nothing more can come";
}

TEST_F(FileWatchTest, TheTwoSidesOfAMoveBelongTogether) {
  write("a");
  FileWatch watch(folder_, Changed::moved_away | Changed::moved_in);
  std::filesystem::rename(path("a"), path("b"));
  const auto from = watch.next();
  const auto to = watch.next();
  EXPECT_NE(from->move, 0u);
  EXPECT_EQ(from->move, to->move);
  EXPECT_EQ(to->path, path("b"));
}

TEST_F(FileWatchTest, OnlyWhatWasAskedForIsTold) {
  FileWatch watch(folder_, Changed::removed);
  write("a");
  std::filesystem::remove(path("a"));
  std::filesystem::create_directory(path("folder"));
  std::filesystem::remove(path("folder"));
  EXPECT_THAT(taken(watch), ElementsAre("a: removed", "folder: removed"));
}

TEST_F(FileWatchTest, AFolderIsToldApart) {
  FileWatch watch(folder_, Changed::created);
  std::filesystem::create_directory(path("folder"));
  write("file");
  EXPECT_TRUE(watch.next()->is_folder);
  EXPECT_FALSE(watch.next()->is_folder);
}

TEST_F(FileWatchTest, WhatHappensToAFile) {
  write("file");
  FileWatch watch(path("file"));
  write("file", "more");
  write("other");
  chmod(path("file").c_str(), 0600);
  std::filesystem::rename(path("file"), path("another"));
  // It was emptied and then written to; the system tells the same once if nobody took the first.
  EXPECT_THAT(taken(watch), ElementsAre("file: modified", "file: written", "file: attributes", "file: moved_away"));
}

// The system tells of it only when nobody has it open any more; that is too late for who writes to it still.
TEST_F(FileWatchTest, AFileThatIsRemovedWhileItIsOpenIsRemoved) {
  write("file");
  const int open = ::open(path("file").c_str(), O_RDONLY | O_CLOEXEC);
  FileWatch watch(path("file"), Changed::removed);
  std::filesystem::remove(path("file"));
  EXPECT_THAT(taken(watch), ElementsAre("file: removed"));
  EXPECT_EQ(watch.next().why(), Why::closed) << "nothing is watched any more";
  ::close(open);
}

TEST_F(FileWatchTest, OneNameOfSeveralIsNotTheFile) {
  write("file");
  std::filesystem::create_hard_link(path("file"), path("other"));
  FileWatch watch(path("file"));
  std::filesystem::remove(path("file"));
  EXPECT_THAT(taken(watch), ElementsAre("file: attributes"));
  std::filesystem::remove(path("other"));
  EXPECT_THAT(taken(watch), ElementsAre("file: removed"));
}

TEST_F(FileWatchTest, AFileThatIsReplacedIsRemoved) {
  write("file");
  write("new");
  FileWatch watch(path("file"), Changed::removed);
  std::filesystem::rename(path("new"), path("file"));
  EXPECT_THAT(taken(watch), ElementsAre("file: removed"));
}

TEST_F(FileWatchTest, AFolderThatIsRemovedEndsTheWatch) {
  std::filesystem::create_directory(path("folder"));
  FileWatch watch(path("folder"));
  auto waiter = spawn("waiter", [&] {
    std::vector<std::string> changes;
    while (auto change = watch.next()) changes.push_back(to_string(change->what));
    return changes;
  });
  yield();
  std::filesystem::remove(path("folder"));
  EXPECT_THAT(waiter.join(), ElementsAre("removed"));
}

TEST_F(FileWatchTest, OneWatchMayBeOverSeveral) {
  std::filesystem::create_directory(path("a"));
  std::filesystem::create_directory(path("b"));
  FileWatch watch;
  EXPECT_EQ(watch.next().why(), Why::closed);
  watch.add(path("a"), Changed::created);
  watch.add(path("b"), Changed::created);
  write("a/1");
  write("b/2");
  EXPECT_EQ(watch.next()->path, path("a/1"));
  write("a/3");
  watch.remove(path("a"));
  EXPECT_EQ(watch.next()->path, path("b/2"));
  EXPECT_THAT(taken(watch), IsEmpty()) << "what was not taken is dropped";
  watch.remove(path("b"));
  EXPECT_EQ(watch.next().why(), Why::closed);
}

TEST_F(FileWatchTest, RemovingTheLastEndsWhoWaits) {
  FileWatch watch(folder_);
  auto waiter = spawn("waiter", [&] { return watch.next().why(); });
  yield();
  watch.remove(folder_);
  EXPECT_EQ(waiter.join(), Why::closed);
}

TEST_F(FileWatchTest, ALimitLosesNothing) {
  FileWatch watch(folder_, Changed::created);
  EXPECT_EQ(watch.next(absl::ZeroDuration()).why(), Why::timed_out);
  Signal gone;
  gone.go();
  EXPECT_EQ(watch.next(gone).why(), Why::stopped);
  auto waiter = spawn("waiter", [&] { static_cast<void>(watch.next()); });
  yield();
  write("a");
  waiter.cancel();
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_THAT(taken(watch), ElementsAre("a: created"));
}

TEST_F(FileWatchTest, ManyChangesGoToManyWhoWait) {
  FileWatch watch(folder_, Changed::created);
  std::vector<Fiber<std::string>> waiters;
  for (int i = 0; i < 3; ++i) waiters.push_back(spawn("waiter", [&] { return watch.next()->path; }));
  yield();
  for (const char* name : {"0", "1", "2"}) write(name);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(waiters[static_cast<std::size_t>(i)].join(), path(std::to_string(i)));
}

TEST_F(FileWatchTest, TooManyChangesAreTold) {
  std::size_t limit = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> limit;
  ASSERT_GT(limit, 0u);
  write("a");
  FileWatch watch(folder_, Changed::moved_away | Changed::moved_in);
  for (std::size_t i = 0; i < limit / 2 + 1; ++i) {
    ASSERT_EQ(::rename(path(i % 2 == 0 ? "a" : "b").c_str(), path(i % 2 == 0 ? "b" : "a").c_str()), 0);
  }
  std::size_t told = 0;
  bool overflowed = false;
  while (auto change = watch.next(absl::ZeroDuration())) {
    ASSERT_FALSE(overflowed) << "it is the last";
    overflowed = any(change->what & Changed::overflow);
    if (!overflowed) ++told;
  }
  EXPECT_TRUE(overflowed);
  EXPECT_EQ(told, limit);
}

TEST_F(FileWatchTest, ErrorsNameThePath) {
  EXPECT_EQ(what_of<IoError>([&] { FileWatch watch(path("none")); }), "file \"" + path("none") + "\": cannot watch it: No such file or directory");
  EXPECT_THAT(what_of<Misuse>([&] { FileWatch watch(folder_, Changed{}); }), HasSubstr("needs something to watch for"));
  FileWatch watch(folder_);
  EXPECT_THAT(what_of<Misuse>([&] { watch.add(folder_ + "/."); }), HasSubstr("is watched already"));
  EXPECT_THAT(what_of<Misuse>([&] { watch.remove(path("none")); }), HasSubstr("is not watched"));
  EXPECT_THAT(what_of<Misuse>([&] { watch.remove(std::string("a\0behind", 8)); }), HasSubstr("behind\" is not watched")) << "not cut at its NUL";
  EXPECT_THAT(what_of<Misuse>([&] { watch.add(std::string("a\0behind", 8), Changed{}); }), HasSubstr("behind\" needs something"));
  EXPECT_EQ(watch.name(), "watch over \"" + folder_ + "\"");
}

TEST_F(FileWatchTest, ClosingItWakesWhoWaits) {
  FileWatch watch(folder_);
  auto waiter = spawn("waiter", [&] { return what_of<Closed>([&] { static_cast<void>(watch.next()); }); });
  yield();
  watch.close();
  EXPECT_THAT(waiter.join(), HasSubstr("a FileWatch was closed while a fiber waited"));
  EXPECT_THAT(what_of<Closed>([&] { watch.add(folder_); }), HasSubstr("a FileWatch is closed"));
}

// shrapnel's notify_of_close, "fired": both events come by one look at the kernel; who is told of the first closes what the second is about.
TEST_F(FileWatchTest, WhatOneEventClosesEndsWhoWasAboutToHaveAnother) {
  write("file");
  FileWatch watch(path("file"), Changed::removed);
  auto [reader, writer] = make_pipe();
  auto closer = spawn("closer", [&, &reader = reader] {
    EXPECT_TRUE(watch.next());
    reader.close();
  });
  auto late = spawn("late", [&, &reader = reader] { return what_of<Closed>([&] { static_cast<void>(reader.read_line()); }); });
  yield();
  std::filesystem::remove(path("file"));
  writer.write_all("x\n");
  closer.join();
  EXPECT_THAT(late.join(), HasSubstr("a pipe"));
}

}  // namespace
}  // namespace cooperative
