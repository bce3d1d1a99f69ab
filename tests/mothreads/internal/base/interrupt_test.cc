#include "mothreads/internal/base/interrupt.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>

#include <gtest/gtest.h>

#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0::internal {
namespace {

std::uint64_t os_thread_id() { return static_cast<std::uint64_t>(syscall(SYS_gettid)); }

struct Answer {
  std::uint64_t os_thread_id = 0;
  std::array<void*, 64> frames{};
  int count = 0;
};

void answer(void* argument) {
  auto& the_answer = *static_cast<Answer*>(argument);
  the_answer.os_thread_id = os_thread_id();
  the_answer.count = interrupted_frames(the_answer.frames.data(), static_cast<int>(the_answer.frames.size()));
}

TEST(InterruptTest, TheFunctionRunsOnThatThread) {
  std::atomic<std::uint64_t> id{0};
  Signal known;
  const auto thread = Thread::run("interrupted", [&](Signal please_stop) {
    id = os_thread_id();
    known.go();
    please_stop.wait();
  });
  known.wait();
  for (int i = 0; i < 10; ++i) {
    Answer got;
    ASSERT_EQ(interrupt_thread(id, answer, &got), Interrupted::ran);
    EXPECT_EQ(got.os_thread_id, id);
    EXPECT_GT(got.count, 1);
  }
}

TEST(InterruptTest, AThreadMayInterruptItself) {
  Answer got;
  ASSERT_EQ(interrupt_thread(os_thread_id(), answer, &got), Interrupted::ran);
  EXPECT_EQ(got.os_thread_id, os_thread_id());
}

TEST(InterruptTest, FramesAreCutToWhatThereIsRoomFor) {
  const auto take_one = [](void* argument) {
    auto& got = *static_cast<Answer*>(argument);
    got.count = interrupted_frames(got.frames.data(), 1);
  };
  Answer got;
  ASSERT_EQ(interrupt_thread(os_thread_id(), take_one, &got), Interrupted::ran);
  EXPECT_EQ(got.count, 1);
  EXPECT_NE(got.frames[0], nullptr);
  EXPECT_EQ(got.frames[1], nullptr);
}

TEST(InterruptTest, AThreadThatHasEndedRunsNothing) {
  std::uint64_t id = 0;
  Thread::run("short", [&](Signal) { id = os_thread_id(); }).join();
  Answer got;
  EXPECT_EQ(interrupt_thread(id, answer, &got), Interrupted::refused);
  EXPECT_EQ(interrupt_thread(0, answer, &got), Interrupted::refused);
  EXPECT_EQ(got.os_thread_id, 0u);
}

}  // namespace
}  // namespace mothreads::internal
