#include "mothreads/internal/base/made_once.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mothreads::inline v0::internal {
namespace {

TEST(MadeOnceTest, OneIsMadeWhoeverAsks) {
  static constinit MadeOnce<int> number;
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  std::vector<int*> found(4);
  for (int*& one : found) {
    threads.emplace_back([&made, &one] { one = &number.get([&made] { return new int(++made); }); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  for (int* const one : found) EXPECT_EQ(one, found[0]);
}

TEST(MadeOnceTest, AfterAnExceptionTheNextTriesAgain) {
  static constinit MadeOnce<int> number;
  EXPECT_THROW(number.get([]() -> int* { throw std::runtime_error("not now"); }), std::runtime_error);
  EXPECT_EQ(number.get([] { return new int(7); }), 7);
}

// Of a static object's guard that another thread has at the fork() a child has a copy that nobody lets go.
TEST(MadeOnceTest, AForkWaitsForWhatIsBeingMade) {
  static constinit MadeOnce<int> number;
  std::atomic<bool> is_inside{false}, may_go_on{false}, forks{false};
  std::thread maker([&] {
    number.get([&] {
      is_inside = true;
      is_inside.notify_all();
      may_go_on.wait(false);
      return new int(1);
    });
  });
  is_inside.wait(false);
  int status = -1;
  std::thread forker([&] {
    forks = true;
    forks.notify_all();
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      _exit(number.get([] { return new int(2); }));
    }
    while (waitpid(child, &status, 0) != child) {
    }
  });
  forks.wait(false);
  for (int i = 0; i < 100; ++i) std::this_thread::yield();  // most often the fork() has begun to wait
  may_go_on = true;
  may_go_on.notify_all();
  maker.join();
  forker.join();
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(KnownTest, IsLookedForUntilItIsFound) {
  static constinit Known<int> number{-1};
  EXPECT_EQ(number.get([] { return 5; }), 5);
  EXPECT_EQ(number.get([] { return 6; }), 5);
}

}  // namespace
}  // namespace mothreads::internal
