// Queue under many threads and the real clock.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/queue.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/sanitized.h"

namespace mothreads::inline v0 {
namespace {

constexpr int kRounds = testing::kSanitized ? 1'500 : 10'000;

struct Shape {
  std::size_t max;
  int producers;
  int consumers;
};

class QueueDestructionStressTest : public ::testing::TestWithParam<std::string> {};

// Whoever learns what it waited for destroys the queue, while the call that did it may be on its way out: for AddressSanitizer.
TEST_P(QueueDestructionStressTest, WhoLearnsOfItMayDestroyTheQueue) {
  const std::string how = GetParam();
  Queue<std::function<void()>> jobs("jobs");
  auto helper = Thread::run("helper", [&](Signal) {
    while (auto job = jobs.pop()) (*job)();
  });
  for (int i = 0; i < kRounds; ++i) {
    auto owned = std::make_unique<Queue<int>>("results", QueueOptions{.max = 1, .silent = true});
    Queue<int>* const queue = owned.get();
    if (how == "Add" || how == "LastPop" || how == "Room") queue->add(1);
    if (how == "LastPop") queue->close();
    jobs.add([queue, how] {
      if (how == "LastPop" || how == "Room") {
        static_cast<void>(queue->pop());
      } else if (how == "Item") {
        queue->add(1);
      } else {
        queue->close();
      }
    });
    if (how == "Pop") {
      while (queue->pop()) {
      }
    }
    if (how == "Item") static_cast<void>(queue->pop());
    if (how == "Join" || how == "LastPop") queue->join();
    if (how == "Closed") queue->closed().wait();
    if (how == "Add" || how == "Room") static_cast<void>(queue->add(2, absl::InfiniteDuration()));
    owned.reset();
  }
  jobs.close();
  helper.join();
}

INSTANTIATE_TEST_SUITE_P(All, QueueDestructionStressTest,
                         ::testing::Values("Pop", "Item", "Join", "Closed", "Add", "Room", "LastPop"),
                         [](const auto& instance) { return instance.param; });

class QueueStressTest : public ::testing::TestWithParam<Shape> {};

// All ways in, all ways out, with all kinds of limits: what went in comes out, once.
TEST_P(QueueStressTest, EveryWayInAndOutLosesAndDoublesNothing) {
  const auto [max, producers, consumers] = GetParam();
  Queue<std::unique_ptr<int>> queue("stress", {.max = max, .silent = true});
  std::atomic<int> next{0};
  std::vector<ThreadHandle<std::vector<int>>> givers;
  for (int p = 0; p < producers; ++p) {
    givers.push_back(Thread::run("giver", [&, p](Signal) {
      std::mt19937 random(static_cast<unsigned>(p));
      std::vector<int> added;
      for (int i = 0; i < kRounds; ++i) {
        const int number = next++;
        auto item = std::make_unique<int>(number);
        const absl::Duration limit = absl::Microseconds(random() % 40);
        bool in = true;
        switch (random() % 5) {
          case 0:
            in = static_cast<bool>(queue.add(std::move(item), limit));
            break;
          case 1:
            in = static_cast<bool>(queue.push(std::move(item), limit));
            break;
          case 2:
            queue.force_add(std::move(item));
            break;
          case 3:
            queue.push(std::move(item));
            break;
          default:
            queue.add(std::move(item));
        }
        EXPECT_EQ(item == nullptr, in);
        if (in) added.push_back(number);
      }
      return added;
    }));
  }
  std::vector<ThreadHandle<std::vector<int>>> takers;
  for (int c = 0; c < consumers; ++c) {
    takers.push_back(Thread::run("taker", [&, c](Signal) {
      std::mt19937 random(static_cast<unsigned>(1000 + c));
      std::vector<int> taken;
      while (true) {
        if (random() % 50 == 0) {
          for (const auto& item : queue.pop_all()) taken.push_back(*item);
          continue;
        }
        auto popped = random() % 2 == 0 ? queue.pop() : queue.pop(absl::Microseconds(random() % 40));
        if (popped) taken.push_back(**popped);
        if (popped.why() == Why::closed) return taken;
      }
    }));
  }
  std::vector<int> added;
  std::vector<int> taken;
  for (auto& giver : givers) std::ranges::copy(giver.join(), std::back_inserter(added));
  queue.close();
  for (auto& taker : takers) std::ranges::copy(taker.join(), std::back_inserter(taken));
  std::ranges::sort(added);
  std::ranges::sort(taken);
  EXPECT_EQ(taken, added);
  EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::ready);
}

INSTANTIATE_TEST_SUITE_P(All, QueueStressTest,
                         ::testing::Values(Shape{1, 1, 1}, Shape{1, 4, 4}, Shape{2, 2, 2}, Shape{16, 4, 1}, Shape{16, 1, 4},
                                           Shape{1024, 4, 4}),
                         [](const auto& shape) {
                           return "max" + std::to_string(shape.param.max) + "from" + std::to_string(shape.param.producers) +
                                  "to" + std::to_string(shape.param.consumers);
                         });

// close() races with adds and pops: an add is in the queue or refused, and nobody sleeps on.
TEST(QueueCloseStressTest, CloseRacesWithAddsAndPops) {
  for (int round = 0; round < kRounds / 10; ++round) {
    Queue<int> queue("closing", {.max = 1, .silent = true});
    std::atomic<int> added{0};
    std::atomic<int> taken{0};
    std::vector<ThreadHandle<void>> threads;
    for (int i = 0; i < 2; ++i) {
      threads.push_back(Thread::run("giver", [&](Signal) {
        while (queue.add(1, {})) ++added;
      }));
      threads.push_back(Thread::run("taker", [&](Signal) {
        while (queue.pop()) ++taken;
      }));
    }
    while (taken < round % 20) std::this_thread::yield();
    queue.close();
    join_all(threads);
    EXPECT_EQ(taken, added);
    EXPECT_EQ(queue.join(absl::ZeroDuration()).why(), Why::ready);
  }
}

// The maximum holds at every moment that anybody can see.
TEST(QueueBoundStressTest, TheMaximumIsNeverExceeded) {
  Queue<int> queue("bounded", {.max = 3, .silent = true});
  std::atomic<bool> ended{false};
  auto watcher = Thread::run("watcher", [&](Signal) {
    while (!ended) EXPECT_LE(queue.size(), 3U);
  });
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 3; ++i) {
    threads.push_back(Thread::run("giver", [&](Signal) {
      for (int n = 0; n < kRounds; n += 4) {
        queue.extend(std::vector<int>{1, 2});
        queue.push(3);
        queue.push_all({4});
      }
    }));
  }
  auto taker = Thread::run("taker", [&](Signal) {
    int count = 0;
    while (queue.pop()) ++count;
    return count;
  });
  join_all(threads);
  queue.close();
  EXPECT_EQ(taker.join(), 3 * ((kRounds + 3) / 4) * 4);
  ended = true;
}

// Theirs: test_memory_cleanup_with_signal: rounds of many producers leave nothing behind.
TEST(QueueMemoryStressTest, RoundsOfManyProducersLeaveNothingBehind) {
  constexpr int kProducers = testing::kSanitized ? 20 : 100;
  Queue<std::unique_ptr<int>> queue("rounds", {.max = 4, .silent = true});
  std::int64_t before = 0;
  for (int round = 0; round < 20; ++round) {
    if (round == 5) before = testing::live_allocations();  // the first make what is kept: contexts, the ring
    std::vector<ThreadHandle<void>> producers;
    for (int i = 0; i < kProducers; ++i) {
      producers.push_back(Thread::run("producer", [&](Signal please_stop) {
        static_cast<void>(queue.add(std::make_unique<int>(1), please_stop | absl::Seconds(100)));
      }));
    }
    for (int i = 0; i < kProducers; ++i) ASSERT_TRUE(queue.pop());
    join_all(producers);
  }
  // More contexts may have been needed at a time than before, never one for each thread of the later rounds.
  EXPECT_LE(testing::live_allocations() - before, 2 * kProducers);
}

}  // namespace
}  // namespace mothreads
