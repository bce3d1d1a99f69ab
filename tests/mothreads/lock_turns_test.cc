// Who enters a Lock, and after how many others at most.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/lock.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/is_free.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0 {
namespace {

using testing::ScriptedContext;
using testing::VirtualClock;

// Takes it and leaves it again as a running thread does that does not queue.
bool barge(Lock& lock) {
  if (!lock.try_lock()) return false;
  lock.unlock();
  return true;
}

// The waiter has been woken, but its thread is slow to come.
TEST(LockTurnsTest, ARunningThreadMayBargeSoManyTimesAndNoMore) {
  Lock lock("door");
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  lock.lock();
  waiter.script({[&] {
    lock.unlock();  // wakes it
    for (std::uint32_t i = 1; i < Lock::kMaxBarges; ++i) ASSERT_TRUE(barge(lock)) << i;
    EXPECT_TRUE(barge(lock));   // the last, at the limit
    EXPECT_FALSE(barge(lock));  // one past it: free, and the waiter's alone
  }});
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_FALSE(testing::is_free(lock));
  });
  EXPECT_TRUE(testing::is_free(lock));
}

// It comes while a barger is inside, again and again: all of them count.
TEST(LockTurnsTest, FindingItTakenDoesNotBeginTheCountAnew) {
  Lock lock("door");
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  lock.lock();
  std::uint32_t sections = 0;
  std::vector<std::function<void()>> steps;
  for (std::uint32_t i = 0; i < Lock::kMaxBarges + 10; ++i) {
    steps.push_back([&] {
      lock.unlock();
      if (lock.try_lock()) ++sections;
    });
  }
  waiter.script(std::move(steps));
  waiter.run([&] { auto held = lock.enter(); });
  EXPECT_EQ(sections, Lock::kMaxBarges);
}

// --- a limit ---------------------------------------------------------------------------------------------------------------------------

// Whose limit has come is let in at the next leaving, whatever those do who run.
TEST(LockTurnsTest, AWaitWhoseLimitHasComeIsNotKeptOut) {
  VirtualClock clock;
  Lock lock("room");
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  int sections = 0;
  waiter.script({
      [&] {
        lock.lock();
        clock.advance(absl::Milliseconds(10));  // it is woken, and finds the lock held
      },
      [&] {
        lock.unlock();
        while (sections < 5000 && barge(lock)) ++sections;
      },
  });
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(absl::Milliseconds(10)), Why::timed_out);
  });
  EXPECT_EQ(sections, 0);
}

// It was woken by a change, and its limit comes while it queues to enter again.
TEST(LockTurnsTest, ALimitThatComesOnTheWayBackIsHonoured) {
  VirtualClock clock;
  Lock lock("room");
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  int sections = 0;
  waiter.script({
      [&] {
        lock.lock();
        lock.unlock();  // a change
        lock.lock();
      },
      [&] { clock.advance(absl::Milliseconds(10)); },  // in the queue
      [&] {
        lock.unlock();
        while (sections < 5000 && barge(lock)) ++sections;
      },
  });
  waiter.run([&] {
    auto held = lock.enter();
    static_cast<void>(held.wait(absl::Milliseconds(10)));
  });
  EXPECT_EQ(sections, 0);
}

// A thread that queues is woken once, and not at each leaving that it sleeps through.
TEST(LockTurnsTest, WhoIsOnTheWayIsWokenOnce) {
  Lock lock("door");
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  lock.lock();
  waiter.script({[&] {
    lock.unlock();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(barge(lock));
  }});
  waiter.run([&] { auto held = lock.enter(); });
  EXPECT_EQ(waiter.resumes(), 1);
}

TEST(LockTurnsDeathTest, DestroyingItWhileSomebodyIsOnTheWayIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<Lock> lock;
        lock.emplace("tea pot");
        lock->lock();
        ScriptedContext& waiter = ScriptedContext::make("waiter");
        waiter.script({[&] {
          lock->unlock();
          lock.reset();
        }});
        waiter.run([&] { auto held = lock->enter(); });
      },
      "Lock \"tea pot\" was destroyed while somebody is inside or waits");
}

}  // namespace
}  // namespace mothreads
