#include "mothreads/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/is_free.h"
#include "tests/support/race.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::await_sleeping;
using testing::is_free;
using testing::name_of_race;
using testing::Race;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
  ScriptedContext::make_library_thread().run([&] {
    auto held = lock.enter();
    try {
      static_cast<void>(held.wait(absl::Seconds(1)));
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
    static_cast<void>(held.wait(please_stop | absl::Seconds(1)));
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
    EXPECT_EQ(held.wait(Until()), Why::ready);
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
      EXPECT_EQ(held.wait(Until()), Why::ready);
    });
  };
  wait_as(0);
  // Waiter 0 is woken when 1 begins to wait, and so on: entering the wait is a leaving, too. The last is left to the first leave.
  EXPECT_THAT(woken, ElementsAre("0", "1", "2", "leave", "3", "leave", "leave", "leave"));
}

class LockRaceTest : public testing::RaceTest {};

TEST_P(LockRaceTest, TheFirstThatHappensDecides) {
  Lock lock;
  run({{"leave", [&] { auto held = lock.enter(); }}}, [&] {
    auto held = lock.enter();
    EXPECT_EQ(held.wait(stop | absl::Seconds(1)), GetParam().why);
    EXPECT_FALSE(is_free(lock));
  });
  EXPECT_TRUE(is_free(lock));
}

INSTANTIATE_TEST_SUITE_P(All, LockRaceTest,
                         ::testing::Values(Race{"LeaveTimeStop", {"leave", "time", "stop"}, Why::ready},
                                           Race{"LeaveStopTime", {"leave", "stop", "time"}, Why::ready},
                                           Race{"TimeLeaveStop", {"time", "leave", "stop"}, Why::timed_out},
                                           Race{"TimeStopLeave", {"time", "stop", "leave"}, Why::timed_out},
                                           Race{"StopLeaveTime", {"stop", "leave", "time"}, Why::stopped},
                                           Race{"StopTimeLeave", {"stop", "time", "leave"}, Why::stopped}),
                         name_of_race);

TEST(LockWaitTest, AWakeUpIsNotLostToAWaiterWhoseTimeHasCome) {
  VirtualClock clock;
  Lock lock("room");
  ScriptedContext& first = ScriptedContext::make("first", clock);
  std::optional<ThreadHandle<Why>> second;
  first.script({[&] {
    second.emplace(Thread::run("second", [&](Signal) {
      auto held = lock.enter();
      return held.wait(Until()).why();
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

}  // namespace
}  // namespace mothreads
