#include "cooperative/event_queue.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/allocations.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/virtual_time.h"

namespace cooperative {
namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::Why;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::expect_one_round;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// All that is in it, without a wait for more.
std::vector<int> drained(EventQueue<int>& queue) {
  std::vector<int> values;
  while (!queue.empty()) values.push_back(queue.wait());
  return values;
}

// --- values --------------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, AWaiterIsHeldOffUntilAValueComes) {
  EventQueue<int> queue;
  auto waiter = spawn("waiter", [&] { return queue.wait(); });
  EXPECT_THROW(waiter.join(absl::ZeroDuration()), Timedout);
  EXPECT_TRUE(queue.signal(46));
  EXPECT_EQ(waiter.join(), 46);
}

TEST(EventQueueTest, KeepsTheOrderAndCounts) {
  EventQueue<int> queue;
  EXPECT_TRUE(queue.empty());
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(queue.signal(i));
    EXPECT_EQ(queue.size(), static_cast<std::size_t>(i));
  }
  EXPECT_FALSE(queue.empty());
  EXPECT_THAT(drained(queue), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(EventQueueTest, TheRootMayWait) {
  EventQueue<int> queue;
  auto signaller = spawn("signaller", [&] {
    queue.signal(1);
    queue.signal(2);
  });
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_EQ(queue.wait(), 2);
  signaller.join();
}

TEST(EventQueueTest, NextIsTheSameForLoops) {
  EventQueue<int> queue;
  auto sum = spawn("adder", [&] {
    int total = 0;
    while (const auto value = queue.next()) total += *value;
    return total;
  });
  queue.signal(1);
  yield();
  queue.signal(2);
  queue.signal(3);
  queue.close();
  EXPECT_EQ(sum.join(), 6);
  EXPECT_EQ(queue.next().why(), mothreads::Why::closed);
}

TEST(EventQueueTest, TakesWhatCanOnlyBeMoved) {
  EventQueue<std::unique_ptr<int>> queue;
  queue.signal(std::make_unique<int>(1));
  EXPECT_EQ(*queue.wait(), 1);
  auto waiter = spawn("waiter", [&] { return queue.wait(); });
  yield();
  queue.signal(std::make_unique<int>(2));
  EXPECT_EQ(*waiter.join(), 2);
  queue.signal(std::make_unique<int>(3));
  queue.close();
  for (std::unique_ptr<int>& value : queue) EXPECT_EQ(*value, 3);
}

TEST(EventQueueTest, ASignalNeverLetsOthersRun) {
  EventQueue<int> queue;
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  queue.signal(1);
  EXPECT_THAT(ends, IsEmpty());
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 1"));
}

TEST(EventQueueTest, AReadyWaitReturnsAtOnceAlsoWithAnExpiredLimit) {
  EventQueue<int> queue;
  for (int i = 1; i <= 5; ++i) queue.signal(i);
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_EQ(queue.wait(absl::ZeroDuration()), 2);
  EXPECT_EQ(queue.wait(-absl::Hours(1)), 3);
  EXPECT_EQ(queue.wait(DONE), 4);
  EXPECT_EQ(queue.next(absl::ZeroDuration()), 5);
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST(EventQueueTest, ResetForgetsTheValuesAndLeavesWhoWaits) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.signal(2);
  queue.reset();
  EXPECT_TRUE(queue.empty());
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  queue.reset();
  yield();
  EXPECT_THAT(ends, IsEmpty());
  queue.signal(3);
  queue.reset();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 3"));
}

// --- who gets it ---------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, ValuesGoToThoseWhoWaitInTheOrderInWhichTheyCame) {
  EventQueue<int> queue;
  Names ends;
  auto first = waiter_of(queue, ends, "first");
  auto second = waiter_of(queue, ends, "second");
  yield();
  for (int i = 1; i <= 4; ++i) EXPECT_TRUE(queue.signal(i));
  EXPECT_EQ(queue.size(), 2u);
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: 2"));
  EXPECT_THAT(drained(queue), ElementsAre(3, 4));
}

// In cothread whoever ran before the woken one could take its value, and that one was last then.
TEST(EventQueueTest, NobodyTakesAValueThatWasHandedOver) {
  EventQueue<int> queue;
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  auto thief = waiter_of(queue, ends, "thief", absl::ZeroDuration());
  queue.signal(1);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.next(absl::ZeroDuration()).why(), mothreads::Why::timed_out);
  thief.join();
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 1", "thief: Timed out waiting for event queue"));
}

TEST(EventQueueTest, WhoWaitsAgainIsBehindThoseWhoWait) {
  EventQueue<int> queue;
  std::vector<std::pair<char, int>> got;
  const auto reader = [&](char name) {
    return [&queue, &got, name] {
      for (const int value : queue) got.emplace_back(name, value);
    };
  };
  auto a = spawn("a", reader('a'));
  auto b = spawn("b", reader('b'));
  for (int i = 1; i <= 4; ++i) {
    yield();
    queue.signal(i);
  }
  queue.close();
  a.join();
  b.join();
  using Got = std::pair<char, int>;
  EXPECT_THAT(got, ElementsAre(Got('a', 1), Got('b', 2), Got('a', 3), Got('b', 4)));
}

// --- its length ----------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, AFullQueueTakesNothing) {
  EventQueue<int> queue(2);
  EXPECT_TRUE(queue.signal(1));
  EXPECT_TRUE(queue.signal(2));
  EXPECT_FALSE(queue.signal(3));
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_TRUE(queue.signal(4));
  EXPECT_FALSE(queue.signal(5));
  EXPECT_THAT(drained(queue), ElementsAre(2, 4));
}

TEST(EventQueueTest, ResetMakesRoom) {
  EventQueue<int> queue(1);
  queue.signal(1);
  queue.reset();
  EXPECT_TRUE(queue.signal(2));
  EXPECT_THAT(drained(queue), ElementsAre(2));
}

// In cothread a value for one who had been woken, but had not run yet, still took room.
TEST(EventQueueTest, AValueThatWasHandedOverTakesNoRoom) {
  EventQueue<int> queue(1);
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  EXPECT_TRUE(queue.signal(1));
  EXPECT_TRUE(queue.signal(2));
  EXPECT_FALSE(queue.signal(3));
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 1"));
  EXPECT_THAT(drained(queue), ElementsAre(2));
}

TEST(EventQueueTest, OneOfLengthZeroOnlyHandsOver) {
  EventQueue<int> queue(0);
  EXPECT_FALSE(queue.signal(1));
  EXPECT_TRUE(queue.empty());
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  EXPECT_TRUE(queue.signal(2));
  EXPECT_FALSE(queue.signal(3));
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 2"));
}

// --- close ---------------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, WhatIsInItWhenItIsClosedCanStillBeTaken) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.signal(2);
  EXPECT_FALSE(queue.is_closed());
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_EQ(queue.wait(), 2);
  EXPECT_EQ(what_of<Closed>([&] { queue.wait(); }), "the queue is closed, and empty");
  EXPECT_THROW(queue.wait(), Closed);
}

TEST(EventQueueTest, CloseWakesAllWhoWait) {
  EventQueue<int> queue;
  Names ends;
  auto first = waiter_of(queue, ends, "first");
  auto second = waiter_of(queue, ends, "second", absl::Hours(1));
  auto third = spawn("third", [&] { return queue.next(); });
  yield();
  queue.close();
  first.join();
  second.join();
  EXPECT_EQ(third.join().why(), mothreads::Why::closed);
  EXPECT_THAT(ends, ElementsAre("first: the queue is closed, and empty", "second: the queue is closed, and empty"));
}

TEST(EventQueueTest, CloseTakesNothingFromWhoGotAValue) {
  EventQueue<int> queue;
  Names ends;
  auto first = waiter_of(queue, ends, "first");
  auto second = waiter_of(queue, ends, "second");
  yield();
  queue.signal(1);
  queue.close();
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: the queue is closed, and empty"));
}

TEST(EventQueueTest, ASignalToAClosedQueueIsRefused) {
  EventQueue<std::unique_ptr<int>> closed;
  closed.close();
  auto value = std::make_unique<int>(1);
  EXPECT_EQ(closed.signal(std::move(value)), Why::closed);
  EXPECT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): whether it was moved is the question
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  EXPECT_EQ(queue.signal(2).why(), Why::closed);
  EXPECT_THAT(drained(queue), ElementsAre(1));
}

TEST(EventQueueTest, AClosedAndFullQueueSaysThatItIsClosed) {
  EventQueue<int> queue(0);
  queue.close();
  EXPECT_EQ(queue.signal(1).why(), Why::closed);
}

TEST(EventQueueTest, ClosingAgainChangesNothing) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_THROW(queue.wait(), Closed);
}

TEST(EventQueueTest, ResetDoesNotOpenItAgain) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  queue.reset();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_THROW(queue.wait(), Closed);
  EXPECT_EQ(queue.signal(2).why(), Why::closed);
}

TEST(EventQueueTest, AWaitThatIsClosedLetsNobodyRunAndDoesNotTimeOut) {
  EventQueue<int> queue;
  queue.close();
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_THROW(queue.wait(absl::ZeroDuration()), Closed);
  EXPECT_THROW(queue.wait(DONE), Closed);
  EXPECT_EQ(queue.next(absl::ZeroDuration()).why(), mothreads::Why::closed);
  static_assert(!std::is_base_of_v<Timedout, Closed> && !std::is_base_of_v<Closed, Timedout>);
  EXPECT_FALSE(other_ran);
  other.join();
}

// --- iteration -----------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, IterationGivesTheValuesInOrderAndEndsWhenItIsClosedAndEmpty) {
  EventQueue<std::string> queue;
  Names got;
  auto reader = spawn("reader", [&] {
    for (std::string& value : queue) got.push_back(std::move(value));
    got.push_back("the end");
  });
  yield();
  queue.signal("one");
  yield();
  EXPECT_THAT(got, ElementsAre("one"));
  queue.signal("two");
  queue.signal("three");
  queue.close();
  reader.join();
  EXPECT_THAT(got, ElementsAre("one", "two", "three", "the end"));
}

TEST(EventQueueTest, IterationOfWhatIsClosedAndEmptyEndsAtOnce) {
  EventQueue<int> queue;
  queue.close();
  for ([[maybe_unused]] const int value : queue) FAIL() << "there is a value";
}

TEST(EventQueueTest, IterationThatIsLeftKeepsTheRest) {
  EventQueue<int> queue;
  for (int i = 1; i <= 3; ++i) queue.signal(i);
  for (const int value : queue) {
    if (value == 2) break;
  }
  EXPECT_THAT(drained(queue), ElementsAre(3));
}

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

// --- other threads, and its end ------------------------------------------------------------------------------------------------

// In cothread a signal of another thread was stored before it was refused.
TEST(EventQueueTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  EventQueue<int> queue;
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "an EventQueue was used on another thread than its own";
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  EXPECT_THAT(elsewhere([&] { queue.signal(1); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.close(); }), HasSubstr(kRefusal));
  EXPECT_FALSE(queue.is_closed());
  yield();
  EXPECT_THAT(ends, IsEmpty());
  queue.signal(2);
  queue.signal(3);
  EXPECT_THAT(elsewhere([&] { queue.signal(4); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.wait(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(queue.next()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.reset(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.begin(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { spawn("fiber of another", [&] { queue.wait(); }).join(); }), HasSubstr(kRefusal));
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 2"));
  EXPECT_THAT(drained(queue), ElementsAre(3));
}

TEST(EventQueueDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto queue = std::make_unique<EventQueue<int>>();
        auto waiter = spawn("waiter", [&] { queue->wait(); });
        yield();
        queue.reset();
      },
      "an EventQueue was destroyed while a fiber waits for it");
}

TEST(EventQueueTest, MayBeDestroyedWithValuesInIt) {
  const auto value = std::make_shared<int>(1);
  {
    EventQueue<std::shared_ptr<int>> queue;
    queue.signal(value);
    EXPECT_EQ(value.use_count(), 2);
  }
  EXPECT_EQ(value.use_count(), 1);
}

TEST(EventQueueTest, AValueThatIsRefusedIsTheCallersStill) {
  EventQueue<std::unique_ptr<int>> queue(0);
  auto value = std::make_unique<int>(1);
  EXPECT_FALSE(queue.signal(std::move(value)));
  EXPECT_NE(value, nullptr);
}

// --- what is refused, and what throws ------------------------------------------------------------------------------------------

struct ThrowsWhenMoved {
  explicit ThrowsWhenMoved(int its_number) : number(its_number) {}
  ThrowsWhenMoved(ThrowsWhenMoved&& other) : number(other.number) {
    if (moves_until_it_throws-- == 0) throw std::runtime_error("a move");
    other.number = 0;
  }
  int number;
  static inline int moves_until_it_throws = -1;
};

// A fiber that waits for the queue, whose limit has come, and which has not had its turn since.
template <typename T>
class GivenUp {
 public:
  explicit GivenUp(EventQueue<T>& queue) : fiber_(spawn("gives up", [this, &queue] { EXPECT_FALSE(queue.next(limit_)); })) {
    yield();
    limit_.go();
  }
  void join() { fiber_.join(); }

 private:
  Signal limit_;
  Fiber<void> fiber_;
};

// The value was moved into the queue, and destroyed there, when somebody was still in the list whose limit had come.
TEST(EventQueueTest, AValueThatIsRefusedIsUntouched) {
  for (const std::size_t max : {0, 1}) {
    EventQueue<std::unique_ptr<int>> queue(max);
    GivenUp<std::unique_ptr<int>> first(queue);
    if (max == 1) {
      EXPECT_TRUE(queue.signal(std::make_unique<int>(1)));
    }
    auto value = std::make_unique<int>(2);
    EXPECT_EQ(queue.signal(std::move(value)).why(), Why::full);
    EXPECT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): whether it was moved is the question
    first.join();
    EXPECT_EQ(queue.size(), max);
  }
}

TEST(EventQueueTest, AValueWhoseMoveMayThrowThatIsRefusedIsUntouched) {
  for (const std::size_t max : {0, 1}) {
    EventQueue<ThrowsWhenMoved> queue(max);
    GivenUp<ThrowsWhenMoved> first(queue);
    if (max == 1) {
      EXPECT_TRUE(queue.signal(ThrowsWhenMoved(1)));
    }
    ThrowsWhenMoved value(2);
    EXPECT_EQ(queue.signal(std::move(value)).why(), Why::full);
    EXPECT_EQ(value.number, 2);  // NOLINT(bugprone-use-after-move)
    first.join();
  }
}

TEST(EventQueueTest, AnUnbufferedOneTakesWhatSomebodyWaitsFor) {
  EventQueue<ThrowsWhenMoved> queue(0);
  EXPECT_EQ(queue.signal(ThrowsWhenMoved(1)).why(), Why::full);
  auto waiter = spawn("waiter", [&] { return queue.wait().number; });
  yield();
  EXPECT_TRUE(queue.signal(ThrowsWhenMoved(2)));
  EXPECT_EQ(waiter.join(), 2);
}

// In whatever step a move throws, the queue goes on: nobody waits for ever, and it holds what it says.
TEST(EventQueueTest, AMoveThatThrowsLeavesItSound) {
  for (const bool waits : {false, true}) {
    for (int moves = 0; moves < 8; ++moves) {
      EventQueue<ThrowsWhenMoved> queue;
      std::optional<Fiber<int>> waiter;
      if (waits) waiter.emplace(spawn("waiter", [&] { return queue.wait().number; }));
      yield();
      ThrowsWhenMoved::moves_until_it_throws = moves;
      int taken = 0;
      for (int i = 1; i <= 3; ++i) {
        try {
          queue.signal(ThrowsWhenMoved(i));
        } catch (const std::runtime_error&) {
        }
      }
      while (!queue.empty()) {
        try {
          taken += queue.wait().number > 0 ? 1 : 0;
        } catch (const std::runtime_error&) {
        }
      }
      ThrowsWhenMoved::moves_until_it_throws = -1;
      queue.signal(ThrowsWhenMoved(9));
      queue.close();
      if (waits) {
        try {
          EXPECT_GT(waiter->join(), 0);
        } catch (const std::runtime_error&) {
        }
      }
      if (!waits || !queue.empty()) {
        EXPECT_EQ(queue.wait().number, 9);
      }
      EXPECT_THROW(queue.wait(), Closed);
      EXPECT_LE(taken, 3);
    }
  }
}

TEST(EventQueueTest, AnEmptyOneTakes200BytesAtMostAndAllocatesNothing) {
  static_assert(sizeof(EventQueue<int>) <= 200 && sizeof(EventQueue<std::string>) <= 200);
  Scheduler::current();
  const auto before = mothreads::testing::allocations_here();
  EventQueue<std::string> queue;
  EXPECT_EQ(mothreads::testing::allocations_here() - before, 0U);
}

}  // namespace
}  // namespace cooperative
