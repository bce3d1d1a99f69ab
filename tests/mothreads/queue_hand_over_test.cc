#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/thread.h"
#include "tests/support/queue_waits.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::value_of;
using testing::waiting_add;
using testing::waiting_pop;
using testing::why_not;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- hand-over -----------------------------------------------------------------------------------------------------------

TEST(QueueHandOverTest, ConsumersAreServedInTheOrderTheyCame) {
  Queue<int> queue("q");
  std::vector<ThreadHandle<Result<int>>> consumers;
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

// --- waiters are left alone ----------------------------------------------------------------------------------------------

// K2: two idle consumers woke each other for ever. Q9: looking at the size woke them, too.
TEST(QueueIdleTest, NobodyWakesIdleConsumersK2Q9) {
  Queue<int> queue("idle");
  std::vector<ThreadHandle<Result<int>>> consumers;
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

}  // namespace
}  // namespace mothreads
