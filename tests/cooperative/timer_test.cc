#include "cooperative/timer.h"

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Each test's body runs on a thread whose scheduler is on a virtual clock.
class TimerTest : public ::testing::Test {
 protected:
  template <typename F>
  void on_clock(F&& body) {
    mothreads::testing::on_clock(clock, [&] {
      start = clock.now();
      body();
    });
  }

  // Time passes for the fibers of this thread, who run at each moment.
  void pass(absl::Duration duration) {
    constexpr auto kStep = absl::Milliseconds(10);
    for (absl::Duration passed; passed < duration; passed += kStep) {
      clock.advance(kStep);
      for (int i = 0; i < 4; ++i) yield();
    }
  }

  void note() { calls.push_back(absl::ToInt64Milliseconds(absl::FromChrono(clock.now() - start))); }

  VirtualClock clock;
  Instant start;
  std::vector<std::int64_t> calls;  // milliseconds from the start
};

TEST_F(TimerTest, GoesOnce) {
  on_clock([&] {
    const Timer timer(absl::Milliseconds(100), [&] { note(); });
    pass(absl::Milliseconds(90));
    EXPECT_THAT(calls, IsEmpty());
    pass(absl::Milliseconds(300));
  });
  EXPECT_THAT(calls, ElementsAre(100));
}

TEST_F(TimerTest, OneForReuseGoesAgainAfterReset) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(100), [&] { note(); }, {.reuse = true});
    pass(absl::Milliseconds(200));
    timer.reset(absl::Milliseconds(50));
    pass(absl::Milliseconds(200));
  });
  EXPECT_THAT(calls, ElementsAre(100, 250));
}

TEST_F(TimerTest, OneThatIsNotForReuseSaysSoAfterItHasGone) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(20), [&] { note(); });
    timer.reset(absl::Milliseconds(40));
    pass(absl::Milliseconds(60));
    EXPECT_THROW(timer.reset(absl::Milliseconds(10)), Misuse);
  });
  EXPECT_THAT(calls, ElementsAre(40));
}

TEST_F(TimerTest, RepeatsUntilItIsCancelled) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(100), [&] { note(); }, {.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(350));
    timer.cancel();
    pass(absl::Milliseconds(300));
    EXPECT_THROW(timer.reset(absl::Milliseconds(10)), Misuse);
  });
  EXPECT_THAT(calls, ElementsAre(100, 200, 300));
}

TEST_F(TimerTest, AfterEachCallCountsFromItsEnd) {
  on_clock([&] {
    const Timer timer(absl::Milliseconds(20), [&] {
      note();
      sleep(absl::Milliseconds(30));
    }, {.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(160));  // the last call ends at 150
  });
  EXPECT_THAT(calls, ElementsAre(20, 70, 120));
}

TEST_F(TimerTest, AtFixedRateDoesNotDriftAndLeavesOutWhatPassed) {
  on_clock([&] {
    int call = 0;
    const Timer timer(absl::Milliseconds(20), [&] {
      note();
      if (++call == 2) sleep(absl::Milliseconds(50));
    }, {.repeat = TimerRepeat::at_fixed_rate});
    pass(absl::Milliseconds(130));
  });
  EXPECT_THAT(calls, ElementsAre(20, 40, 100, 120));
}

// In cothread an exception ended the timer, and reset() did nothing from then on.
TEST_F(TimerTest, AnExceptionIsLoggedAndTheTimerLivesOn) {
  LogLines lines;
  on_clock([&] {
    const Timer timer(absl::Milliseconds(20), [&] {
      note();
      throw std::runtime_error("spilled");
    }, {.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(50));
  });
  EXPECT_THAT(calls, ElementsAre(20, 40));
  EXPECT_THAT(lines.with("Timer callback raised uncaught exception"), SizeIs(2));
}

TEST_F(TimerTest, WithoutATimeItSleepsUntilReset) {
  on_clock([&] {
    Timer timer(absl::InfiniteDuration(), [&] { note(); });
    pass(absl::Milliseconds(100));
    timer.reset(absl::Milliseconds(10));
    pass(absl::Milliseconds(50));
  });
  EXPECT_THAT(calls, ElementsAre(110));
}

TEST_F(TimerTest, AResetPutsItOff) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(50), [&] { note(); });
    for (int i = 0; i < 4; ++i) {
      pass(absl::Milliseconds(30));
      timer.reset(absl::Milliseconds(50));
    }
    timer.reset(absl::InfiniteDuration());
    pass(absl::Milliseconds(100));
  });
  EXPECT_THAT(calls, IsEmpty());
}

TEST_F(TimerTest, ATimeThatHasComeButWasNotActedUponIsForgottenByReset) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(50), [&] { note(); });
    yield();
    clock.advance(absl::Milliseconds(60));
    timer.reset(absl::Milliseconds(100));
    pass(absl::Milliseconds(80));
    EXPECT_THAT(calls, IsEmpty());
    pass(absl::Milliseconds(40));
  });
  EXPECT_THAT(calls, ElementsAre(160));
}

TEST_F(TimerTest, AResetInItsCallCountsInsteadOfTheRepetition) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(absl::Milliseconds(20), [&] {
      note();
      timer->reset(absl::Milliseconds(50), TimerRepeat::no);
    }, TimerOptions{.repeat = TimerRepeat::after_each_call, .reuse = true});
    pass(absl::Milliseconds(130));
    timer->cancel();
  });
  EXPECT_THAT(calls, ElementsAre(20, 70, 120));
}

TEST_F(TimerTest, TheDestructorWaitsForTheCallUnderWay) {
  on_clock([&] {
    bool ended = false;
    Event<> go_on;
    {
      const Timer timer(absl::Milliseconds(10), [&] {
        go_on.wait();
        ended = true;
      });
      pass(absl::Milliseconds(20));
      go_on.signal();
    }
    EXPECT_TRUE(ended);
  });
}

TEST_F(TimerTest, ItMayDestroyItself) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(absl::Milliseconds(10), [&] {
      timer.reset();
      note();
    }, TimerOptions{.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(100));
  });
  EXPECT_THAT(calls, ElementsAre(10));
}

// A time that has come, and a call that has not begun: what was set anew is all that counts.
TEST_F(TimerTest, ACallThatHasNotBegunIsForgotten) {
  on_clock([&] {
    Timer reset(absl::Milliseconds(10), [&] { note(); });
    Timer cancelled(absl::Milliseconds(10), [&] { note(); });
    auto destroyed = std::make_unique<Timer>(absl::Milliseconds(10), [&] { note(); });
    // Its limit comes before theirs, in the same round.
    auto changer = spawn("changer", [&] {
      sleep(absl::Milliseconds(9));
      reset.reset(absl::Milliseconds(50));
      cancelled.cancel();
      destroyed.reset();
    });
    yield();
    clock.advance(absl::Milliseconds(20));
    changer.join();
    pass(absl::Milliseconds(100));
  });
  EXPECT_THAT(calls, ElementsAre(70));
}

TEST_F(TimerTest, WhatIsSetDuringACallIsActedUponAfterIt) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(10), [&] {
      note();
      sleep(absl::Milliseconds(100));
    }, {.reuse = true});
    pass(absl::Milliseconds(20));
    timer.reset(absl::Milliseconds(30));
    pass(absl::Milliseconds(300));
  });
  EXPECT_THAT(calls, ElementsAre(10, 140));  // 30 from the end of the call, as in cothread
}

TEST_F(TimerTest, ADurationThatIsGivenInACallCountsFromTheCallsEnd) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(absl::Milliseconds(10), [&] {
      note();
      if (calls.size() == 1) timer->reset(absl::Milliseconds(30), TimerRepeat::no);
      sleep(absl::Milliseconds(100));
    }, TimerOptions{.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(300));
  });
  EXPECT_THAT(calls, ElementsAre(10, 140));
}

TEST_F(TimerTest, AnInstantThatIsGivenInACallIsThatInstant) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(absl::Milliseconds(10), [&] {
      note();
      if (calls.size() == 1) timer->reset(start + std::chrono::milliseconds(60));
      sleep(absl::Milliseconds(20));
    }, TimerOptions{.reuse = true});
    pass(absl::Milliseconds(200));
  });
  EXPECT_THAT(calls, ElementsAre(10, 60));
}

// cothread: reset() is for timers that were made with retrigger, too.
TEST_F(TimerTest, OneThatWasMadeToRepeatCanAlwaysBeReset) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(10), [&] { note(); }, {.repeat = TimerRepeat::after_each_call});
    pass(absl::Milliseconds(10));
    timer.reset(absl::Milliseconds(10), TimerRepeat::no);
    pass(absl::Milliseconds(50));
    timer.reset(absl::Milliseconds(10));
    pass(absl::Milliseconds(50));
    timer.reset(absl::Milliseconds(10), TimerRepeat::at_fixed_rate);
    pass(absl::Milliseconds(20));
  });
  EXPECT_THAT(calls, ElementsAre(10, 20, 70, 120, 130));
}

TEST_F(TimerTest, TakesEveryFormOfTime) {
  on_clock([&] {
    Timer duration(absl::Milliseconds(10), [&] { note(); });
    Timer chrono(std::chrono::milliseconds(20), [&] { note(); });
    Timer of_floats(std::chrono::duration<double>(0.03), [&] { note(); });
    Timer instant(start + std::chrono::milliseconds(40), [&] { note(); });
    Timer passed(start - std::chrono::milliseconds(40), [&] { note(); });
    Timer never(Instant::max(), [&] { note(); });
    Timer wall_clock(absl::Now() - absl::Hours(1), [&] { note(); });
    Timer far_away(absl::Now() + absl::Hours(1), [&] { note(); });
    Timer again(absl::InfiniteDuration(), [&] { note(); });
    again.reset(std::chrono::milliseconds(50));
    pass(absl::Milliseconds(10));
    never.reset(start + std::chrono::milliseconds(60));
    pass(absl::Milliseconds(100));
    static_assert(!std::is_convertible_v<int, TimerTime>);
    static_assert(std::is_convertible_v<std::chrono::steady_clock::time_point, TimerTime>);
    static_assert(std::is_convertible_v<mothreads::Instant, TimerTime>);
    EXPECT_THROW(static_cast<void>(Timer(start, [] {}, {.repeat = TimerRepeat::at_fixed_rate})), Misuse);
    EXPECT_THROW(again.reset(start, TimerRepeat::after_each_call), Misuse);
  });
  EXPECT_THAT(calls, ElementsAre(10, 10, 10, 20, 30, 40, 50, 60));
}

TEST_F(TimerTest, ItsTimeIsThatOfTheClockOfWhoMadeIt) {
  Thread::run("host", [&](Signal) {
    yield();  // the scheduler is on the steady clock
    const mothreads::UseClock use(clock);
    start = clock.now();
    Timer once(absl::Milliseconds(100), [&] { note(); });
    Timer each(absl::Milliseconds(70), [&] { note(); }, {.repeat = TimerRepeat::at_fixed_rate});
    Timer dropped(absl::Milliseconds(50), [&] { note(); });
    Timer put_off(absl::Milliseconds(50), [&] { note(); });
    pass(absl::Milliseconds(40));
    dropped.cancel();
    put_off.reset(absl::Milliseconds(50));
    pass(absl::Milliseconds(110));
  }).join();
  EXPECT_THAT(calls, ElementsAre(70, 90, 100, 140));
}

TEST_F(TimerTest, ACallIsStoppedWithWhoMadeTheTimer) {
  on_clock([&] {
    bool unwound = false;
    std::unique_ptr<Timer> timer;
    auto maker = spawn("maker", [&] {
      timer = std::make_unique<Timer>(absl::Milliseconds(10), [&] {
        struct Note {
          bool& is_set;
          ~Note() { is_set = true; }
        } note{unwound};
        sleep(absl::InfiniteDuration());
      }, TimerOptions{.repeat = TimerRepeat::after_each_call});
      sleep(absl::InfiniteDuration());
    });
    pass(absl::Milliseconds(20));
    maker.stop();
    EXPECT_THROW(maker.join(), WasCancelled);
    EXPECT_TRUE(unwound);
    EXPECT_THROW(timer->reset(absl::Milliseconds(10)), Misuse);
  });
}

TEST_F(TimerTest, ItLivesOnWhenWhoMadeItHasEnded) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    spawn("maker", [&] { timer = std::make_unique<Timer>(absl::Milliseconds(30), [&] { note(); }); }).join();
    pass(absl::Milliseconds(50));
  });
  EXPECT_THAT(calls, ElementsAre(30));
}

TEST_F(TimerTest, OnAnotherClockToo) {
  Thread::run("host", [&](Signal) {
    yield();  // the scheduler is on the steady clock
    const mothreads::UseClock use(clock);
    start = clock.now();
    std::unique_ptr<Timer> timer;
    spawn("maker", [&] { timer = std::make_unique<Timer>(absl::Milliseconds(30), [&] { note(); }); }).join();
    pass(absl::Milliseconds(50));
  }).join();
  EXPECT_THAT(calls, ElementsAre(30));
}

// Its function has ended, but not yet its child; or both in one round.
TEST_F(TimerTest, AlsoWhenItsTimeComesWhileWhoMadeItEnds) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    Event<> child_ends;
    Fiber<void> maker;
    maker = spawn("maker", [&] {
      spawn({.name = "child", .parent = maker}, [&](Signal) { child_ends.wait(); }).release();
      timer = std::make_unique<Timer>(absl::Milliseconds(30), [&] { note(); });
    });
    pass(absl::Milliseconds(50));  // it is made after 10
    child_ends.signal();
    maker.join();
  });
  EXPECT_THAT(calls, ElementsAre(40));
}

TEST_F(TimerTest, AlsoWhenItsTimeComesInTheRoundInWhichWhoMadeItEnds) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    auto maker = spawn("maker", [&] {
      timer = std::make_unique<Timer>(absl::Milliseconds(30), [&] { note(); });
      sleep(absl::Milliseconds(30) - absl::Nanoseconds(1));  // so it comes before the call
    });
    pass(absl::Milliseconds(50));
    maker.join();
  });
  EXPECT_THAT(calls, ElementsAre(40));
}

TEST_F(TimerTest, ACallThatCanHaveNoStackIsLoggedOnce) {
  LogLines lines;
  on_clock([&] {
    Timer timer(absl::InfiniteDuration(), [&] { note(); }, {.reuse = true, .stack_size = std::size_t{1} << 60});
    timer.reset(absl::Milliseconds(10));
    pass(absl::Milliseconds(100));
    EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
    timer.reset(absl::Milliseconds(10));
    pass(absl::Milliseconds(100));
  });
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(lines.with("cannot have a stack"), SizeIs(2));
  EXPECT_THAT(calls, IsEmpty());
}

// What the root made before it was told to stop is told with it; what it needs to clean up, it makes later.
TEST_F(TimerTest, ACallOfTheRootsTimerIsStoppedWithTheThreadAlsoWhenItComesLater) {
  on_clock([&] {
    Timer before(absl::Milliseconds(20), [&] { note(); });
    Timer set_later(absl::Milliseconds(20), [&] { note(); }, {.reuse = true});
    Thread::current().stop();
    pass(absl::Milliseconds(10));
    set_later.reset(absl::Milliseconds(30));
    const Timer after(absl::Milliseconds(40), [&] { note(); });
    pass(absl::Milliseconds(100));
    EXPECT_THROW(before.reset(absl::Milliseconds(10)), Misuse);
  });
  EXPECT_THAT(calls, ElementsAre(40, 50));
}

TEST_F(TimerTest, WhoResetsItLeavesNoLogExtrasWithIt) {
  LogLines lines;
  on_clock([&] {
    Timer timer(absl::InfiniteDuration(), [] { mothreads::log::warning("called"); }, {.reuse = true});
    {
      const mothreads::log::Extra extra("port", "7");
      timer.reset(absl::Milliseconds(10), TimerRepeat::after_each_call);
    }
    pass(absl::Milliseconds(10));
  });
  ASSERT_THAT(lines.with("called"), SizeIs(1));
  EXPECT_EQ(mothreads::log::to_string(lines.with("called")[0].extras), "");
}

TEST_F(TimerTest, ACallMayLeaveItsDestructionToAFiberOfItsOwn) {
  on_clock([&] {
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(absl::Milliseconds(10), [&] {
      spawn("child", [&] { timer.reset(); }).join();
      note();
    });
    pass(absl::Milliseconds(50));
  });
  EXPECT_THAT(calls, ElementsAre(10));
}

TEST_F(TimerTest, OneThatWaitsIsNoFiber) {
  on_clock([&] {
    Scheduler::current().set_options({.max_fibers = 1});
    std::vector<std::unique_ptr<Timer>> timers;
    for (int i = 0; i < 1000; ++i) timers.push_back(std::make_unique<Timer>(absl::Milliseconds(10), [&] { note(); }));
    spawn("the only one", [] {}).join();
    pass(absl::Milliseconds(20));
  });
  EXPECT_THAT(calls, SizeIs(1000));
}

TEST_F(TimerTest, ItsCallsCarryTheLogExtrasAndTheStackOfWhoMadeIt) {
  LogLines lines;
  on_clock([&] {
    const mothreads::log::Extra extra("port", "7");
    const Timer timer(absl::Milliseconds(10), [] {
      char page[80 * 1024];
      *static_cast<volatile char*>(page) = 1;
      mothreads::log::warning("called");
    }, {.stack_size = 256 * 1024});
    pass(absl::Milliseconds(20));
  });
  ASSERT_THAT(lines.with("called"), SizeIs(1));
  EXPECT_EQ(mothreads::log::to_string(lines.with("called")[0].extras), "port=7");
}

TEST_F(TimerTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  on_clock([&] {
    Timer timer(absl::Milliseconds(20), [&] { note(); }, {.reuse = true});
    const auto refused = [](std::function<void()> action) {
      return Thread::run("other", [&](Signal) {
        try {
          action();
        } catch (const Misuse& misuse) {
          return std::string(misuse.what());
        }
        return std::string("not refused");
      }).join();
    };
    constexpr const char* kRefusal = "a Timer was used on another thread than its own";
    EXPECT_THAT(refused([&] { timer.reset(absl::Milliseconds(50)); }), HasSubstr(kRefusal));
    EXPECT_THAT(refused([&] { timer.reset(absl::Milliseconds(50), TimerRepeat::at_fixed_rate); }), HasSubstr(kRefusal));
    EXPECT_THAT(refused([&] { timer.cancel(); }), HasSubstr(kRefusal));
    pass(absl::Milliseconds(100));
  });
  EXPECT_THAT(calls, ElementsAre(20));
}

TEST(TimerDeathTest, DestroyedOnAnotherThreadIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto timer = std::make_unique<Timer>(absl::InfiniteDuration(), [] {});
        Thread::run("other", [&](Signal) { timer.reset(); }).join();
      },
      "a Timer was destroyed on another thread");
}

TEST_F(TimerTest, WhatWouldNeverRestIsMisuse) {
  EXPECT_THROW(static_cast<void>(Timer(absl::ZeroDuration(), [] {}, {.repeat = TimerRepeat::at_fixed_rate})), Misuse);
  EXPECT_THROW(static_cast<void>(Timer(absl::Seconds(1), nullptr)), Misuse);
}

}  // namespace
}  // namespace cooperative
