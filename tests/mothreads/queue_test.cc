#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
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
using testing::await_sleeping;
using testing::LogLines;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Strings = std::vector<std::string>;

template <typename T>
T value_of(Popped<T> popped) {
  if (!popped) {
    ADD_FAILURE() << "no item: " << popped.why();
    return T{};
  }
  return *std::move(popped);
}

template <typename T>
Why why_not(Popped<T> popped) {
  EXPECT_FALSE(popped) << "there was an item";
  return popped.why();
}

// An add that waits in a thread of its own, once it sleeps there.
template <typename T>
ThreadHandle<void> waiting_add(Queue<T>& queue, T value) {
  auto thread = Thread::run("producer", [&queue, value = std::move(value)](Signal) mutable { queue.add(std::move(value)); });
  await_sleeping(thread.thread(), "waits for room in queue");
  return thread;
}

// A pop that waits in a thread of its own.
template <typename T>
ThreadHandle<Popped<T>> waiting_pop(Queue<T>& queue) {
  auto thread = Thread::run("consumer", [&queue](Signal) { return queue.pop(); });
  await_sleeping(thread.thread(), "pops from queue");
  return thread;
}

// --- first in, first out -------------------------------------------------------------------------------------------------

TEST(QueueTest, GivesItemsInTheOrderTheyWereAdded) {
  Queue<int> queue("numbers");
  for (int i = 0; i < 100; ++i) queue.add(i);
  EXPECT_EQ(queue.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(value_of(queue.pop()), i);
  EXPECT_TRUE(queue.empty());
}

TEST(QueueTest, KeepsTheOrderWhileItGoesRoundAndGrows) {
  Queue<int> queue("numbers", {.max = 1000});
  int added = 0;
  int popped = 0;
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    for (auto n = random() % 20; n > 0 && !queue.full(); --n) queue.add(added++);
    for (auto n = random() % 17; n > 0 && !queue.empty(); --n) ASSERT_EQ(value_of(queue.pop()), popped++);
  }
  EXPECT_EQ(queue.size(), static_cast<std::size_t>(added - popped));
  while (popped < added) ASSERT_EQ(value_of(queue.pop_one()), popped++);
}

TEST(QueueTest, HasANameAndAMaximum) {
  const Queue<int> queue("to do", {.max = 7});
  EXPECT_EQ(queue.name(), "to do");
  EXPECT_EQ(queue.max(), 7U);
  EXPECT_EQ(Queue<int>("default").max(), 1024U);
}

// Theirs: test_put_nowait, test_get_no_wait, test_get_wait, test_put_timeout; here the limit is always the last argument.
TEST(QueueTest, AddAndPopWithoutWaiting) {
  Queue<int> queue("q", {.max = 2});
  EXPECT_EQ(why_not(queue.pop_one()), Why::timed_out);
  EXPECT_EQ(queue.add(1, absl::ZeroDuration()).why(), Why::ready);
  EXPECT_EQ(queue.add(2, absl::ZeroDuration()).why(), Why::ready);
  EXPECT_EQ(queue.add(3, absl::ZeroDuration()).why(), Why::timed_out);
  queue.force_add(3);
  EXPECT_EQ(value_of(queue.pop_one()), 1);
  EXPECT_EQ(value_of(queue.pop_one()), 2);
  EXPECT_EQ(value_of(queue.pop_one()), 3);
  EXPECT_EQ(why_not(queue.pop_one()), Why::timed_out);
}

TEST(QueueTest, AZeroLimitIsNoWaitAlsoWhereWaitingIsRefused) {
  Queue<int> queue("q", {.max = 1});
  ScriptedContext& library_thread = ScriptedContext::make("library thread");
  library_thread.must_not_block = true;
  library_thread.run([&] {
    EXPECT_EQ(why_not(queue.pop(absl::ZeroDuration())), Why::timed_out);
    EXPECT_EQ(why_not(queue.pop(DONE)), Why::stopped);
    queue.add(1);
    EXPECT_EQ(queue.add(2, absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_EQ(queue.push(2, DONE).why(), Why::stopped);
    EXPECT_THROW(queue.add(2), Misuse);
    EXPECT_EQ(value_of(queue.pop()), 1);
    EXPECT_THROW(static_cast<void>(queue.pop()), Misuse);
  });
  // Nothing of the refused waits is left.
  EXPECT_TRUE(queue.empty());
  queue.add(5);
  EXPECT_EQ(value_of(queue.pop_one()), 5);
}

TEST(QueueTest, AnItemOrRoomIsReadyWhateverTheLimit) {
  Queue<int> queue("q", {.max = 1});
  EXPECT_EQ(queue.add(1, DONE).why(), Why::ready);
  EXPECT_EQ(value_of(queue.pop(DONE)), 1);
  EXPECT_EQ(queue.push(2, Instant::min()).why(), Why::ready);
  EXPECT_EQ(value_of(queue.pop(-absl::Seconds(1))), 2);
}

// Q7: None and the string "please_stop" could not be queued.
TEST(QueueTest, EveryValueIsAnOrdinaryItemQ7) {
  Queue<std::string> texts("texts");
  texts.add("please_stop");
  texts.add("");
  EXPECT_FALSE(texts.closed());
  EXPECT_EQ(value_of(texts.pop()), "please_stop");
  EXPECT_EQ(value_of(texts.pop()), "");
  Queue<std::optional<int>> maybe("maybe");
  maybe.add(std::nullopt);
  const auto popped = maybe.pop();
  ASSERT_TRUE(popped);
  EXPECT_EQ(*popped, std::nullopt);
  EXPECT_EQ(why_not(maybe.pop_one()), Why::timed_out);
}

TEST(QueueTest, TakesItemsThatCanOnlyBeMoved) {
  Queue<std::unique_ptr<int>> queue("owners", {.max = 2});
  queue.add(std::make_unique<int>(1));
  queue.push(std::make_unique<int>(0));
  auto refused = std::make_unique<int>(2);
  EXPECT_EQ(queue.add(std::move(refused), absl::ZeroDuration()).why(), Why::timed_out);
  // NOLINTNEXTLINE(bugprone-use-after-move): it was not moved.
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(*value_of(queue.pop()), 0);
  EXPECT_EQ(*value_of(queue.pop()), 1);
  queue.close();
  EXPECT_EQ(queue.push(std::move(refused), absl::Seconds(1)).why(), Why::closed);
  EXPECT_EQ(queue.add(std::move(refused), absl::Seconds(1)).why(), Why::closed);
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(*refused, 2);
}

TEST(QueueTest, ConvertsAndCopiesWhatIsAdded) {
  Queue<std::string> queue("texts");
  const std::string text = "copied";
  std::string lvalue = "also copied";
  queue.add(text);
  queue.add(lvalue);
  queue.add("converted");
  EXPECT_EQ(lvalue, "also copied");
  EXPECT_THAT(queue.pop_all(), ElementsAre("copied", "also copied", "converted"));
}

TEST(QueueTest, AThrowingCopyChangesNothing) {
  struct Costly {
    Costly() = default;
    Costly(const Costly&) { throw std::runtime_error("no copy today"); }
    Costly(Costly&&) noexcept = default;
    Costly& operator=(Costly&&) noexcept = default;
    Costly& operator=(const Costly&) = default;
  };
  Queue<Costly> queue("costly");
  const Costly original;
  EXPECT_THROW(queue.add(original), std::runtime_error);
  EXPECT_TRUE(queue.empty());
  queue.add(Costly());
  EXPECT_EQ(queue.size(), 1U);
}

TEST(QueueTest, DestroysWhatIsLeftInIt) {
  auto item = std::make_shared<int>(1);
  {
    Queue<std::shared_ptr<int>> queue("left");
    for (int i = 0; i < 40; ++i) queue.add(item);
    static_cast<void>(queue.pop());
    EXPECT_EQ(item.use_count(), 40);
  }
  EXPECT_EQ(item.use_count(), 1);
}

TEST(QueueTest, KeepsNothingOfAnItemThatWasPopped) {
  auto item = std::make_shared<int>(1);
  Queue<std::shared_ptr<int>> queue("left");
  queue.add(item);
  EXPECT_EQ(value_of(queue.pop()), item);
  EXPECT_EQ(item.use_count(), 1);
}

TEST(QueueTest, AMaximumOfZeroIsMisuseThatNamesTheQueue) {
  try {
    Queue<int> queue("empty for ever", {.max = 0});
    FAIL() << "it was made";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("empty for ever"));
    EXPECT_THAT(misuse.what(), HasSubstr("at least 1"));
  }
}

TEST(QueueTest, AHugeMaximumCostsNothingUntilItIsUsed) {
  Queue<int> queue("huge", {.max = std::numeric_limits<std::size_t>::max()});
  for (int i = 0; i < 1000; ++i) queue.add(i);
  EXPECT_EQ(queue.size(), 1000U);
  EXPECT_FALSE(queue.full());
}

// --- bounds --------------------------------------------------------------------------------------------------------------

class QueueBoundTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(QueueBoundTest, TakesItsMaximumAndNotOneMore) {
  const std::size_t max = GetParam();
  Queue<std::size_t> queue("bounded", {.max = max});
  for (std::size_t i = 0; i < max; ++i) {
    EXPECT_FALSE(queue.full());
    EXPECT_EQ(queue.add(i, absl::ZeroDuration()).why(), Why::ready);
  }
  EXPECT_TRUE(queue.full());
  EXPECT_EQ(queue.add(max, absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_EQ(queue.push(max, absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_EQ(queue.size(), max);
  EXPECT_EQ(value_of(queue.pop()), 0U);
  EXPECT_EQ(queue.add(max, absl::ZeroDuration()).why(), Why::ready);
  EXPECT_EQ(queue.size(), max);
}

INSTANTIATE_TEST_SUITE_P(All, QueueBoundTest, ::testing::Values(1, 2, 3, 15, 16, 17, 1024));

// Q5: extend() added all once there was room for one, and went on after the end.
TEST(QueueTest, ExtendNeverExceedsTheMaximumQ5) {
  Queue<int> queue("narrow", {.max = 2});
  const std::vector<int> values{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  auto producer = Thread::run("producer", [&](Signal) { queue.extend(values); });
  for (const int expected : values) {
    if (expected < 8) await_sleeping(producer.thread(), "waits for room in queue narrow");
    EXPECT_LE(queue.size(), 2U);
    EXPECT_EQ(value_of(queue.pop()), expected);
  }
  producer.join();
  EXPECT_TRUE(queue.empty());
}

TEST(QueueTest, ExtendStopsWhereTheQueueWasClosedQ5) {
  Queue<std::unique_ptr<int>> queue("narrow", {.max = 2});
  std::vector<std::unique_ptr<int>> values;
  for (int i = 0; i < 5; ++i) values.push_back(std::make_unique<int>(i));
  auto producer = Thread::run("producer", [&](Signal) { queue.extend(std::move(values)); });
  await_sleeping(producer.thread(), "waits for room");
  queue.close();
  EXPECT_THROW(producer.join(), QueueClosed);
  EXPECT_EQ(queue.size(), 2U);
  // What was not added is still with the caller.
  EXPECT_EQ(values[0], nullptr);
  EXPECT_EQ(values[1], nullptr);
  for (std::size_t i = 2; i < 5; ++i) ASSERT_NE(values[i], nullptr);
}

TEST(QueueTest, ExtendTakesAnyRangeAndCopiesFromALasting) {
  Queue<int> queue("q");
  const std::vector<int> lasting{1, 2};
  queue.extend(lasting);
  queue.extend(std::vector<int>{3});
  queue.extend(std::array{4, 5});
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(lasting, ElementsAre(1, 2));
}

TEST(QueueTest, ForceAddExceedsTheMaximumAndAddWaitsUntilThereIsRoomAgain) {
  Queue<int> queue("q", {.max = 1});
  for (int i = 0; i < 3; ++i) queue.force_add(i);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_TRUE(queue.full());
  auto producer = waiting_add(queue, 3);
  EXPECT_EQ(value_of(queue.pop()), 0);
  EXPECT_EQ(value_of(queue.pop()), 1);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_TRUE(producer.is_alive());
  EXPECT_EQ(value_of(queue.pop()), 2);
  EXPECT_EQ(value_of(queue.pop()), 3);
  producer.join();
}

// --- the front -----------------------------------------------------------------------------------------------------------

// Theirs: test_push.
TEST(QueueTest, PushPutsToTheFront) {
  Queue<int> queue("q");
  queue.add(2);
  queue.push(1);
  queue.push(0);
  queue.add(3);
  EXPECT_THAT(queue.pop_all(), ElementsAre(0, 1, 2, 3));
}

// Theirs: test_push_all, which popped 2 then 1. Q6, decided: the order stays.
TEST(QueueTest, PushAllKeepsTheOrderQ6) {
  Queue<int> queue("q");
  queue.add(3);
  queue.push_all({1, 2});
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2, 3));
}

TEST(QueueTest, PushAllOfMoreThanCanEverFitIsMisuse) {
  Queue<int> queue("small", {.max = 2});
  queue.push_all({1, 2});
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2));
  try {
    queue.push_all({1, 2, 3});
    FAIL() << "it went in";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("small"));
  }
  EXPECT_TRUE(queue.empty());
}

TEST(QueueTest, PushAllWaitsForRoom) {
  Queue<int> queue("q", {.max = 2});
  queue.add(9);
  auto pusher = Thread::run("pusher", [&](Signal) { queue.push_all({1, 2}); });
  await_sleeping(pusher.thread(), "waits for room in queue q");
  EXPECT_EQ(value_of(queue.pop()), 2);  // pushed before there was room for the first
  pusher.join();
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 9));
}

TEST(QueueTest, PushesAtTheVeryBeginning) {
  Queue<int> queue("q", {.max = 100});
  for (int i = 0; i < 100; ++i) queue.push(i);
  for (int i = 99; i >= 0; --i) EXPECT_EQ(value_of(queue.pop()), i);
}

// --- unique --------------------------------------------------------------------------------------------------------------

// Theirs: test_unique.
TEST(QueueUniqueTest, SkipsWhatIsInTheQueue) {
  Queue<std::string> queue("set", {.unique = true});
  queue.add("a");
  queue.add("a");
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(value_of(queue.pop()), "a");
  queue.add("a");  // it is no longer there
  EXPECT_EQ(queue.size(), 1U);
}

// Q6: push() and push_all() knew nothing of it.
TEST(QueueUniqueTest, HoldsForEveryWayInQ6) {
  Queue<int> queue("set", {.unique = true});
  queue.add(1);
  queue.push(1);
  queue.push_all({1, 2});
  queue.force_add(2);
  queue.extend(std::vector<int>{1, 2, 3});
  EXPECT_EQ(queue.add(3, absl::ZeroDuration()).why(), Why::ready);
  EXPECT_THAT(queue.pop_all(), ElementsAre(2, 1, 3));
  queue.add(2);
  EXPECT_THAT(queue.pop_all(), ElementsAre(2));
}

TEST(QueueUniqueTest, AddingWhatIsThereDoesNotWaitForRoom) {
  Queue<int> queue("set", {.max = 1, .unique = true});
  queue.add(1);
  queue.add(1);
  EXPECT_EQ(queue.add(2, absl::ZeroDuration()).why(), Why::timed_out);
}

TEST(QueueUniqueTest, HoldsForAddsThatWaited) {
  Queue<int> queue("set", {.max = 2, .silent = true, .unique = true});
  queue.push_all({0, 1});
  std::vector<ThreadHandle<void>> producers;
  for (const int value : {2, 2, 3, 2}) producers.push_back(waiting_add(queue, value));
  EXPECT_THAT(queue.pop_all(), ElementsAre(0, 1));
  producers[0].join();
  producers[1].join();  // the same as the first, which is in the queue: it counts as added
  producers[2].join();
  EXPECT_THAT(queue.pop_all(), ElementsAre(2, 3));
  producers[3].join();  // now it is not in the queue
  EXPECT_THAT(queue.pop_all(), ElementsAre(2));
}

TEST(QueueUniqueTest, HandsOverToAWaitingPop) {
  Queue<int> queue("set", {.unique = true});
  auto first = waiting_pop(queue);
  auto second = waiting_pop(queue);
  queue.add(1);
  EXPECT_EQ(value_of(first.join()), 1);
  queue.add(1);  // the first is no longer in the queue
  EXPECT_EQ(value_of(second.join()), 1);
}

TEST(QueueUniqueTest, OfItemsThatCannotBeIsMisuse) {
  const auto make = [] { Queue<std::unique_ptr<int>> queue("set of owners", {.unique = true}); };
  EXPECT_THROW(make(), Misuse);
}

// --- hand-over -----------------------------------------------------------------------------------------------------------

TEST(QueueHandOverTest, ConsumersAreServedInTheOrderTheyCame) {
  Queue<int> queue("q");
  std::vector<ThreadHandle<Popped<int>>> consumers;
  for (int i = 0; i < 8; ++i) consumers.push_back(waiting_pop(queue));
  for (int i = 0; i < 8; ++i) queue.add(i);
  EXPECT_TRUE(queue.empty());
  for (int i = 0; i < 8; ++i) EXPECT_EQ(value_of(consumers[static_cast<std::size_t>(i)].join()), i);
}

TEST(QueueHandOverTest, NobodyOvertakesAWaitingPop) {
  Queue<int> queue("q");
  auto consumer = waiting_pop(queue);
  queue.add(1);
  // The item is the consumer's already, although it may not have run yet.
  EXPECT_EQ(why_not(queue.pop_one()), Why::timed_out);
  EXPECT_THAT(queue.pop_all(), IsEmpty());
  EXPECT_EQ(value_of(consumer.join()), 1);
}

TEST(QueueHandOverTest, APushIsHandedOverToo) {
  Queue<int> queue("q");
  auto first = waiting_pop(queue);
  auto second = waiting_pop(queue);
  queue.push(1);
  queue.force_add(2);
  EXPECT_EQ(value_of(first.join()), 1);
  EXPECT_EQ(value_of(second.join()), 2);
}

TEST(QueueHandOverTest, WaitingAddsAreServedInTheOrderTheyCame) {
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  std::vector<ThreadHandle<void>> producers;
  for (int i = 1; i < 8; ++i) producers.push_back(waiting_add(queue, i));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(queue.size(), 1U);
    EXPECT_EQ(value_of(queue.pop()), i);
  }
  for (auto& producer : producers) producer.join();
}

TEST(QueueHandOverTest, NobodyOvertakesAWaitingAdd) {
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  auto producer = waiting_add(queue, 1);
  EXPECT_EQ(value_of(queue.pop()), 0);
  // The room is the producer's already.
  EXPECT_EQ(queue.add(2, absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_EQ(value_of(queue.pop()), 1);
  producer.join();
}

TEST(QueueHandOverTest, WaitingPushesGoToTheFrontWhenThereIsRoom) {
  Queue<int> queue("q", {.max = 2});
  queue.add(1);
  queue.add(2);
  auto pusher = Thread::run("pusher", [&](Signal) { queue.push(9); });
  await_sleeping(pusher.thread(), "waits for room in queue q");
  EXPECT_EQ(value_of(queue.pop()), 1);
  pusher.join();
  EXPECT_THAT(queue.pop_all(), ElementsAre(9, 2));
}

TEST(QueueHandOverTest, PopAllLetsWaitingAddsIn) {
  Queue<int> queue("q", {.max = 2});
  queue.add(0);
  queue.add(1);
  std::vector<ThreadHandle<void>> producers;
  for (int i = 2; i < 5; ++i) producers.push_back(waiting_add(queue, i));
  EXPECT_THAT(queue.pop_all(), ElementsAre(0, 1));
  EXPECT_THAT(queue.pop_all(), ElementsAre(2, 3));
  EXPECT_THAT(queue.pop_all(), ElementsAre(4));
  for (auto& producer : producers) producer.join();
}

struct Crowd {
  std::size_t max;
  int producers;
  int consumers;
};

class QueueCrowdTest : public ::testing::TestWithParam<Crowd> {};

// Every item comes out once, and those of one producer in its order.
TEST_P(QueueCrowdTest, LosesAndDoublesNothing) {
  struct Item {
    int producer;
    int number;
  };
  constexpr int kItems = 500;
  const auto [max, producers, consumers] = GetParam();
  Queue<Item> queue("crowd", {.max = max, .silent = true});
  std::vector<ThreadHandle<std::vector<Item>>> takers;
  for (int c = 0; c < consumers; ++c) {
    takers.push_back(Thread::run("taker", [&](Signal) {
      std::vector<Item> taken;
      for (const Item& item : queue) taken.push_back(item);
      return taken;
    }));
  }
  std::vector<ThreadHandle<void>> givers;
  for (int p = 0; p < producers; ++p) {
    givers.push_back(Thread::run("giver", [&, p](Signal) {
      for (int i = 0; i < kItems; ++i) queue.add(Item{p, i});
    }));
  }
  join_all(givers);
  queue.close();
  std::vector<std::vector<int>> seen(static_cast<std::size_t>(producers), std::vector<int>(kItems, 0));
  for (auto& taker : takers) {
    std::vector<int> last(static_cast<std::size_t>(producers), -1);
    for (const Item& item : taker.join()) {
      const auto producer = static_cast<std::size_t>(item.producer);
      EXPECT_GT(item.number, last[producer]);
      last[producer] = item.number;
      ++seen[producer][static_cast<std::size_t>(item.number)];
    }
  }
  for (const auto& numbers : seen) EXPECT_THAT(numbers, ::testing::Each(1));
  EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::ready);
}

INSTANTIATE_TEST_SUITE_P(All, QueueCrowdTest,
                         ::testing::Values(Crowd{1, 1, 1}, Crowd{1, 2, 2}, Crowd{1, 8, 8}, Crowd{3, 8, 1}, Crowd{3, 1, 8},
                                           Crowd{1024, 1, 1}, Crowd{1024, 2, 2}, Crowd{1024, 8, 8}),
                         [](const auto& crowd) {
                           return "max" + std::to_string(crowd.param.max) + "from" + std::to_string(crowd.param.producers) +
                                  "to" + std::to_string(crowd.param.consumers);
                         });

// --- limits --------------------------------------------------------------------------------------------------------------

// Q1: add(till=...) did not look at it. Q2: what looked, looked every 5 s.
TEST(QueueLimitTest, AddEndsAtItsLimitExactlyQ1Q2) {
  VirtualClock clock;
  Queue<int> queue("full", {.max = 1});
  queue.add(0);
  const Signal stop;
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  const Instant start = clock.now();
  producer.script({
      [&] { clock.advance(absl::Milliseconds(100)); },
      [&] { clock.advance(absl::Milliseconds(100)); },
      [&] { stop.go(); },
      [&] { clock.advance(absl::Milliseconds(100)); },
  });
  producer.run([&] {
    EXPECT_EQ(queue.add(1, absl::Milliseconds(100)).why(), Why::timed_out);
    EXPECT_EQ(queue.add(1, Till(absl::Milliseconds(100))).why(), Why::timed_out);
    EXPECT_EQ(queue.add(1, stop | absl::Seconds(3)).why(), Why::stopped);
    EXPECT_EQ(queue.push(1, start + std::chrono::milliseconds(300)).why(), Why::timed_out);
  });
  EXPECT_EQ(producer.sleeps(), 4);
  EXPECT_EQ(clock.timers(), 0U);
  EXPECT_THAT(queue.pop_all(), ElementsAre(0));
}

TEST(QueueLimitTest, PopEndsAtItsLimitExactly) {
  VirtualClock clock;
  Queue<int> queue("empty");
  const Signal stop;
  ScriptedContext& consumer = ScriptedContext::make("consumer", clock);
  consumer.script({
      [&] { clock.advance(absl::Milliseconds(100)); },
      [&] { clock.advance(absl::Milliseconds(100)); },
      [&] { stop.go(); },
  });
  consumer.run([&] {
    EXPECT_EQ(why_not(queue.pop(absl::Milliseconds(100))), Why::timed_out);
    EXPECT_EQ(why_not(queue.pop(Till(absl::Milliseconds(100)))), Why::timed_out);
    EXPECT_EQ(why_not(queue.pop(stop | absl::Seconds(3))), Why::stopped);
  });
  EXPECT_EQ(clock.timers(), 0U);
  queue.add(1);
  EXPECT_EQ(queue.size(), 1U);  // nobody is left waiting for it
}

struct Race {
  const char* name;
  Strings happens;
  Why why;
};

class QueuePopRaceTest : public ::testing::TestWithParam<Race> {};

// A sleeping pop, and all that can end it in every order: the first decides, and no item is lost.
TEST_P(QueuePopRaceTest, TheFirstThatHappensDecidesAndNoItemIsLost) {
  VirtualClock clock;
  Queue<int> queue("raced");
  const Signal stop;
  ScriptedContext& consumer = ScriptedContext::make("consumer", clock);
  consumer.script({[&] {
    for (const std::string& what : GetParam().happens) {
      if (what == "add") queue.add(7);
      if (what == "time") clock.advance(absl::Seconds(1));
      if (what == "stop") stop.go();
      if (what == "close") queue.close();
    }
  }});
  std::vector<int> out;
  consumer.run([&] {
    auto popped = queue.pop(stop | absl::Seconds(1));
    EXPECT_EQ(popped.why(), GetParam().why);
    EXPECT_EQ(static_cast<bool>(popped), GetParam().why == Why::ready);
    if (popped) out.push_back(*popped);
  });
  for (const int left : queue.pop_all()) out.push_back(left);
  const bool was_added = std::ranges::find(GetParam().happens, "add") != GetParam().happens.end();
  EXPECT_EQ(out, was_added ? std::vector<int>{7} : std::vector<int>{});
  EXPECT_EQ(clock.timers(), 0U);
}

INSTANTIATE_TEST_SUITE_P(All, QueuePopRaceTest,
                         ::testing::Values(Race{"AddTimeStop", {"add", "time", "stop"}, Why::ready},
                                           Race{"AddStopTime", {"add", "stop", "time"}, Why::ready},
                                           Race{"AddClose", {"add", "close"}, Why::ready},
                                           Race{"TimeAddStop", {"time", "add", "stop"}, Why::timed_out},
                                           Race{"TimeStopAdd", {"time", "stop", "add"}, Why::timed_out},
                                           Race{"TimeAddClose", {"time", "add", "close"}, Why::timed_out},
                                           Race{"StopAddTime", {"stop", "add", "time"}, Why::stopped},
                                           Race{"StopTimeAdd", {"stop", "time", "add"}, Why::stopped},
                                           Race{"CloseTimeStop", {"close", "time", "stop"}, Why::closed},
                                           Race{"CloseStopTime", {"close", "stop", "time"}, Why::closed}),
                         [](const auto& race) { return race.param.name; });

class QueueAddRaceTest : public ::testing::TestWithParam<Race> {};

// The same for a sleeping add: it is in the queue or with the caller, never both.
TEST_P(QueueAddRaceTest, TheFirstThatHappensDecidesAndTheItemIsInOnePlace) {
  VirtualClock clock;
  Queue<std::unique_ptr<int>> queue("raced", {.max = 1});
  queue.add(std::make_unique<int>(0));
  const Signal stop;
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  std::vector<int> out;
  producer.script({[&] {
    for (const std::string& what : GetParam().happens) {
      if (what == "pop") out.push_back(*value_of(queue.pop_one()));
      if (what == "time") clock.advance(absl::Seconds(1));
      if (what == "stop") stop.go();
      if (what == "close") queue.close();
    }
  }});
  producer.run([&] {
    auto item = std::make_unique<int>(1);
    EXPECT_EQ(queue.add(std::move(item), stop | absl::Seconds(1)).why(), GetParam().why);
    // NOLINTNEXTLINE(bugprone-use-after-move): whether it was moved is the question.
    EXPECT_EQ(item == nullptr, GetParam().why == Why::ready);
  });
  for (const auto& left : queue.pop_all()) out.push_back(*left);
  EXPECT_EQ(out, GetParam().why == Why::ready ? (std::vector<int>{0, 1}) : (std::vector<int>{0}));
  EXPECT_EQ(clock.timers(), 0U);
}

INSTANTIATE_TEST_SUITE_P(All, QueueAddRaceTest,
                         ::testing::Values(Race{"PopTimeStop", {"pop", "time", "stop"}, Why::ready},
                                           Race{"PopCloseTime", {"pop", "close", "time"}, Why::ready},
                                           Race{"PopStopPop", {"pop", "stop", "pop"}, Why::ready},
                                           Race{"TimePopStop", {"time", "pop", "stop"}, Why::timed_out},
                                           Race{"TimeClosePop", {"time", "close", "pop"}, Why::timed_out},
                                           Race{"StopPopTime", {"stop", "pop", "time"}, Why::stopped},
                                           Race{"StopClosePop", {"stop", "close", "pop"}, Why::stopped},
                                           Race{"CloseTimePop", {"close", "time", "pop"}, Why::closed},
                                           Race{"ClosePopStop", {"close", "pop", "stop"}, Why::closed}),
                         [](const auto& race) { return race.param.name; });

TEST(QueueLimitTest, AnItemGoesToTheNextWhenTheFirstHasGivenUp) {
  VirtualClock clock;
  Queue<int> queue("q");
  std::optional<ThreadHandle<Popped<int>>> second;
  ScriptedContext& first = ScriptedContext::make("first", clock);
  first.script({[&] {
    second.emplace(waiting_pop(queue));
    clock.advance(absl::Seconds(1));  // the first has lost, but is still on the list
    queue.add(7);
  }});
  first.run([&] { EXPECT_EQ(why_not(queue.pop(absl::Seconds(1))), Why::timed_out); });
  EXPECT_EQ(value_of(second->join()), 7);
}

TEST(QueueLimitTest, RoomGoesToTheNextWhenTheFirstHasGivenUp) {
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1, .silent = true});
  queue.add(0);
  std::optional<ThreadHandle<void>> second;
  ScriptedContext& first = ScriptedContext::make("first", clock);
  first.script({[&] {
    second.emplace(waiting_add(queue, 2));
    clock.advance(absl::Seconds(1));  // the first has lost, but is still on the list
    EXPECT_EQ(value_of(queue.pop()), 0);
  }});
  first.run([&] { EXPECT_EQ(queue.add(1, absl::Seconds(1)).why(), Why::timed_out); });
  second->join();
  EXPECT_THAT(queue.pop_all(), ElementsAre(2));
}

// Waits that end by time, by stop and by an item, all at once, on threads: nothing gets lost or doubled.
TEST(QueueLimitTest, TimedOutPopsAndAddsLoseNothing) {
  VirtualClock clock;
  UseClock use(clock);
  Queue<int> queue("racing", {.max = 2, .silent = true});
  std::atomic<int> next{0};
  std::atomic<bool> adding{true};
  std::vector<ThreadHandle<std::vector<int>>> producers;
  std::vector<ThreadHandle<std::vector<int>>> consumers;
  for (int i = 0; i < 3; ++i) {
    producers.push_back(Thread::run("producer", [&](Signal) {
      std::vector<int> added;
      while (adding) {
        const int value = next++;
        if (queue.add(int{value}, absl::Milliseconds(value % 3)).why() == Why::ready) added.push_back(value);
      }
      return added;
    }));
    consumers.push_back(Thread::run("consumer", [&, i](Signal) {
      std::vector<int> taken;
      for (int n = i;; ++n) {
        auto popped = queue.pop(absl::Milliseconds(n % 4));
        if (popped) taken.push_back(*popped);
        if (popped.why() == Why::closed) return taken;
      }
    }));
  }
  while (next < 3000) clock.advance(absl::Milliseconds(1));
  adding = false;
  std::vector<int> added;
  std::vector<int> taken;
  for (auto& producer : producers) {
    while (producer.is_alive()) clock.advance(absl::Milliseconds(1));
    std::ranges::copy(producer.join(), std::back_inserter(added));
  }
  queue.close();
  for (auto& consumer : consumers) {
    while (consumer.is_alive()) clock.advance(absl::Milliseconds(1));
    std::ranges::copy(consumer.join(), std::back_inserter(taken));
  }
  std::ranges::sort(added);
  std::ranges::sort(taken);
  EXPECT_EQ(taken, added);
  EXPECT_FALSE(added.empty());
}

// Q8: every add made a Till, even with room.
TEST(QueueLimitTest, ALimitCostsNothingWhileThereIsRoomQ8) {
  VirtualClock clock;
  UseClock use(clock);
  Queue<int> queue("roomy");
  const Signal please_stop;
  queue.add(0);  // the first makes the ring
  const auto before = allocations_here();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(queue.add(i, please_stop | absl::Seconds(5)).why(), Why::ready);
    EXPECT_EQ(clock.timers(), 0U);
    EXPECT_TRUE(queue.pop(please_stop | absl::Seconds(5)));
  }
  EXPECT_EQ(allocations_here() - before, 0U);
}

TEST(QueueLimitTest, WaitingAllocatesNothing) {
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1});
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const auto end_the_wait = [&] { clock.advance(absl::Seconds(1)); };
  waiter.script({end_the_wait, end_the_wait});
  const Signal please_stop;
  queue.add(0);
  waiter.run([&] {
    const auto before = allocations_here();
    const Why add = queue.add(1, please_stop | absl::Seconds(1)).why();
    const auto after_add = allocations_here();
    EXPECT_EQ(add, Why::timed_out);
    EXPECT_EQ(after_add - before, 0U);
    EXPECT_EQ(value_of(queue.pop_one()), 0);
    const auto before_pop = allocations_here();
    const bool popped = static_cast<bool>(queue.pop(please_stop | absl::Seconds(1)));
    EXPECT_EQ(allocations_here() - before_pop, 0U);
    EXPECT_FALSE(popped);
  });
}

TEST(QueueTest, AddAndPopMakeNoSystemCallWhenNobodyWaits) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Queue<int> queue("quick");
        queue.add(0);  // the first makes the ring
        static_cast<void>(queue.pop());
        testing::refuse_system_calls();
        int sum = 0;
        for (int i = 1; i <= 4; ++i) queue.add(i);
        queue.push(10);
        for (int i = 0; i < 5; ++i) sum += *queue.pop();
        const bool empty = queue.empty() && !queue.pop_one();
        testing::leave(sum == 20 && empty ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// --- closing -------------------------------------------------------------------------------------------------------------

// Theirs: test_closed.
TEST(QueueCloseTest, PopDeliversWhatIsLeftAndThenSaysClosed) {
  Queue<int> queue("q");
  queue.add(1);
  queue.add(2);
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_EQ(value_of(queue.pop()), 1);
  EXPECT_EQ(value_of(queue.pop()), 2);
  EXPECT_EQ(why_not(queue.pop()), Why::closed);
  EXPECT_EQ(why_not(queue.pop(absl::Seconds(1))), Why::closed);
}

// Q4: pop_one() said closed although items were left.
TEST(QueueCloseTest, PopOneAndPopAllDeliverWhatIsLeftQ4) {
  Queue<int> queue("q");
  for (int i = 0; i < 3; ++i) queue.add(i);
  queue.close();
  EXPECT_EQ(value_of(queue.pop_one()), 0);
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2));
  EXPECT_EQ(why_not(queue.pop_one()), Why::closed);
  EXPECT_THAT(queue.pop_all(), IsEmpty());
}

// Theirs: test_put_to_closed, test_add_to_closed, test_push_to_closed, test_push_all_closed.
TEST(QueueCloseTest, AddingThrowsAndNamesTheQueue) {
  Queue<int> queue("shut");
  queue.close();
  EXPECT_THROW(queue.push(1), QueueClosed);
  EXPECT_THROW(queue.push_all({1, 2}), QueueClosed);
  EXPECT_THROW(queue.extend(std::vector<int>{1}), QueueClosed);
  try {
    queue.add(1);
    FAIL() << "it went in";
  } catch (const QueueClosed& closed) {
    EXPECT_THAT(closed.what(), HasSubstr("Do not add to closed queue \"shut\""));
  }
  EXPECT_TRUE(queue.empty());
}

TEST(QueueCloseTest, AddingWithALimitSaysClosed) {
  Queue<int> queue("shut");
  queue.close();
  EXPECT_EQ(queue.add(1, absl::ZeroDuration()).why(), Why::closed);
  EXPECT_EQ(queue.push(1, absl::Seconds(1)).why(), Why::closed);
  EXPECT_EQ(queue.add(1, DONE).why(), Why::closed);
}

TEST(QueueCloseTest, ASecondCloseDoesNothing) {
  Queue<int> queue("q");
  int gone = 0;
  queue.closed().then([&] { ++gone; });
  queue.close();
  queue.close();
  EXPECT_EQ(gone, 1);
}

// Q3: close() left waiting adds asleep, for 5 s or for ever. Theirs: test_push_to_closed_max, test_push_all_closed_max.
TEST(QueueCloseTest, WakesEveryoneQ3) {
  for (const bool silent : {true, false}) {
    Queue<int> full("full", {.max = 1, .silent = silent});
    full.add(0);
    std::vector<ThreadHandle<void>> producers;
    for (int i = 0; i < 3; ++i) producers.push_back(waiting_add(full, i));
    producers.push_back(Thread::run("pusher", [&](Signal) { full.push_all({8}); }));
    await_sleeping(producers.back().thread(), "waits for room in queue full");
    auto limited = Thread::run("limited", [&](Signal) { return full.add(9, absl::Hours(1)).why(); });
    await_sleeping(limited.thread(), "waits for room in queue full");
    full.close();
    for (auto& producer : producers) EXPECT_THROW(producer.join(), QueueClosed);
    EXPECT_EQ(limited.join(), Why::closed);
    EXPECT_THAT(full.pop_all(), ElementsAre(0));
  }
  Queue<int> empty("empty");
  std::vector<ThreadHandle<Popped<int>>> consumers;
  for (int i = 0; i < 3; ++i) consumers.push_back(waiting_pop(empty));
  auto joiner = Thread::run("joiner", [&](Signal) { empty.join(); });
  await_sleeping(joiner.thread(), "waits for signal queue empty closed and empty");
  empty.close();
  for (auto& consumer : consumers) EXPECT_EQ(why_not(consumer.join()), Why::closed);
  joiner.join();
}

TEST(QueueCloseTest, AnAddThatWaitedKeepsItsValue) {
  Queue<std::unique_ptr<int>> queue("q", {.max = 1});
  queue.add(std::make_unique<int>(0));
  auto value = std::make_unique<int>(1);
  auto producer = Thread::run("producer", [&](Signal) { queue.add(std::move(value)); });
  await_sleeping(producer.thread(), "waits for room");
  queue.close();
  EXPECT_THROW(producer.join(), QueueClosed);
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(*value, 1);
}

TEST(QueueCloseTest, ForceAddStillAddsAndPopDelivers) {
  Queue<int> queue("q");
  queue.close();
  queue.force_add(1);
  EXPECT_EQ(value_of(queue.pop()), 1);
  EXPECT_EQ(why_not(queue.pop()), Why::closed);
}

TEST(QueueCloseTest, AddingAfterwardsMayBeAllowed) {
  Queue<int> queue("q", {.max = 1, .allow_add_after_close = true});
  queue.add(0);
  queue.close();
  queue.add(1);
  queue.push(-1);
  EXPECT_EQ(queue.add(2, absl::ZeroDuration()).why(), Why::ready);
  EXPECT_THAT(queue.pop_all(), ElementsAre(-1, 0, 1, 2));
  EXPECT_EQ(why_not(queue.pop()), Why::closed);
}

TEST(QueueCloseTest, WakesWaitingAddsAlsoWhereTheyAreAllowedAndNobodyOvertakesThem) {
  Queue<int> queue("q", {.max = 1, .allow_add_after_close = true});
  queue.add(0);
  auto first = waiting_add(queue, 1);
  auto second = waiting_add(queue, 2);
  queue.close();
  first.join();
  second.join();
  queue.add(3);
  EXPECT_THAT(queue.pop_all(), ElementsAre(0, 1, 2, 3));
}

// Q10: every pop of a closed queue logged "queue closed".
TEST(QueueCloseTest, LogsNothingQ10) {
  LogLines lines;
  Queue<int> queue("quiet");
  queue.add(1);
  queue.close();
  for (int i = 0; i < 3; ++i) static_cast<void>(queue.pop());
  for (int item : queue) ADD_FAILURE() << item;
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST(QueueJoinTest, WaitsUntilItIsClosedAndAllHaveBeenPopped) {
  Queue<int> queue("q");
  queue.add(1);
  EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_EQ(value_of(queue.pop()), 1);
  EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::timed_out);  // not closed
  queue.add(2);
  queue.close();
  EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::timed_out);  // not empty
  auto joiner = Thread::run("joiner", [&](Signal) {
    queue.join();
    EXPECT_EQ(queue.size(), 0U);
  });
  await_sleeping(joiner.thread(), "waits for signal queue q closed and empty");
  EXPECT_EQ(value_of(queue.pop()), 2);
  joiner.join();
}

TEST(QueueJoinTest, EndsWhicheverWayTheLastItemIsTaken) {
  const auto closed_with_two = [](Queue<int>& queue) {
    queue.add(1);
    queue.add(2);
    queue.close();
  };
  Queue<int> by_pop_one("q");
  closed_with_two(by_pop_one);
  static_cast<void>(by_pop_one.pop_one());
  EXPECT_EQ(by_pop_one.join(absl::ZeroDuration()).why(), Why::timed_out);
  static_cast<void>(by_pop_one.pop_one());
  EXPECT_EQ(by_pop_one.join(absl::ZeroDuration()).why(), Why::ready);
  Queue<int> by_pop_all("q");
  closed_with_two(by_pop_all);
  static_cast<void>(by_pop_all.pop_all());
  EXPECT_EQ(by_pop_all.join(absl::ZeroDuration()).why(), Why::ready);
  Queue<int> unique("q", {.unique = true});
  closed_with_two(unique);
  while (unique.pop()) {
  }
  EXPECT_EQ(unique.join(absl::ZeroDuration()).why(), Why::ready);
}

TEST(QueueJoinTest, CanBeStopped) {
  const Queue<int> queue("q");
  const Signal stop;
  stop.go();
  EXPECT_EQ(queue.join(stop).why(), Why::stopped);
}

// --- iteration -----------------------------------------------------------------------------------------------------------

TEST(QueueIterationTest, PopsUntilItIsClosedAndEmpty) {
  Queue<int> queue("q");
  for (int i = 0; i < 4; ++i) queue.add(i);  // 0 is an item like others
  queue.close();
  std::vector<int> seen;
  for (int& item : queue) seen.push_back(item);
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3));
}

TEST(QueueIterationTest, WaitsForItems) {
  Queue<int> queue("q");
  auto consumer = Thread::run("consumer", [&](Signal) {
    int sum = 0;
    for (const int item : queue) sum += item;
    return sum;
  });
  for (int i = 1; i <= 3; ++i) {
    await_sleeping(consumer.thread(), "pops from queue q");
    queue.add(i);
  }
  queue.close();
  EXPECT_EQ(consumer.join(), 6);
}

TEST(QueueIterationTest, UntilASignalStopsAtIt) {
  Queue<int> queue("q");
  auto consumer = Thread::run("consumer", [&](Signal please_stop) {
    int sum = 0;
    for (const int item : queue.until(please_stop)) sum += item;
    return sum;
  });
  queue.add(1);
  await_sleeping(consumer.thread(), "pops from queue q");
  consumer.stop();
  EXPECT_EQ(consumer.join(), 1);
  EXPECT_FALSE(queue.closed());
}

TEST(QueueIterationTest, LeavingItLeavesTheRest) {
  Queue<int> queue("q");
  for (int i = 0; i < 4; ++i) queue.add(i);
  for (const int item : queue) {
    if (item == 1) break;
  }
  EXPECT_THAT(queue.pop_all(), ElementsAre(2, 3));
}

TEST(QueueIterationTest, AnExceptionLeavesTheLoopAndTheRest) {
  Queue<int> queue("q");
  for (int i = 0; i < 3; ++i) queue.add(i);
  const auto loop = [&] {
    for (const int item : queue) {
      if (item == 0) throw std::runtime_error("in the body");
    }
  };
  EXPECT_THROW(loop(), std::runtime_error);
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2));
}

TEST(QueueIterationTest, ItemsCanBeMovedOut) {
  Queue<std::unique_ptr<int>> queue("owners");
  queue.add(std::make_unique<int>(5));
  queue.close();
  std::vector<std::unique_ptr<int>> taken;
  for (auto& item : queue) taken.push_back(std::move(item));
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(*taken[0], 5);
}

// --- waiters are left alone ----------------------------------------------------------------------------------------------

// K2: two idle consumers woke each other for ever. Q9: looking at the size woke them, too.
TEST(QueueIdleTest, NobodyWakesIdleConsumersK2Q9) {
  Queue<int> queue("idle");
  std::vector<ThreadHandle<Popped<int>>> consumers;
  std::vector<Instant> asleep_since;
  for (int i = 0; i < 8; ++i) {
    consumers.push_back(waiting_pop(queue));
    asleep_since.push_back(await_sleeping(consumers.back().thread(), "pops from queue idle"));
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(queue.size(), 0U);
    EXPECT_TRUE(queue.empty());
    EXPECT_FALSE(queue.full());
    EXPECT_FALSE(queue.closed());
  }
  queue.add(1);
  EXPECT_EQ(value_of(consumers.front().join()), 1);
  for (std::size_t i = 1; i < consumers.size(); ++i) {
    EXPECT_EQ(await_sleeping(consumers[i].thread(), "pops from queue idle"), asleep_since[i]) << "consumer " << i;
  }
  queue.close();
  for (std::size_t i = 1; i < consumers.size(); ++i) EXPECT_EQ(why_not(consumers[i].join()), Why::closed);
}

// --- the stall warning ---------------------------------------------------------------------------------------------------

TEST(QueueStallTest, AnAddThatWaitsSaysSoEveryFiveSeconds) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 2});
  queue.add(0);
  queue.add(1);
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  producer.script({
      [&] {
        clock.advance(absl::Milliseconds(4999));
        EXPECT_THAT(lines.take_texts(), IsEmpty());
        clock.advance(absl::Milliseconds(1));
      },
      [&] {
        EXPECT_THAT(lines.take_texts(),
                    ElementsAre("Queue with name \"q\" is full with (2 items), thread(s) have been waiting 5 sec"));
        clock.advance(absl::Seconds(5));
      },
      [&] {
        const auto logged = lines.take();
        ASSERT_EQ(logged.size(), 1U);
        EXPECT_EQ(logged[0].text, "Queue with name \"q\" is full with (2 items), thread(s) have been waiting 10 sec");
        EXPECT_EQ(logged[0].level, log::Level::warning);
        EXPECT_EQ(logged[0].context, "producer");
        EXPECT_EQ(value_of(queue.pop()), 0);
      },
  });
  producer.run([&] { queue.add(2); });
  EXPECT_EQ(producer.sleeps(), 3);
  EXPECT_EQ(clock.timers(), 0U);
  EXPECT_THAT(lines.take_texts(), IsEmpty());
  EXPECT_THAT(queue.pop_all(), ElementsAre(1, 2));
}

TEST(QueueStallTest, DoesNotMoveTheLimit) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  const Instant start = clock.now();
  const auto pass_time = [&] { clock.advance_to_next(); };
  producer.script({pass_time, pass_time, pass_time});
  producer.run([&] { EXPECT_EQ(queue.add(1, absl::Seconds(12)).why(), Why::timed_out); });
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(12));
  EXPECT_EQ(lines.take_texts().size(), 2U);
}

TEST(QueueStallTest, ASilentQueueSaysNothing) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1, .silent = true});
  queue.add(0);
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  producer.script({[&] {
    EXPECT_EQ(clock.timers(), 0U);
    clock.advance(absl::Seconds(60));
    EXPECT_EQ(value_of(queue.pop()), 0);
  }});
  producer.run([&] { queue.add(1); });
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST(QueueStallTest, RoomThatComesWithTheWarningIsTaken) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  producer.script({[&] {
    clock.advance(absl::Seconds(5));  // the producer's sleep is over, but it has not run yet
    EXPECT_EQ(value_of(queue.pop()), 0);
  }});
  producer.run([&] { queue.add(1); });
  EXPECT_EQ(value_of(queue.pop_one()), 1);
}

TEST(QueueStallTest, NobodyOvertakesAnAddThatIsAboutToWarn) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  ScriptedContext& first = ScriptedContext::make("first", clock);
  std::optional<ThreadHandle<void>> second;
  first.script({[&] {
    clock.advance(absl::Seconds(1));
    second.emplace(waiting_add(queue, 2));
    clock.advance(absl::Seconds(4));  // the first's sleep is over, but it has not run yet
    EXPECT_EQ(value_of(queue.pop()), 0);
  }});
  first.run([&] { queue.add(1); });
  EXPECT_EQ(value_of(queue.pop()), 1);
  EXPECT_EQ(value_of(queue.pop()), 2);
  second->join();
}

TEST(QueueStallTest, CloseReachesAnAddThatIsAboutToWarn) {
  LogLines lines;
  VirtualClock clock;
  Queue<int> queue("q", {.max = 1});
  queue.add(0);
  ScriptedContext& producer = ScriptedContext::make("producer", clock);
  producer.script({[&] {
    clock.advance(absl::Seconds(5));
    queue.close();
  }});
  producer.run([&] { EXPECT_THROW(queue.add(1), QueueClosed); });
  EXPECT_EQ(producer.sleeps(), 1);
}

// --- programmers' errors -------------------------------------------------------------------------------------------------

TEST(QueueDeathTest, DestroyingItWhileAPopWaitsIsFatalAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<Queue<int>> queue;
        queue.emplace("popped from");
        auto consumer = waiting_pop(*queue);
        queue.reset();
      },
      "Queue \"popped from\" was destroyed while somebody waits on it");
}

TEST(QueueDeathTest, DestroyingItWhileAnAddWaitsIsFatalAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<Queue<int>> queue;
        queue.emplace("added to", QueueOptions{.max = 1});
        queue->add(0);
        auto producer = waiting_add(*queue, 1);
        queue.reset();
      },
      "Queue \"added to\" was destroyed while somebody waits on it");
}

}  // namespace
}  // namespace mothreads
