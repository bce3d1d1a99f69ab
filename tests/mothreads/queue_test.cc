#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/misuse.h"
#include "mothreads/thread.h"
#include "tests/support/queue_waits.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"
#include "tests/support/system_calls.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::ScriptedContext;
using testing::value_of;
using testing::waiting_add;
using testing::waiting_pop;
using testing::why_not;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- first in, first out -------------------------------------------------------------------------------------------------

TEST(QueueTest, GivesItemsInTheOrderTheyWereAdded) {
  Queue<int> queue("numbers");
  for (int i = 0; i < 100; ++i) queue.add(i);
  EXPECT_EQ(queue.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(value_of(queue.pop()), i);
  EXPECT_TRUE(queue.empty());
}

TEST(QueueTest, TakesAValueInBraces) {
  struct Job {
    int number;
    std::string name;
  };
  Queue<Job> queue("jobs");
  queue.add({2, "second"});
  EXPECT_TRUE(queue.add({3, "third"}, absl::ZeroDuration()));
  queue.push({1, "first"});
  EXPECT_TRUE(queue.push({0, "front"}, absl::ZeroDuration()));
  queue.force_add({4, "last"});
  std::vector<std::string> names;
  for (const Job& job : queue.pop_all()) names.push_back(job.name);
  EXPECT_THAT(names, ElementsAre("front", "first", "second", "third", "last"));
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
  ScriptedContext::make_library_thread().run([&] {
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
