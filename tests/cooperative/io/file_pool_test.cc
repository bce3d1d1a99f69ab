#include "cooperative/io/file_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using internal::SchedulerCore;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::what_of;

class FilePoolTest : public testing::IoTest {
 protected:
  // One at a time.
  int open(const std::string& text) {
    folder_.write("file", text);
    file_ = ::open(folder_.path("file").c_str(), O_RDONLY | O_CLOEXEC);
    return file_;
  }
  void TearDown() override {
    if (file_ >= 0) ::close(file_);
    IoTest::TearDown();
  }
  static bool has_pool() { return SchedulerCore::current().service(internal::io::kFilePool) != nullptr; }
  static std::pair<std::string, Why> read(int file, std::size_t size, std::uint64_t offset) {
    std::string text(size, '?');
    std::size_t done = 0;
    const Why why = read_from_file(file, text, offset, done);
    text.resize(done);
    return {text, why};
  }

  mothreads::testing::ScratchFolder folder_;
  int file_ = -1;
};

TEST_F(FilePoolTest, AnotherThreadMakesTheCallWhileTheFiberWaits) {
  on_thread([] {
    const auto here = std::this_thread::get_id();
    Signal may_end("may_end");
    FileCall call;
    auto caller = spawn("caller", [&] {
      return call_for_file(call, [&]() -> ssize_t {
        EXPECT_NE(std::this_thread::get_id(), here);
        may_end.wait();
        return 7;
      });
    });
    yield();
    EXPECT_FALSE(call.is_done);
    may_end.go();
    EXPECT_EQ(caller.join(), Why::ready);
    EXPECT_TRUE(call.is_done);
    EXPECT_EQ(call.result, 7);
    EXPECT_EQ(call.error, 0);
  });
}

TEST_F(FilePoolTest, TheErrorIsTheCallsOwnAndASignalOfTheSystemIsNone) {
  on_thread([] {
    FileCall call;
    int calls = 0;
    const auto fail = [&]() -> ssize_t {
      errno = ++calls < 3 ? EINTR : ENOENT;
      return -1;
    };
    EXPECT_EQ(call_for_file(call, fail), Why::ready);
    EXPECT_EQ(call.error, ENOENT);
    EXPECT_EQ(calls, 3);
  });
}

TEST_F(FilePoolTest, ALimitEndsTheWaitForAThreadAndNothingElse) {
  on_thread([] {
    Signal may_end("may_end");
    FiberGroup busy("busy");
    for (std::size_t i = 0; i < kFileThreads; ++i) {
      busy.spawn("busy", [&] {
        FileCall call;
        const auto act = [&]() -> ssize_t {
          may_end.wait();
          return 0;
        };
        EXPECT_EQ(call_for_file(call, act), Why::ready);
        EXPECT_EQ(call.result, 0);
      });
    }
    yield();
    Signal enough("enough");
    FileCall call;
    auto late = spawn("late", [&] { return call_for_file(call, [] { return ssize_t{0}; }, enough); });
    yield();
    enough.go();
    EXPECT_EQ(late.join(), Why::stopped);
    EXPECT_FALSE(call.is_done);
    may_end.go();
    busy.join();
  });
}

TEST_F(FilePoolTest, AThreadWithoutFibersMakesItsCallsItself) {
  std::thread([] {
    const auto here = std::this_thread::get_id();
    FileCall call;
    EXPECT_EQ(call_for_file(call, [&]() -> ssize_t { return std::this_thread::get_id() == here ? 1 : 0; }), Why::ready);
    EXPECT_EQ(call.result, 1);
    EXPECT_EQ(SchedulerCore::current_or_null(), nullptr);
  }).join();
}

TEST_F(FilePoolTest, WhatIsInMemoryNeedsNobodyElse) {
  on_thread([this] {
    const int file = open("0123456789");
    EXPECT_EQ(read(file, 4, 3), std::pair(std::string("3456"), Why::ready));
    EXPECT_EQ(bring_into_memory(file, 0, 10), Why::ready);
    EXPECT_FALSE(has_pool());
  });
}

TEST_F(FilePoolTest, AtTheEndThereIsLess) {
  on_thread([this] {
    const int file = open("0123456789");
    EXPECT_EQ(read(file, 100, 8), std::pair(std::string("89"), Why::ready));
    EXPECT_EQ(read(file, 100, 10), std::pair(std::string(), Why::ready));
    EXPECT_EQ(read(file, 100, 1000), std::pair(std::string(), Why::ready));
    EXPECT_EQ(bring_into_memory(file, 5, 1000), Why::ready);
  });
}

TEST_F(FilePoolTest, WhatIsOnTheDiskIsTheSame) {
  on_thread([this] {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += std::to_string(i);
    const int file = open(text);
    folder_.make_cold("file");
    EXPECT_EQ(read(file, text.size(), 0), std::pair(text, Why::ready));
    folder_.make_cold("file");
    EXPECT_EQ(bring_into_memory(file, 1000, 300'000), Why::ready);
    EXPECT_EQ(read(file, 300'000, 1000), std::pair(text.substr(1000, 300'000), Why::ready));
  });
}

TEST_F(FilePoolTest, InATestWorldOthersReadAll) {
  testing::World world({.seed = 2});
  world.run([this] {
    const int file = open("0123456789");
    EXPECT_EQ(read(file, 4, 3), std::pair(std::string("3456"), Why::ready));
    EXPECT_TRUE(has_pool());
  });
}

TEST_F(FilePoolTest, AnErrorNamesTheDescriptor) {
  on_thread([] {
    std::string text(10, ' ');
    std::size_t done = 0;
    EXPECT_EQ(what_of<IoError>([&] { static_cast<void>(read_from_file(-1, text, 0, done)); }),
              "descriptor -1: cannot read from it: Bad file descriptor");
    EXPECT_EQ(bring_into_memory(-1, 0, 10), Why::ready) << "what is to be made of it will say so";
  });
}

}  // namespace
}  // namespace cooperative
