#include "cooperative/pulse.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
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
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::expect_one_round;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- who is woken --------------------------------------------------------------------------------------------------------------

TEST(PulseTest, ASignalWakesAllWhoWaitInOrder) {
  Pulse pulse;
  Names ends;
  auto a = waiter_of(pulse, ends, "a");
  auto b = waiter_of(pulse, ends, "b");
  auto c = waiter_of(pulse, ends, "c");
  yield();
  EXPECT_THAT(ends, IsEmpty());
  pulse.signal();
  yield();
  EXPECT_THAT(ends, ElementsAre("a", "b", "c"));
}

TEST(PulseTest, SignalOneWakesTheFirst) {
  Pulse pulse;
  Names ends;
  auto a = waiter_of(pulse, ends, "a");
  auto b = waiter_of(pulse, ends, "b");
  yield();
  pulse.signal_one();
  yield();
  EXPECT_THAT(ends, ElementsAre("a"));
  pulse.signal_one();
  yield();
  EXPECT_THAT(ends, ElementsAre("a", "b"));
}

TEST(PulseTest, SignalsOfOneBeforeTheWaitersRunWakeOneEach) {
  Pulse pulse;
  Names ends;
  auto a = waiter_of(pulse, ends, "a");
  auto b = waiter_of(pulse, ends, "b");
  auto c = waiter_of(pulse, ends, "c");
  yield();
  pulse.signal_one();
  pulse.signal_one();
  yield();
  EXPECT_THAT(ends, ElementsAre("a", "b"));
  pulse.signal_one();
  c.join();
}

TEST(PulseTest, ASignalThatNobodyWaitsForIsLost) {
  Pulse pulse;
  pulse.signal();
  pulse.signal_one();
  EXPECT_EQ(what_of<Timedout>([&] { pulse.wait(absl::ZeroDuration()); }), "Timed out waiting for pulse");
}

TEST(PulseTest, ASignalIsNotForWhoWaitsAfterIt) {
  Pulse pulse;
  Names ends;
  auto early = waiter_of(pulse, ends, "early");
  yield();
  auto late = waiter_of(pulse, ends, "late");
  pulse.signal();
  yield();
  yield();
  EXPECT_THAT(ends, ElementsAre("early"));
  pulse.signal();
  late.join();
  EXPECT_THAT(ends, ElementsAre("early", "late"));
}

TEST(PulseTest, WhoWaitsAgainNeedsAnotherSignal) {
  Pulse pulse;
  int woken = 0;
  auto waiter = spawn("waiter", [&] {
    for (int i = 0; i < 2; ++i) {
      pulse.wait();
      ++woken;
    }
  });
  yield();
  pulse.signal();
  pulse.signal();
  yield();
  yield();
  EXPECT_EQ(woken, 1);
  pulse.signal();
  waiter.join();
  EXPECT_EQ(woken, 2);
}

TEST(PulseTest, TheRootMayWait) {
  Pulse pulse;
  bool signalled = false;
  auto signaller = spawn("signaller", [&] {
    signalled = true;
    pulse.signal();
  });
  pulse.wait();
  EXPECT_TRUE(signalled);
  signaller.join();
}

TEST(PulseTest, ASignalNeverLetsOthersRun) {
  Pulse pulse;
  Names ends;
  auto a = waiter_of(pulse, ends, "a");
  auto b = waiter_of(pulse, ends, "b");
  yield();
  pulse.signal_one();
  pulse.signal();
  EXPECT_THAT(ends, IsEmpty());
  a.join();
  b.join();
}

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST(PulseTest, TimesOutAtItsLimitAndNotBefore) {
  on_virtual_time([](VirtualClock& clock) {
    Pulse pulse;
    Names ends;
    auto waiter = waiter_of(pulse, ends, "waiter", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, IsEmpty());
    clock.advance(absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, ElementsAre("waiter: Timed out waiting for pulse"));
  });
}

TEST(PulseTest, ASignalThatIsItsLimitStopsIt) {
  Pulse pulse;
  Names ends;
  const Signal enough;
  auto waiter = waiter_of(pulse, ends, "waiter", enough);
  yield();
  EXPECT_THAT(ends, IsEmpty());
  enough.go();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: Stopped waiting for pulse"));
}

TEST(PulseTest, AnExpiredLimitStillLetsOthersRunOnce) {
  on_virtual_time([](VirtualClock&) {
    Pulse pulse;
    const auto times_out = [&](const Until& until) { EXPECT_THROW(pulse.wait(until), Timedout); };
    const auto is_stopped = [&](const Until& until) { EXPECT_THROW(pulse.wait(until), Stopped); };
    expect_one_round(times_out, absl::ZeroDuration());
    expect_one_round(times_out, -absl::Hours(1));
    expect_one_round(is_stopped, DONE);
  });
}

TEST(PulseTest, WhoWasSignalledBeforeTheTimersWereLookedAtIsWokenAlthoughItsTimeHasPassed) {
  on_virtual_time([](VirtualClock& clock) {
    Pulse pulse;
    Names ends;
    auto first = waiter_of(pulse, ends, "first", absl::Seconds(1));
    auto second = waiter_of(pulse, ends, "second", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(2));
    pulse.signal_one();
    first.join();
    second.join();
    EXPECT_THAT(ends, ElementsAre("first", "second: Timed out waiting for pulse"));
  });
}

TEST(PulseTest, ASignalOfOnePassesOverWhoseTimerFiredFirst) {
  on_virtual_time([](VirtualClock& clock) {
    Pulse pulse;
    Names ends;
    auto hasty = waiter_of(pulse, ends, "hasty", absl::Seconds(1));
    auto patient = waiter_of(pulse, ends, "patient");
    auto later = waiter_of(pulse, ends, "later");
    yield();
    auto signaller = spawn("signaller", [&] { pulse.signal_one(); });
    clock.advance(absl::Seconds(1));
    patient.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for pulse", "patient"));
    pulse.signal_one();
    later.join();
  });
}

// In cothread who gave up could eat the next signal of one, also when somebody waited for it.
TEST(PulseTest, WhoGaveUpEatsNoSignal) {
  on_virtual_time([](VirtualClock& clock) {
    Pulse pulse;
    Names ends;
    auto hasty = waiter_of(pulse, ends, "hasty", absl::Seconds(1));
    auto patient = waiter_of(pulse, ends, "patient");
    yield();
    clock.advance(absl::Seconds(1));
    hasty.join();
    pulse.signal_one();
    patient.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for pulse", "patient"));
  });
}

// --- cancellation --------------------------------------------------------------------------------------------------------------

TEST(PulseTest, ACancelledWaiterTakesNoSignalAndLeavesNothingBehind) {
  Pulse pulse;
  Names ends;
  auto cancelled = spawn("cancelled", [&] {
    pulse.wait(absl::Hours(1));
    ends.push_back("cancelled");
  });
  auto patient = waiter_of(pulse, ends, "patient");
  yield();
  cancelled.cancel();
  pulse.signal_one();
  EXPECT_THROW(cancelled.join(), WasCancelled);
  patient.join();
  EXPECT_THAT(ends, ElementsAre("patient"));
}

TEST(PulseTest, WhoWasSignalledBeforeItWasCancelledIsWoken) {
  Pulse pulse;
  bool woken = false;
  auto waiter = spawn("waiter", [&] {
    pulse.wait();
    woken = true;
    sleep(absl::Hours(1));
  });
  yield();
  pulse.signal_one();
  waiter.cancel();
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_TRUE(woken);
}

// --- other threads, and its end ------------------------------------------------------------------------------------------------

TEST(PulseTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  Pulse pulse;
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "Pulse was used on another thread than its own";
  Names ends;
  auto waiter = waiter_of(pulse, ends, "waiter");
  yield();
  EXPECT_THAT(elsewhere([&] { pulse.signal(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { pulse.signal_one(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { pulse.wait(absl::ZeroDuration()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { spawn("fiber of another", [&] { pulse.wait(); }).join(); }), HasSubstr(kRefusal));
  yield();
  EXPECT_THAT(ends, IsEmpty());
  pulse.signal();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter"));
}

TEST(PulseDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto pulse = std::make_unique<Pulse>();
        auto waiter = spawn("waiter", [&] { pulse->wait(); });
        yield();
        pulse.reset();
      },
      "Pulse was destroyed while a fiber waits for it");
}

}  // namespace
}  // namespace cooperative
