// A mothreads::Queue as one of several things that one wait waits for.

#include <functional>
#include <memory>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/wait_for.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Closed;
using mothreads::DONE;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Stopped;
using mothreads::Thread;
using mothreads::Timedout;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST(QueueSourceTest, WhatIsThereIsTakenFromTheFirstThatHasIt) {
  Queue<int> empty("empty");
  Queue<int> full("full");
  Queue<int> also("also");
  full.extend(std::vector{1, 2});
  also.add(3);
  const auto first = wait_for_any(std::tie(empty, full, also));
  EXPECT_EQ(std::get<1>(first), 1);
  EXPECT_EQ(full.size(), 1u);
  EXPECT_EQ(also.size(), 1u);
}

TEST(QueueSourceTest, ALimitTakesNothingAndLeavesNothingBehind) {
  Queue<int> queue("letters");
  const Signal never;
  EXPECT_THAT(what_of<Timedout>([&] { wait_for_any(std::tie(queue), absl::ZeroDuration()); }), HasSubstr("queue \"letters\""));
  EXPECT_THROW(wait_for_any(std::tie(queue, never), DONE), Stopped);
  queue.add(1);
  EXPECT_EQ(queue.size(), 1u);  // nobody waits for it
  EXPECT_EQ(*queue.pop_one(), 1);
}

TEST(QueueSourceTest, AnItemThatOnlyMovesComesFromAnotherThread) {
  for (const bool on_fiber : {false, true}) {
    Queue<std::unique_ptr<int>> queue("letters");
    const Signal never;
    const auto wait = [&] { return *std::get<1>(wait_for_any(std::tie(never, queue))); };
    auto waiter = Thread::run("waiter", [&](const Signal&) { return on_fiber ? spawn("fiber", wait).join() : wait(); });
    queue.add(std::make_unique<int>(7));
    EXPECT_EQ(waiter.join(), 7);
    EXPECT_TRUE(queue.empty());
  }
}

TEST(QueueSourceTest, AFiberOfTheSameThreadMayAdd) {
  Queue<int> queue("letters");
  Event<int> event;
  auto waiter = spawn("waiter", [&] { return std::get<0>(wait_for_any(std::tie(queue, event))); });
  auto producer = spawn("producer", [&] { queue.add(7); });
  EXPECT_EQ(waiter.join(), 7);
  producer.join();
}

TEST(QueueSourceTest, TheEndOfAQueueIsThrownAndNamesIt) {
  Queue<int> queue("letters");
  queue.add(1);
  queue.close();
  EXPECT_EQ(std::get<0>(wait_for_any(std::tie(queue))), 1);
  queue.join();  // the last item is out
  EXPECT_THAT(what_of<Closed>([&] { wait_for_any(std::tie(queue)); }), HasSubstr("letters"));
}

TEST(QueueSourceTest, TheEndOfAQueueEndsTheWait) {
  Queue<int> queue("letters");
  const Signal never;
  auto waiter = spawn("waiter", [&] { return what_of<Closed>([&] { wait_for_any(std::tie(never, queue)); }); });
  auto closer = spawn("closer", [&] { queue.close(); });
  EXPECT_THAT(waiter.join(), HasSubstr("letters"));
  closer.join();
}

// Whoever is told of the end may destroy the queue at once.
TEST(QueueSourceTest, AQueueMayGoOnceItsEndIsTold) {
  auto queue = std::make_unique<Queue<int>>("a name of more than fifteen bytes");
  auto of_threads = std::make_unique<ThreadedEventQueue<int>>("letters");
  const Signal never;
  auto first = spawn("first", [&] { return what_of<Closed>([&] { wait_for_any(std::tie(never, *queue)); }); });
  auto second = spawn("second", [&] { return what_of<Closed>([&] { wait_for_any(std::tie(never, *of_threads)); }); });
  yield();
  queue->close();
  queue.reset();
  of_threads->close();
  of_threads.reset();
  EXPECT_THAT(first.join(), HasSubstr("a name of more than fifteen bytes"));
  EXPECT_THAT(second.join(), HasSubstr("closed"));
}

TEST(QueueSourceTest, AProducerThatWaitsForRoomGoesOn) {
  Queue<int> queue("letters", {.max = 1, .silent = true});
  queue.add(1);
  auto producer = Thread::run("producer", [&](const Signal&) { queue.add(2); });
  EXPECT_EQ(std::get<0>(wait_for_any(std::tie(queue))), 1);
  EXPECT_EQ(std::get<0>(wait_for_any(std::tie(queue))), 2);
  producer.join();
}

TEST(QueueSourceTest, ContainersOfQueues) {
  std::vector<std::unique_ptr<Queue<int>>> queues;
  std::vector<std::reference_wrapper<Queue<int>>> sources;
  for (const char* name : {"a", "b", "c"}) sources.emplace_back(*queues.emplace_back(std::make_unique<Queue<int>>(name)));
  queues[1]->add(5);
  const auto first = wait_for_any(sources);
  EXPECT_EQ(first.index, 1u);
  EXPECT_EQ(first.value, 5);
}

TEST(QueueSourceTest, OneThatIsUniqueTakesTheValueAgain) {
  Queue<int> queue("letters", {.unique = true});
  queue.extend(std::vector{1, 1, 2});
  EXPECT_EQ(std::get<0>(wait_for_any(std::tie(queue))), 1);
  queue.add(1);
  EXPECT_THAT(queue.pop_all(), ElementsAre(2, 1));
}

// Whoever turns, each item is delivered once: to a wait for several, a pop, or a wait whose limit comes at that moment.
TEST(QueueSourceTest, EachItemIsDeliveredOnceInAnyOrder) {
  testing::for_each_seed(400, [](testing::World& world) {
    world.run([&] {
      Queue<int> left("left", {.max = 1, .silent = true});
      Queue<int> right("right", {.max = 2, .silent = true});
      Queue<int> taken("taken");
      auto several = Thread::run("several", [&](const Signal&) {
        for (int i = 0; i < 3; ++i) std::visit([&](int item) { taken.add(item); }, wait_for_any(std::tie(left, right)));
      });
      auto impatient = Thread::run("impatient", [&](const Signal&) {
        for (int i = 0; i < 3; ++i) {
          try {
            std::visit([&](int item) { taken.add(item); }, wait_for_any(std::tie(right, left), absl::Milliseconds(1)));
          } catch (const Timedout&) {
          }
        }
      });
      auto producers = Thread::run("producer", [&](const Signal&) {
        for (int i = 0; i < 6; ++i) (i % 2 == 0 ? left : right).add(i);
      });
      several.join();
      impatient.join();
      while (taken.size() < 6) std::visit([&](int item) { taken.add(item); }, wait_for_any(std::tie(left, right)));
      producers.join();
      EXPECT_THAT(taken.pop_all(), UnorderedElementsAre(0, 1, 2, 3, 4, 5));
    });
  }, {.switch_at = testing::SwitchAt::every_operation});
}

}  // namespace
}  // namespace cooperative
