#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::UseClock;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::expect_one_round;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST(EventTest, TimesOutAtItsLimitAndNotBefore) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    Names ends;
    auto by_duration = waiter_of(event, ends, "duration", absl::Seconds(1));
    auto by_instant = waiter_of(event, ends, "instant", clock.now() + std::chrono::seconds(2));
    yield();
    clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, IsEmpty());
    clock.advance(absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, ElementsAre("duration: Timed out waiting for event"));
    clock.advance(absl::Seconds(1));
    yield();
    EXPECT_THAT(ends, ElementsAre("duration: Timed out waiting for event", "instant: Timed out waiting for event"));
  });
}

TEST(EventTest, SleepsUntilItsLimitWhenNothingElseIsReady) {
  VirtualClock clock;
  const UseClock use(clock);
  auto thread = Thread::run("test", [&](Signal) {
    Event<int> event;
    return what_of<Timedout>([&] { event.wait(absl::Hours(1)); });
  });
  clock.await_timers(1);
  clock.advance(absl::Hours(1));
  EXPECT_EQ(thread.join(), "Timed out waiting for event");
}

TEST(EventTest, ASignalThatIsItsLimitStopsIt) {
  Event<int> event;
  Names ends;
  const Signal enough;
  auto waiter = waiter_of(event, ends, "waiter", enough);
  yield();
  EXPECT_THAT(ends, IsEmpty());
  enough.go();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: Stopped waiting for event"));
}

TEST(EventTest, AnExpiredLimitStillLetsOthersRunOnce) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    const auto times_out = [&](const Until& until) {
      EXPECT_EQ(what_of<Timedout>([&] { event.wait(until); }), "Timed out waiting for event");
    };
    const auto is_stopped = [&](const Until& until) {
      EXPECT_EQ(what_of<Stopped>([&] { event.wait(until); }), "Stopped waiting for event");
    };
    expect_one_round(times_out, absl::ZeroDuration());
    expect_one_round(times_out, -absl::Hours(1));
    expect_one_round(times_out, clock.now() - std::chrono::seconds(1));
    expect_one_round(is_stopped, DONE);
    expect_one_round(is_stopped, DONE | absl::Hours(1));
  });
}

TEST(EventTest, AnExpiredLimitEndsWithTheRoundInWhichItWaits) {
  on_virtual_time([](VirtualClock&) {
    Event<int> event;
    Names ends;
    auto first = waiter_of(event, ends, "first", absl::ZeroDuration());
    auto in_this_round = spawn("in this round", [&] { event.signal(1); });
    auto second = waiter_of(event, ends, "second", absl::ZeroDuration());
    auto spawner = spawn("spawner", [&] { spawn("in the next round", [&] { event.signal(2); }).join(); });
    first.join();
    second.join();
    spawner.join();
    in_this_round.join();
    EXPECT_THAT(ends, ElementsAre("first: 1", "second: Timed out waiting for event"));
    EXPECT_EQ(event.wait(), 2);
  });
}

TEST(EventTest, WhoWasSignalledBeforeTheTimersWereLookedAtHasItAlthoughItsTimeHasPassed) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    Names ends;
    auto waiter = waiter_of(event, ends, "waiter", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(2));
    event.signal(1);
    waiter.join();
    EXPECT_THAT(ends, ElementsAre("waiter: 1"));
    EXPECT_FALSE(event);
  });
}

TEST(EventTest, WhoseTimerFiredFirstTimesOutAndTheValueIsForTheNext) {
  on_virtual_time([](VirtualClock& clock) {
    for (const Reset reset : {Reset::automatic, Reset::manual}) {
      Event<int> event(reset);
      Names ends;
      auto waiter = waiter_of(event, ends, "waiter", absl::Seconds(1));
      yield();
      auto signaller = spawn("signaller", [&] {
        EXPECT_THAT(ends, IsEmpty());
        event.signal(1);
      });
      clock.advance(absl::Seconds(1));
      yield();
      EXPECT_THAT(ends, ElementsAre("waiter: Timed out waiting for event"));
      EXPECT_EQ(event.wait(), 1);
      signaller.join();
    }
  });
}

TEST(EventTest, ASignalPassesOverWhoseTimerFiredFirst) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    Names ends;
    auto hasty = waiter_of(event, ends, "hasty", absl::Seconds(1));
    auto patient = waiter_of(event, ends, "patient");
    yield();
    auto signaller = spawn("signaller", [&] { event.signal(1); });
    clock.advance(absl::Seconds(1));
    hasty.join();
    patient.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for event", "patient: 1"));
    signaller.join();
  });
}

// In cothread who gave up could eat the next signal, also when somebody waited for it.
TEST(EventTest, WhoGaveUpEatsNoSignal) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    Names ends;
    auto hasty = waiter_of(event, ends, "hasty", absl::Seconds(1));
    auto patient = waiter_of(event, ends, "patient");
    yield();
    clock.advance(absl::Seconds(1));
    yield();
    event.signal(1);
    patient.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for event", "patient: 1"));
    event.signal(2);
    EXPECT_EQ(event.wait(), 2);
  });
}

TEST(EventTest, ALimitThatDidNotComeDisturbsNoLaterWait) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    const Signal limit;
    std::vector<int> got;
    auto waiter = spawn("waiter", [&] {
      got.push_back(event.wait(limit | absl::Seconds(1)));
      got.push_back(event.wait());
    });
    yield();
    event.signal(1);
    yield();
    clock.advance(absl::Seconds(2));
    limit.go();
    yield();
    EXPECT_THAT(got, ElementsAre(1));
    event.signal(2);
    waiter.join();
    EXPECT_THAT(got, ElementsAre(1, 2));
  });
}

// --- cancellation --------------------------------------------------------------------------------------------------------------

TEST(EventTest, ACancelledWaiterTakesNothingAndLeavesNothingBehind) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    bool went_on = false;
    auto waiter = spawn("waiter", [&] {
      event.wait(absl::Hours(1));
      went_on = true;
    });
    yield();
    waiter.cancel();
    event.signal(1);
    EXPECT_THROW(waiter.join(), WasCancelled);
    EXPECT_FALSE(went_on);
    EXPECT_EQ(event.wait(), 1);
  }
}

TEST(EventTest, WhoWasSignalledBeforeItWasCancelledHasTheValue) {
  Event<int> event;
  int got = 0;
  auto waiter = spawn("waiter", [&] {
    got = event.wait();
    sleep(absl::Hours(1));
  });
  yield();
  event.signal(1);
  waiter.cancel();
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_EQ(got, 1);
  EXPECT_FALSE(event);
}

}  // namespace
}  // namespace cooperative
