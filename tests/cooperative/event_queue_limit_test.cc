#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/until.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::expect_one_round;
using testing::drained;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, TimesOutAtItsLimitAndNotBefore) {
  on_virtual_time([](VirtualClock& clock) {
    EventQueue<int> queue;
    Names ends;
    auto waiter = waiter_of(queue, ends, "waiter", absl::Seconds(1));
    auto looper = spawn("looper", [&] {
      EXPECT_EQ(queue.next(absl::Seconds(1)).why(), mothreads::Why::timed_out);
      ends.push_back("looper: nothing");
    });
    yield();
    clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, IsEmpty());
    clock.advance(absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(ends, ElementsAre("waiter: Timed out waiting for event queue", "looper: nothing"));
  });
}

TEST(EventQueueTest, ASignalThatIsItsLimitStopsIt) {
  EventQueue<int> queue;
  Names ends;
  const Signal enough;
  auto waiter = waiter_of(queue, ends, "waiter", enough);
  yield();
  EXPECT_THAT(ends, IsEmpty());
  enough.go();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: Stopped waiting for event queue"));
}

TEST(EventQueueTest, AnExpiredLimitStillLetsOthersRunOnce) {
  on_virtual_time([](VirtualClock&) {
    EventQueue<int> queue;
    const auto gets_nothing = [&](const Until& until) { EXPECT_FALSE(queue.next(until)); };
    expect_one_round(gets_nothing, absl::ZeroDuration());
    expect_one_round(gets_nothing, -absl::Hours(1));
    expect_one_round(gets_nothing, DONE);
  });
}

TEST(EventQueueTest, WhoGotAValueBeforeTheTimersWereLookedAtHasItAlthoughItsTimeHasPassed) {
  on_virtual_time([](VirtualClock& clock) {
    EventQueue<int> queue;
    Names ends;
    auto waiter = waiter_of(queue, ends, "waiter", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(2));
    queue.signal(1);
    waiter.join();
    EXPECT_THAT(ends, ElementsAre("waiter: 1"));
    EXPECT_TRUE(queue.empty());
  });
}

TEST(EventQueueTest, WhoseTimerFiredFirstTimesOutAndTheValueIsForTheNext) {
  on_virtual_time([](VirtualClock& clock) {
    EventQueue<int> queue;
    Names ends;
    auto hasty = waiter_of(queue, ends, "hasty", absl::Seconds(1));
    yield();
    auto signaller = spawn("signaller", [&] {
      EXPECT_THAT(ends, IsEmpty());
      queue.signal(1);
      queue.close();
    });
    clock.advance(absl::Seconds(1));
    hasty.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for event queue"));
    EXPECT_THAT(drained(queue), ElementsAre(1));
    signaller.join();
  });
}

TEST(EventQueueTest, AValuePassesOverWhoGaveUp) {
  on_virtual_time([](VirtualClock& clock) {
    EventQueue<int> queue;
    Names ends;
    auto hasty = waiter_of(queue, ends, "hasty", absl::Seconds(1));
    auto patient = waiter_of(queue, ends, "patient");
    yield();
    auto signaller = spawn("signaller", [&] { queue.signal(1); });
    clock.advance(absl::Seconds(1));
    hasty.join();
    patient.join();
    EXPECT_THAT(ends, ElementsAre("hasty: Timed out waiting for event queue", "patient: 1"));
    signaller.join();
  });
}

// --- cancellation --------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, ACancelledWaiterTakesNoValueAndLeavesNothingBehind) {
  EventQueue<int> queue;
  bool went_on = false;
  auto waiter = spawn("waiter", [&] {
    queue.wait(absl::Hours(1));
    went_on = true;
  });
  auto looper = spawn("looper", [&] {
    for ([[maybe_unused]] const int value : queue) went_on = true;
    went_on = true;
  });
  yield();
  waiter.cancel();
  looper.cancel();
  queue.signal(1);
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_THROW(looper.join(), WasCancelled);
  EXPECT_FALSE(went_on);
  EXPECT_THAT(drained(queue), ElementsAre(1));
}

TEST(EventQueueTest, WhoGotAValueBeforeItWasCancelledHasIt) {
  EventQueue<int> queue;
  int got = 0;
  auto waiter = spawn("waiter", [&] {
    got = queue.wait();
    sleep(absl::Hours(1));
  });
  yield();
  queue.signal(1);
  waiter.cancel();
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_EQ(got, 1);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace cooperative
