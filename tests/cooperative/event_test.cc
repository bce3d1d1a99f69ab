#include "cooperative/event.h"

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
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
using mothreads::testing::failure;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::has_none;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- values ------------------------------------------------------------------------------------------------------------------

TEST(EventTest, AWaiterIsHeldOffUntilTheSignal) {
  Event<int> event;
  auto waiter = spawn("waiter", [&] { return event.wait(); });
  EXPECT_THROW(waiter.join(absl::ZeroDuration()), Timedout);
  event.signal(46);
  EXPECT_EQ(waiter.join(), 46);
}

TEST(EventTest, TheRootMayWait) {
  Event<int> event;
  auto signaller = spawn("signaller", [&] { event.signal(5); });
  EXPECT_EQ(event.wait(), 5);
  signaller.join();
}

TEST(EventTest, ASignalWaitsForWhoComesLater) {
  Event<int> event;
  EXPECT_FALSE(event);
  event.signal(3);
  EXPECT_TRUE(event);
  EXPECT_EQ(event.wait(), 3);
}

TEST(EventTest, NeedsNoValue) {
  Event<> event;
  static_assert(std::is_void_v<decltype(event.wait())>);
  event.signal();
  event.wait();
  EXPECT_FALSE(event);
}

TEST(EventTest, TheValueIsMadeOfTheArgumentsAndNeedsNoDefault) {
  struct Point {
    Point(int its_x, std::string its_name) : x(its_x), name(std::move(its_name)) {}
    int x;
    std::string name;
  };
  Event<Point> event;
  event.signal(4, "four");
  const Point point = event.wait();
  EXPECT_EQ(point.x, 4);
  EXPECT_EQ(point.name, "four");
}

TEST(EventTest, ASignalNeverLetsOthersRun) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    Names ends;
    auto waiter = waiter_of(event, ends, "waiter");
    yield();
    event.signal(1);
    EXPECT_THAT(ends, IsEmpty());
    waiter.join();
    EXPECT_THAT(ends, ElementsAre("waiter: 1"));
  }
}

TEST(EventTest, AReadyWaitReturnsAtOnceAlsoWithAnExpiredLimit) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    bool other_ran = false;
    auto other = spawn("other", [&] { other_ran = true; });
    event.signal(1);
    EXPECT_EQ(event.wait(), 1);
    event.signal(2);
    EXPECT_EQ(event.wait(absl::ZeroDuration()), 2);
    event.signal(3);
    EXPECT_EQ(event.wait(-absl::Hours(1)), 3);
    event.signal(4);
    EXPECT_EQ(event.wait(DONE), 4);
    EXPECT_FALSE(other_ran);
    other.join();
  }
}

TEST(EventTest, ASignalOverwritesWhatNobodyTook) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    event.signal(1);
    event.signal(2);
    EXPECT_EQ(event.wait(), 2);
  }
}

TEST(EventTest, AnAutomaticValueIsTakenOnce) {
  Event<int> event;
  event.signal(1);
  EXPECT_EQ(event.wait(), 1);
  EXPECT_FALSE(event);
  EXPECT_TRUE(has_none(event));
}

TEST(EventTest, ResetForgetsTheValue) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    event.reset();
    event.signal(1);
    event.reset();
    EXPECT_FALSE(event);
    EXPECT_TRUE(has_none(event));
    event.signal(2);
    EXPECT_EQ(event.wait(), 2);
  }
}

// --- who gets it ---------------------------------------------------------------------------------------------------------------

TEST(EventTest, AnAutomaticSignalGoesToTheFirstWhoWaits) {
  Event<int> event;
  Names ends;
  auto first = waiter_of(event, ends, "first");
  auto second = waiter_of(event, ends, "second");
  yield();
  event.signal(1);
  EXPECT_FALSE(event);
  yield();
  EXPECT_THAT(ends, ElementsAre("first: 1"));
  event.signal(2);
  yield();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: 2"));
}

// In cothread the second of two signals overwrote the first, and one of the woken waited on.
TEST(EventTest, SignalsBeforeTheWaitersRunReachOneEach) {
  Event<int> event;
  Names ends;
  auto first = waiter_of(event, ends, "first");
  auto second = waiter_of(event, ends, "second");
  yield();
  event.signal(1);
  event.signal(2);
  event.signal(3);
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: 2"));
  EXPECT_EQ(event.wait(), 3);
}

// In cothread whoever ran before the woken one could take its value.
TEST(EventTest, NobodyTakesAValueThatWasHandedOver) {
  Event<int> event;
  Names ends;
  auto waiter = waiter_of(event, ends, "waiter");
  yield();
  auto thief = waiter_of(event, ends, "thief", absl::ZeroDuration());
  event.signal(1);
  EXPECT_TRUE(has_none(event));
  thief.join();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 1", "thief: Timed out waiting for event"));
}

TEST(EventTest, ResetTakesNothingFromWhoWasSignalled) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    Names ends;
    auto waiter = waiter_of(event, ends, "waiter");
    yield();
    event.signal(1);
    event.reset();
    EXPECT_FALSE(event);
    waiter.join();
    EXPECT_THAT(ends, ElementsAre("waiter: 1"));
  }
}

TEST(EventTest, WhoWaitsAgainIsBehindThoseWhoWait) {
  Event<int> event;
  std::vector<std::pair<char, int>> got;
  const auto twice = [&](char name) {
    return [&event, &got, name] {
      for (int i = 0; i < 2; ++i) got.emplace_back(name, event.wait());
    };
  };
  auto a = spawn("a", twice('a'));
  auto b = spawn("b", twice('b'));
  for (int i = 1; i <= 4; ++i) {
    yield();
    event.signal(i);
  }
  a.join();
  b.join();
  using Got = std::pair<char, int>;
  EXPECT_THAT(got, ElementsAre(Got('a', 1), Got('b', 2), Got('a', 3), Got('b', 4)));
}

TEST(EventTest, AManualSignalGoesToAllInOrderAndStays) {
  Event<int> event(Reset::manual);
  Names ends;
  auto first = waiter_of(event, ends, "first");
  auto second = waiter_of(event, ends, "second");
  yield();
  event.signal(1);
  EXPECT_EQ(event.wait(), 1);
  EXPECT_EQ(event.wait(), 1);
  EXPECT_TRUE(event);
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: 1"));
}

TEST(EventTest, AManualSignalGivesEachTheValueThatWokeIt) {
  Event<int> event(Reset::manual);
  Names ends;
  auto first = waiter_of(event, ends, "first");
  yield();
  event.signal(1);
  event.signal(2);
  auto second = waiter_of(event, ends, "second");
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: 2"));
}

TEST(EventTest, WakesInTheOrderOfTheSignals) {
  Event<int> one;
  Event<int> other;
  Names ends;
  auto a = waiter_of(one, ends, "a");
  auto b = waiter_of(other, ends, "b");
  yield();
  other.signal(1);
  one.signal(2);
  a.join();
  b.join();
  EXPECT_THAT(ends, ElementsAre("b: 1", "a: 2"));
}

TEST(EventTest, TheSignalledRunBeforeThoseOfADueTimerAndThoseBeforeWhoYields) {
  on_virtual_time([](VirtualClock& clock) {
    Event<> event;
    Names order;
    auto yielder = spawn("yielder", [&] {
      event.wait();
      yield();
      order.push_back("yielded");
    });
    auto sleeper = spawn("sleeper", [&] {
      sleep(absl::Seconds(1));
      order.push_back("slept");
    });
    yield();
    event.signal();
    auto waiter = spawn("waiter", [&] {
      event.wait();
      order.push_back("signalled");
    });
    auto signaller = spawn("signaller", [&] {
      clock.advance(absl::Seconds(1));
      event.signal();
    });
    yielder.join();
    sleeper.join();
    waiter.join();
    signaller.join();
    EXPECT_THAT(order, ElementsAre("signalled", "slept", "yielded"));
  });
}

// --- other threads -------------------------------------------------------------------------------------------------------------

// In cothread a signal of another thread was stored before it was refused, and a wait that was ready was not refused at all.
TEST(EventTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  Event<int> event;
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "Event was used on another thread than its own";
  Names ends;
  auto waiter = waiter_of(event, ends, "waiter");
  yield();
  EXPECT_THAT(elsewhere([&] { event.signal(1); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { event.signal_exception(failure("spilled")); }), HasSubstr(kRefusal));
  EXPECT_FALSE(event);
  yield();
  EXPECT_THAT(ends, IsEmpty());
  event.signal(2);
  event.signal(3);
  EXPECT_THAT(elsewhere([&] { event.signal(4); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { event.wait(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { event.reset(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(static_cast<bool>(event)); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { spawn("fiber of another", [&] { event.wait(); }).join(); }), HasSubstr(kRefusal));
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 2"));
  EXPECT_EQ(event.wait(), 3);
}

// --- its end -------------------------------------------------------------------------------------------------------------------

TEST(EventDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto event = std::make_unique<Event<int>>();
        auto waiter = spawn("waiter", [&] { event->wait(); });
        yield();
        event.reset();
      },
      "an Event was destroyed while a fiber waits for it");
}

}  // namespace
}  // namespace cooperative
