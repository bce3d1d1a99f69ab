#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/queue_waits.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::LogLines;
using testing::value_of;
using testing::waiting_add;
using testing::waiting_pop;
using testing::why_not;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  std::vector<ThreadHandle<Result<int>>> consumers;
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

}  // namespace
}  // namespace mothreads
