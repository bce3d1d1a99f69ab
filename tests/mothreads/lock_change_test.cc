#include "mothreads/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await;
using testing::await_sleeping;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;

// --- who is woken by a change --------------------------------------------------------------------------------------------

// Waits again and again, until told to end, and counts how often it was woken.
struct LoopingWaiter {
  LoopingWaiter(Lock& of, const std::string& name)
      : lock(of), thread(Thread::run(name, [this](Signal please_stop) {
          auto held = lock.enter();
          while (!please_stop) {
            if (held.wait(please_stop) == Why::ready) ++wake_ups;
          }
        })) {
    await_sleeping(thread.thread(), "waits in lock");
  }

  // Returns once it has been woken so often and sleeps again.
  Instant await_wake_ups(int count) {
    await([&] { return wake_ups == count; });
    return await_sleeping(thread.thread(), "waits in lock");
  }

  Lock& lock;
  std::atomic<int> wake_ups{0};
  ThreadHandle<void> thread;
};

// K1: two waiters that found nothing woke each other for ever, at full processor load.
TEST(LockChangeTest, WaitersThatFindNothingDoNotWakeEachOtherForEverK1) {
  Lock lock("todo");
  LoopingWaiter a(lock, "a");
  LoopingWaiter b(lock, "b");
  // That b came was a change to a; nobody else has been woken.
  const int a_before = 1;
  a.await_wake_ups(a_before);
  constexpr int kLeavings = 200;
  Instant a_sleeps{};
  Instant b_sleeps{};
  for (int i = 1; i <= kLeavings; ++i) {
    { auto held = lock.enter(); }
    // Each looks once at each change.
    a_sleeps = a.await_wake_ups(a_before + i);
    b_sleeps = b.await_wake_ups(i);
  }
  EXPECT_EQ(a.wake_ups, a_before + kLeavings);
  EXPECT_EQ(b.wake_ups, kLeavings);
  // They have slept through since.
  EXPECT_EQ(await_sleeping(a.thread.thread(), "waits in lock todo"), a_sleeps);
  EXPECT_EQ(await_sleeping(b.thread.thread(), "waits in lock todo"), b_sleeps);
}

// The steps of lock.h: B changes something and waits again under the same guard.
TEST(LockChangeTest, WhoWaitsAgainAfterChangedWakesAPeerThatHadItsTurn) {
  for (const bool says_changed : {true, false}) {
    Lock lock("room");
    LoopingWaiter a(lock, "a");
    ScriptedContext& b = ScriptedContext::make("b");
    Instant a_sleeps{};
    const Signal stop;
    b.script({
        [&] {
          a.await_wake_ups(1);  // b came
          lock.lock();
          lock.unlock();  // b is woken, but has not run yet
          lock.lock();
          lock.unlock();  // a is woken, finds nothing and sleeps again: it has had its turn
          a_sleeps = a.await_wake_ups(2);
        },
        [&] {
          if (says_changed) {
            a.await_wake_ups(3);
          } else {
            // Nobody was woken: a still sleeps in the same wait.
            EXPECT_EQ(await_sleeping(a.thread.thread(), "waits in lock room"), a_sleeps);
            EXPECT_EQ(a.wake_ups, 2);
          }
          stop.go();
        },
    });
    b.run([&] {
      auto held = lock.enter();
      EXPECT_EQ(held.wait(stop), Why::ready);
      if (says_changed) held.changed();
      EXPECT_EQ(held.wait(stop), Why::stopped);
    });
  }
}

TEST(LockChangeTest, ATrueConditionCountsAsAChange) {
  Lock lock("room");
  LoopingWaiter a(lock, "a");
  ScriptedContext& b = ScriptedContext::make("b");
  const Signal stop;
  b.script({[&] {
    a.await_wake_ups(1);
    stop.go();
  }});
  b.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait([] { return true; }).why(), Why::ready);
    EXPECT_EQ(held.wait(stop), Why::stopped);
  });
}

// --- scenes from the original --------------------------------------------------------------------------------------------

// Theirs: test_lock_wait_timeout.
TEST(LockScenesTest, WaitsByTimeSeveralTimesInOneSection) {
  VirtualClock clock;
  UseClock use(clock);
  Lock lock("room");
  auto thread = Thread::run("waiter", [&](Signal) {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(Till(absl::Seconds(1))), Why::timed_out);
    EXPECT_EQ(held.wait(Till(absl::Seconds(1))), Why::timed_out);
    EXPECT_EQ(held.wait(Till(Clock::current().now() + std::chrono::seconds(1))), Why::timed_out);
  });
  for (int i = 0; i < 3; ++i) {
    clock.await_timers(1);
    clock.advance(absl::Seconds(1));
  }
  thread.join();
}

// Theirs: test_thread_wait.
TEST(LockScenesTest, AHundredWaitersAllComeOut) {
  constexpr int kThreads = 100;
  Lock lock("room");
  std::vector<int> came;
  std::vector<int> went;
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(Thread::run("waiter", [&, i](Signal) {
      auto held = lock.enter();
      came.push_back(i);
      held.wait();
      went.push_back(i);
    }));
  }
  for (auto& thread : threads) {
    while (thread.is_alive()) {
      auto held = lock.enter();
    }
    thread.join();
  }
  std::vector<int> all(kThreads);
  for (int i = 0; i < kThreads; ++i) all[static_cast<std::size_t>(i)] = i;
  EXPECT_THAT(came, ::testing::UnorderedElementsAreArray(all));
  EXPECT_THAT(went, ::testing::UnorderedElementsAreArray(all));
}

// An arrival is no change: each looks when it comes, and once more at each change.
TEST(LockEnterWhenTest, WhoComesOneAfterTheOtherLooksOnce) {
  constexpr int kThreads = 60;
  Lock lock("room");
  bool is_open = false;
  int looks = 0;
  int inside = 0;
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(Thread::run("waiter", [&](Signal) {
      auto held = lock.enter_when([&] { return ++looks, is_open; });
      ++inside;
    }));
    await_sleeping(threads.back().thread(), "waits in lock");
  }
  {
    auto held = lock.enter();
    EXPECT_EQ(looks, kThreads);
    is_open = true;
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(inside, kThreads);
  EXPECT_EQ(looks, 2 * kThreads);
}

TEST(LockEnterWhenTest, HoldsTheLockAlsoWhenTheLimitComesFirst) {
  Lock lock("room");
  auto held = lock.enter_when([] { return false; }, absl::ZeroDuration());
  auto other = Thread::run("other", [&](Signal) { return lock.try_lock(); });
  EXPECT_FALSE(other.join());
}

TEST(LockEnterWhenTest, AConditionThatThrowsLeavesTheLockFree) {
  Lock lock("room");
  EXPECT_THROW(static_cast<void>(lock.enter_when([]() -> bool { throw std::runtime_error("no look"); })), std::runtime_error);
  const bool is_free = lock.try_lock();
  EXPECT_TRUE(is_free);
  if (is_free) lock.unlock();
}

TEST(LockEnterWhenTest, AWaitAfterItTellsTheOthersOfWhatMayHaveChanged) {
  Lock lock("room");
  int stage = 0;
  auto later = Thread::run("later", [&](Signal) {
    auto held = lock.enter_when([&] { return stage == 1; });
    stage = 2;
  });
  await_sleeping(later.thread(), "waits in lock");
  auto held = lock.enter_when([] { return true; });
  stage = 1;
  EXPECT_TRUE(held.wait([&] { return stage == 2; }));
}

// Theirs: test_thread_wait_till.
TEST(LockScenesTest, AWaitByTimeOnALockOfItsOwnEnds) {
  VirtualClock clock;
  UseClock use(clock);
  std::vector<std::string> order;
  auto thread = Thread::run("waiter", [&](Signal) {
    Lock lock("private");
    auto held = lock.enter();
    static_cast<void>(held.wait(Till(absl::Milliseconds(100))));
    order.push_back("thread");
  });
  clock.await_timers(1);
  clock.advance(absl::Milliseconds(100));
  const Signal stopped = thread.stopped();
  thread.join();
  stopped.wait();
  order.push_back("main");
  EXPECT_THAT(order, ElementsAre("thread", "main"));
}

// Theirs: test_lock_and_till.
TEST(LockScenesTest, LoopsOverShortWaitsGiveWayToABareWait) {
  VirtualClock clock;
  UseClock use(clock);
  Lock lock("room");
  const Signal ready;
  std::vector<ThreadHandle<void>> threads;
  for (const char* name : {"a", "b"}) {
    threads.push_back(Thread::run(name, [&](Signal please_stop) {
      auto held = lock.enter();
      while (!ready) static_cast<void>(held.wait(absl::Milliseconds(10)));
      static_cast<void>(held.wait(please_stop));
    }));
  }
  for (int i = 0; i < 20; ++i) {
    clock.await_timers(1);
    clock.advance(absl::Milliseconds(10));
  }
  ready.go();
  for (auto& thread : threads) {
    while (thread.is_alive()) {
      clock.advance(absl::Milliseconds(10));
      auto held = lock.enter();
    }
    thread.join();
  }
}

}  // namespace
}  // namespace mothreads
