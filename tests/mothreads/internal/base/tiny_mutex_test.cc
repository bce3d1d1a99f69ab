#include "mothreads/internal/base/tiny_mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mothreads::inline v0::internal {
namespace {

TEST(TinyMutexTest, IsAsSmallAsItCanBe) { static_assert(sizeof(TinyMutex) == 4); }

TEST(TinyMutexTest, TryLockSaysWhetherItTookIt) {
  TinyMutex mutex;
  ASSERT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  ASSERT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST(TinyMutexTest, TheGuardHoldsItForItsScope) {
  TinyMutex mutex;
  {
    TinyLock lock(mutex);
    EXPECT_FALSE(mutex.try_lock());
  }
  ASSERT_TRUE(mutex.try_lock());
  mutex.unlock();
}

class TinyMutexCrowdTest : public ::testing::TestWithParam<int> {};

TEST_P(TinyMutexCrowdTest, OneIsInsideAtATimeAndSeesWhatTheOthersDid) {
  constexpr int kRounds = 20'000;
  TinyMutex mutex;
  long counter = 0;  // guarded by the mutex alone
  std::vector<std::thread> threads;
  for (int i = 0; i < GetParam(); ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        TinyLock lock(mutex);
        ++counter;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, static_cast<long>(GetParam()) * kRounds);
}

INSTANTIATE_TEST_SUITE_P(All, TinyMutexCrowdTest, ::testing::Values(1, 2, 8));

// A holder that gives way inside makes the others go past their spinning, to sleep; each of them is woken.
TEST_P(TinyMutexCrowdTest, SleepersAreWoken) {
  constexpr int kRounds = 200;
  TinyMutex mutex;
  long counter = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < GetParam(); ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        TinyLock lock(mutex);
        const long before = counter;
        for (int j = 0; j < 10; ++j) std::this_thread::yield();
        counter = before + 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, static_cast<long>(GetParam()) * kRounds);
}

}  // namespace
}  // namespace mothreads::internal
