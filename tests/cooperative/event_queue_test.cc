#include "cooperative/event_queue.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/until.h"
#include "tests/support/fiber_waits.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Why;
using testing::drained;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

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

}  // namespace
}  // namespace cooperative
