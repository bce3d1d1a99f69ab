// The last moments of a thread, where its own thread_local objects, results and functions still use the library.

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"

namespace mothreads::inline v0 {
namespace {

class ThreadEnd : public testing::NothingLeft {};

// Uses the library when its thread has nearly ended.
struct Late {
  Queue<int>* queue = nullptr;
  int value = 0;
  ~Late() {
    if (queue != nullptr) queue->add(std::move(value));
  }
};
thread_local Late first_late;
thread_local Late second_late;

void set_late(Queue<int>& queue) {
  first_late.queue = &queue;
  first_late.value = 1;
  second_late.queue = &queue;
  second_late.value = 2;
}

TEST_F(ThreadEnd, ThreadLocalsOfAForeignThreadMayUseTheLibrary) {
  Queue<int> queue("late");
  std::thread([&] {
    set_late(queue);
    queue.add(0);
  }).join();
  EXPECT_EQ(queue.pop_all().size(), 3u);
}

TEST_F(ThreadEnd, ThreadLocalsOfAThreadMayUseTheLibrary) {
  Queue<int> queue("late");
  Thread::run("late", [&](Signal) { set_late(queue); }).join();
  EXPECT_EQ(queue.pop_all().size(), 2u);
}

struct Flag {
  std::atomic<bool>* alive = nullptr;
  std::atomic<int>* wrong = nullptr;
  ~Flag() {
    if (alive != nullptr && !*alive) ++*wrong;
  }
};
thread_local Flag thread_local_flag;

struct Result {
  explicit Result(std::atomic<bool>* a, std::atomic<int>* w) : flag{a, w} {}
  Result(Result&& other) noexcept : flag{std::exchange(other.flag.alive, nullptr), other.flag.wrong} {}
  Flag flag;
};

// A group that is gone has no thread that still runs code of the user's: captures by reference are safe to the last.
TEST_F(ThreadEnd, NothingOfAMemberRunsAfterItsGroup) {
  std::atomic<int> wrong{0};
  for (int i = 0; i < 300; ++i) {
    std::atomic<bool> alive{true};
    {
      ThreadGroup group("group");
      for (int member = 0; member < 3; ++member) {
        group.run("member", [&](Signal) {
          thread_local_flag.alive = &alive;
          thread_local_flag.wrong = &wrong;
          return Result(&alive, &wrong);
        });
      }
      group.join();
    }
    alive = false;
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(ThreadEnd, PthreadExitEndsAThreadAsAnyOther) {
  Signal child_stopped;
  auto thread = Thread::run("leaver", [&](Signal) {
    auto child = Thread::run("child", [](Signal please_stop) { please_stop.wait(); });
    child_stopped = child.stopped();
    child.release();
    pthread_exit(nullptr);
  });
  EXPECT_THROW(thread.join(), std::runtime_error);
  EXPECT_TRUE(child_stopped);
}

// The function runs in the very thread that it joins: somebody else has to take the OS thread, or it is never freed.
TEST_F(ThreadEnd, JoinedByItsOwnStoppedFunctionItIsStillReaped) {
  Signal joined;
  Signal begin;
  auto thread = Thread::run("self", [&](Signal) { begin.wait(); });
  thread.stopped().then([&] {
    thread.join();
    joined.go();
  });
  begin.go();
  joined.wait();
  EXPECT_FALSE(thread.owns());
}

}  // namespace
}  // namespace mothreads
