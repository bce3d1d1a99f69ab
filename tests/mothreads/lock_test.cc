#include "mothreads/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/context.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/log_lines.h"
#include "tests/support/sanitized.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"
#include "tests/support/system_calls.h"

namespace mothreads {
namespace {

using testing::allocations_here;
using testing::await;
using testing::await_sleeping;
using testing::LogLines;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Whether nobody is inside; asks as a context of its own. Its leaving wakes a waiter, as any does.
bool is_free(Lock& lock) {
  bool entered = false;
  static ScriptedContext& asker = ScriptedContext::make("asker");
  asker.run([&] {
    entered = lock.try_lock();
    if (entered) lock.unlock();
  });
  return entered;
}

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

// --- waiting inside ------------------------------------------------------------------------------------------------------

template <typename L>
concept CanWait = requires(L& lock) { lock.wait(Until()); };

// K3: a wait by somebody who was not inside left the lock locked for ever.
TEST(LockWaitTest, ExistsOnTheGuardOnlyK3) {
  static_assert(!CanWait<Lock>);
  static_assert(CanWait<Lock::Held>);
  static_assert(!std::is_copy_constructible_v<Lock::Held> && !std::is_move_constructible_v<Lock::Held>);
}

TEST(LockWaitTest, LeavesTheLockWhileItWaitsAndHoldsItAgainWhateverEndedIt) {
  VirtualClock clock;
  Lock lock("room");
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  waiter.script({
      [&] { auto held = lock.enter(); },
      [&] {
        EXPECT_TRUE(lock.try_lock());
        clock.advance(absl::Seconds(1));
        lock.unlock();
      },
      [&] { clock.advance(absl::Seconds(1)); },
      [&] { stop.go(); },
  });
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(absl::Seconds(1)), Why::ready);
    EXPECT_FALSE(is_free(lock));
    EXPECT_EQ(held.wait(absl::Seconds(1)), Why::timed_out);
    EXPECT_FALSE(is_free(lock));
    EXPECT_EQ(held.wait(Till(absl::Seconds(1))), Why::timed_out);
    EXPECT_FALSE(is_free(lock));
    EXPECT_EQ(held.wait(stop | absl::Seconds(1)), Why::stopped);
    EXPECT_FALSE(is_free(lock));
  });
  EXPECT_TRUE(is_free(lock));
  EXPECT_EQ(clock.timers(), 0U);
}

TEST(LockWaitTest, WaitsForTheLockToEnterAgain) {
  VirtualClock clock;
  Lock lock("room");
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  bool other_was_inside = false;
  waiter.script({
      [&] {
        lock.lock();
        clock.advance(absl::Seconds(1));  // the wait is over, but the room is taken
      },
      [&] {
        other_was_inside = true;
        lock.unlock();
      },
  });
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(absl::Seconds(1)), Why::timed_out);
    EXPECT_TRUE(other_was_inside);
  });
}

TEST(LockWaitTest, AZeroLimitDoesNotSleep) {
  Lock lock;
  ScriptedContext::make("must not sleep").run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(absl::ZeroDuration()), Why::timed_out);
    EXPECT_EQ(held.wait(-absl::Seconds(1)), Why::timed_out);
    EXPECT_EQ(held.wait(DONE), Why::stopped);
    EXPECT_EQ(held.wait([] { return false; }, absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_FALSE(is_free(lock));
  });
  EXPECT_TRUE(is_free(lock));
}

TEST(LockWaitTest, IsRefusedOnAThreadOfTheLibraryAndTheLockIsStillHeldK3) {
  Lock lock("refused");
  ScriptedContext& library_thread = ScriptedContext::make("library thread");
  library_thread.must_not_block = true;
  library_thread.run([&] {
    auto held = lock.enter();
    try {
      held.wait(absl::Seconds(1));
      FAIL() << "it waited";
    } catch (const Misuse& misuse) {
      EXPECT_THAT(misuse.what(), HasSubstr("Deadlock detected"));
      EXPECT_THAT(misuse.what(), HasSubstr("refused"));
    }
    EXPECT_FALSE(is_free(lock));
  });
  EXPECT_TRUE(is_free(lock));
}

TEST(LockWaitTest, AllocatesNothing) {
  VirtualClock clock;
  Lock lock;
  const Signal please_stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const auto end_the_wait = [&] { clock.advance(absl::Seconds(1)); };
  waiter.script({end_the_wait, end_the_wait});
  waiter.run([&] {
    auto held = lock.enter();
    const auto before = allocations_here();
    held.wait(please_stop | absl::Seconds(1));
    static_cast<void>(held.wait([] { return false; }, please_stop | absl::Seconds(1)));
    EXPECT_EQ(allocations_here() - before, 0U);
  });
}

// K5: waiters were woken while the lock was still held, only to wait for it.
TEST(LockWaitTest, TheLockIsFreeWhenAWaiterIsWokenK5) {
  Lock lock;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  bool was_free = false;
  waiter.on_resume = [&] { was_free = is_free(lock); };
  waiter.script({[&] { auto held = lock.enter(); }});
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(), Why::ready);
  });
  EXPECT_TRUE(was_free);
  EXPECT_EQ(waiter.resumes(), 1);
}

TEST(LockWaitTest, EachLeavingWakesOneAndTheyWakeInTheOrderTheyCame) {
  Lock lock("room");
  std::vector<std::string> woken;
  std::vector<ScriptedContext*> waiters;
  // Each sleeps inside the script of the one before, so all of them wait at once, on this thread.
  const std::function<void(int)> wait_as = [&](int number) {
    if (number == 4) {
      // Only now does anything happen: one leaving after the other.
      for (int i = 0; i < 4; ++i) {
        auto held = lock.enter();
        woken.push_back("leave");
      }
      return;
    }
    ScriptedContext& waiter = ScriptedContext::make("waiter " + std::to_string(number));
    waiters.push_back(&waiter);
    waiter.on_resume = [&woken, number] { woken.push_back(std::to_string(number)); };
    waiter.script({[&, number] { wait_as(number + 1); }});
    waiter.run([&] {
      auto held = lock.enter();
      EXPECT_EQ(held.wait(), Why::ready);
    });
  };
  wait_as(0);
  // Waiter 0 is woken when 1 begins to wait, and so on: entering the wait is a leaving, too. The last is left to the first leave.
  EXPECT_THAT(woken, ElementsAre("0", "1", "2", "leave", "3", "leave", "leave", "leave"));
}

struct Race {
  const char* name;
  std::vector<std::string> happens;
  Why why;
};

class LockRaceTest : public ::testing::TestWithParam<Race> {};

TEST_P(LockRaceTest, TheFirstThatHappensDecides) {
  VirtualClock clock;
  Lock lock;
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  waiter.script({[&] {
    for (const std::string& what : GetParam().happens) {
      if (what == "leave") auto held = lock.enter();
      if (what == "time") clock.advance(absl::Seconds(1));
      if (what == "stop") stop.go();
    }
  }});
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(stop | absl::Seconds(1)), GetParam().why);
    EXPECT_FALSE(is_free(lock));
  });
  EXPECT_TRUE(is_free(lock));
  EXPECT_EQ(clock.timers(), 0U);
}

INSTANTIATE_TEST_SUITE_P(All, LockRaceTest,
                         ::testing::Values(Race{"LeaveTimeStop", {"leave", "time", "stop"}, Why::ready},
                                           Race{"LeaveStopTime", {"leave", "stop", "time"}, Why::ready},
                                           Race{"TimeLeaveStop", {"time", "leave", "stop"}, Why::timed_out},
                                           Race{"TimeStopLeave", {"time", "stop", "leave"}, Why::timed_out},
                                           Race{"StopLeaveTime", {"stop", "leave", "time"}, Why::stopped},
                                           Race{"StopTimeLeave", {"stop", "time", "leave"}, Why::stopped}),
                         [](const auto& race) { return race.param.name; });

TEST(LockWaitTest, AWakeUpIsNotLostToAWaiterWhoseTimeHasCome) {
  VirtualClock clock;
  Lock lock("room");
  ScriptedContext& first = ScriptedContext::make("first", clock);
  std::optional<ThreadHandle<Why>> second;
  first.script({[&] {
    second.emplace(Thread::run("second", [&](Signal) {
      auto held = lock.enter();
      return held.wait();
    }));
    await_sleeping(second->thread(), "waits in lock room");
  }});
  first.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(absl::Seconds(1)), Why::ready);  // by the second, which came
    first.script({[&] {
      clock.advance(absl::Seconds(1));  // the first has lost, but is still on the list
      auto inside = lock.enter();
    }});
    // The second is woken although the first is before it on the list.
    EXPECT_EQ(held.wait(absl::Seconds(1)), Why::timed_out);
  });
  EXPECT_EQ(second->join(), Why::ready);
}

// --- conditions ----------------------------------------------------------------------------------------------------------

TEST(LockConditionTest, TrueAtOnceDoesNotWait) {
  Lock lock;
  ScriptedContext::make("must not sleep").run([&] {
    auto held = lock.enter();
    const auto before = allocations_here();
    EXPECT_EQ(held.wait([] { return true; }).why(), Why::ready);
    EXPECT_EQ(held.wait([] { return true; }, absl::ZeroDuration()).why(), Why::ready);
    EXPECT_EQ(held.wait([] { return true; }, DONE).why(), Why::ready);
    EXPECT_EQ(allocations_here() - before, 0U);
  });
}

TEST(LockConditionTest, IsLookedAtInsideTheLockAtEachChange) {
  Lock lock;
  int value = 0;
  int looks = 0;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  const auto add_one = [&] {
    auto held = lock.enter();
    ++value;
  };
  waiter.script({add_one, add_one, add_one});
  waiter.run([&] {
    auto held = lock.enter();
    const auto is_three = [&] {
      EXPECT_FALSE(is_free(lock));
      ++looks;
      return value == 3;
    };
    EXPECT_EQ(held.wait(is_three).why(), Why::ready);
  });
  EXPECT_EQ(looks, 4);
}

TEST(LockConditionTest, SaysWhyItEndedAndLooksOnceMore) {
  for (const bool true_at_the_end : {false, true}) {
    VirtualClock clock;
    Lock lock;
    bool condition = false;
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.script({[&] {
      clock.advance(absl::Seconds(1));
      condition = true_at_the_end;  // before the waiter is inside again
    }});
    waiter.run([&] {
      auto held = lock.enter();
      EXPECT_EQ(held.wait([&] { return condition; }, absl::Seconds(1)).why(), true_at_the_end ? Why::ready : Why::timed_out);
    });
  }
}

// A limit counts from the call, not from each look.
TEST(LockConditionTest, WakeUpsDoNotProlongTheLimit) {
  VirtualClock clock;
  Lock lock;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const Instant start = clock.now();
  const auto wake_after_most_of_a_second = [&] {
    clock.advance(absl::Milliseconds(700));
    auto held = lock.enter();
  };
  waiter.script({wake_after_most_of_a_second, wake_after_most_of_a_second, wake_after_most_of_a_second});
  waiter.run([&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait([] { return false; }, absl::Seconds(1)).why(), Why::timed_out);
  });
  EXPECT_EQ(waiter.sleeps(), 2);
  EXPECT_EQ(clock.now() - start, std::chrono::milliseconds(1400));
}

TEST(LockConditionTest, AnExceptionOfItLeavesTheLock) {
  Lock lock;
  const auto fail = [&] {
    auto held = lock.enter();
    static_cast<void>(held.wait([]() -> bool { throw std::runtime_error("condition"); }));
  };
  EXPECT_THROW(fail(), std::runtime_error);
  EXPECT_TRUE(is_free(lock));
}

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

// Theirs: test_thread_wait_till.
TEST(LockScenesTest, AWaitByTimeOnALockOfItsOwnEnds) {
  VirtualClock clock;
  UseClock use(clock);
  std::vector<std::string> order;
  auto thread = Thread::run("waiter", [&](Signal) {
    Lock lock("private");
    auto held = lock.enter();
    held.wait(Till(absl::Milliseconds(100)));
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
      while (!ready) held.wait(absl::Milliseconds(10));
      held.wait(please_stop);
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
        held.wait(absl::ZeroDuration());
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
