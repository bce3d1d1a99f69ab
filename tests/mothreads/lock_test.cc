#include "mothreads/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/is_free.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"
#include "tests/support/system_calls.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::await_sleeping;
using testing::is_free;
using testing::ScriptedContext;
using ::testing::ElementsAre;

// --- entering ------------------------------------------------------------------------------------------------------------

class LockCrowdTest : public ::testing::TestWithParam<int> {};

// Theirs: test_consistency, 50 threads that add up to 5000.
TEST_P(LockCrowdTest, OneIsInsideAtATime) {
  constexpr int kRounds = 100;
  Lock lock("counter");
  int counter = 0;  // guarded by the lock alone
  int inside = 0;
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < GetParam(); ++i) {
    threads.push_back(Thread::run("adder", [&](Signal) {
      for (int round = 0; round < kRounds; ++round) {
        auto held = lock.enter();
        EXPECT_EQ(++inside, 1);
        ++counter;
        --inside;
      }
    }));
  }
  join_all(threads);
  EXPECT_EQ(counter, GetParam() * kRounds);
}

INSTANTIATE_TEST_SUITE_P(All, LockCrowdTest, ::testing::Values(1, 2, 8, 50));

TEST(LockTest, IsHeldForTheScopeOfTheGuard) {
  Lock lock;
  EXPECT_TRUE(is_free(lock));
  {
    auto held = lock.enter();
    EXPECT_FALSE(is_free(lock));
  }
  EXPECT_TRUE(is_free(lock));
}

TEST(LockTest, AnExceptionLeavesIt) {
  Lock lock;
  const auto fail_inside = [&] {
    auto held = lock.enter();
    throw std::runtime_error("inside");
  };
  EXPECT_THROW(fail_inside(), std::runtime_error);
  EXPECT_TRUE(is_free(lock));
}

TEST(LockTest, HasAName) {
  std::string name = "tea";
  const Lock lock(name);
  name = "overwritten";
  EXPECT_EQ(lock.name(), "tea");
  EXPECT_EQ(Lock().name(), "lock");
}

TEST(LockTest, CanBeEnteredAgainAfterLeaving) {
  Lock lock;
  for (int i = 0; i < 10; ++i) {
    auto held = lock.enter();
    EXPECT_FALSE(is_free(lock));
  }
}

TEST(LockTest, IsALockableOfTheStandardLibrary) {
  Lock a;
  Lock b;
  {
    std::scoped_lock both(a, b);
    EXPECT_FALSE(is_free(a));
    EXPECT_FALSE(is_free(b));
  }
  {
    std::unique_lock one(a, std::try_to_lock);
    EXPECT_TRUE(one.owns_lock());
  }
  EXPECT_TRUE(is_free(a));
  EXPECT_TRUE(is_free(b));
}

TEST(LockTest, TryLockNeverWaits) {
  Lock lock;
  ASSERT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());  // also for the owner it is no error to ask
  EXPECT_FALSE(is_free(lock));
  lock.unlock();
  EXPECT_TRUE(is_free(lock));
}

TEST(LockTest, TryLockTakesAFreeLockThatOthersWaitIn) {
  Lock lock;
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.script({[&] {
    EXPECT_TRUE(lock.try_lock());
    stop.go();
    lock.unlock();
  }});
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(stop), Why::stopped);
  });
}

TEST(LockTest, WhoQueuesEntersInTheOrderTheyCame) {
  Lock lock("door");
  std::vector<int> entered;
  std::vector<ThreadHandle<void>> threads;
  {
    auto held = lock.enter();
    for (int i = 0; i < 8; ++i) {
      threads.push_back(Thread::run("visitor", [&, i](Signal) {
        auto inside = lock.enter();
        entered.push_back(i);
      }));
      await_sleeping(threads.back().thread(), "enters lock door");
    }
  }
  join_all(threads);
  EXPECT_THAT(entered, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

// Who runs may take the lock before those who queue; the first of them then keeps its turn.
TEST(LockTest, WhoWasWokenAndFoundItTakenKeepsItsTurn) {
  Lock lock("door");
  std::vector<std::string> entered;
  ScriptedContext& first = ScriptedContext::make("first");
  std::optional<ThreadHandle<void>> second;
  lock.lock();
  first.script({
      [&] {
        second.emplace(Thread::run("second", [&](Signal) {
          auto held = lock.enter();
          entered.push_back("second");
        }));
        await_sleeping(second->thread(), "enters lock door");
        lock.unlock();  // wakes the first
        lock.lock();    // but takes it again before that runs
        entered.push_back("barger");
      },
      [&] { lock.unlock(); },
  });
  first.run([&] {
    auto held = lock.enter();
    entered.push_back("first");
  });
  second->join();
  EXPECT_THAT(entered, ElementsAre("barger", "first", "second"));
}

TEST(LockTest, EnteringAndLeavingMakeNoSystemCallAndNoAllocation) {
  Lock lock;
  const auto before = allocations_here();
  for (int i = 0; i < 10; ++i) auto held = lock.enter();
  EXPECT_EQ(allocations_here() - before, 0U);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Lock quick;
        static_cast<void>(internal::Context::current());  // made at its first use
        testing::refuse_system_calls();
        for (int i = 0; i < 10; ++i) auto held = quick.enter();
        const bool taken = quick.try_lock();
        quick.unlock();
        testing::leave(taken ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// --- programmers' errors -------------------------------------------------------------------------------------------------

// K4: entering again hung for ever, silently.
TEST(LockDeathTest, EnteringTwiceIsFatalAndNamesTheLockAndTheThreadK4) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Lock lock("tea pot");
        Thread::run("drinker", [&](Signal) {
          auto held = lock.enter();
          auto again = lock.enter();
        }).join();
      },
      "Lock \"tea pot\" was entered a second time by \"drinker\"");
}

TEST(LockDeathTest, EnteringTwiceAfterAWaitIsFatalTooK4) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Lock lock("tea pot");
        auto held = lock.enter();
        static_cast<void>(held.wait(absl::ZeroDuration()));
        lock.lock();
      },
      "Lock \"tea pot\" was entered a second time");
}

// Theirs: test_relase_lock_failure.
TEST(LockDeathTest, LeavingWithoutBeingInsideIsFatalAndNamesTheLock) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Lock lock("tea pot");
        lock.unlock();
      },
      "Lock \"tea pot\" was left");
}

TEST(LockDeathTest, DestroyingItWhileSomebodyIsInsideIsFatalAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<Lock> lock;
        lock.emplace("tea pot");
        lock->lock();
        lock.reset();
      },
      "Lock \"tea pot\" was destroyed while somebody is inside or waits");
}

TEST(LockDeathTest, DestroyingItWhileSomebodyWaitsIsFatalAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<Lock> lock;
        lock.emplace("tea pot");
        auto thread = Thread::run("waiter", [&](Signal) {
          auto held = lock->enter();
          held.wait();
        });
        await_sleeping(thread.thread(), "waits in lock tea pot");
        lock.reset();
      },
      "Lock \"tea pot\" was destroyed while somebody is inside or waits");
}

}  // namespace
}  // namespace mothreads
