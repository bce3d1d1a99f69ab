#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/queue_waits.h"
#include "tests/support/race.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::LogLines;
using testing::name_of_race;
using testing::Race;
using testing::ScriptedContext;
using testing::value_of;
using testing::VirtualClock;
using testing::waiting_add;
using testing::waiting_pop;
using testing::why_not;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

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

class QueuePopRaceTest : public testing::RaceTest {};

// A sleeping pop, and all that can end it in every order: the first decides, and no item is lost.
TEST_P(QueuePopRaceTest, TheFirstThatHappensDecidesAndNoItemIsLost) {
  Queue<int> queue("raced");
  std::vector<int> out;
  run({{"add", [&] { queue.add(7); }}, {"close", [&] { queue.close(); }}}, [&] {
    auto popped = queue.pop(stop | absl::Seconds(1));
    EXPECT_EQ(popped.why(), GetParam().why);
    EXPECT_EQ(static_cast<bool>(popped), GetParam().why == Why::ready);
    if (popped) out.push_back(*popped);
  });
  for (const int left : queue.pop_all()) out.push_back(left);
  const bool was_added = std::ranges::find(GetParam().happens, "add") != GetParam().happens.end();
  EXPECT_EQ(out, was_added ? std::vector<int>{7} : std::vector<int>{});
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
                         name_of_race);

class QueueAddRaceTest : public testing::RaceTest {};

// The same for a sleeping add: it is in the queue or with the caller, never both.
TEST_P(QueueAddRaceTest, TheFirstThatHappensDecidesAndTheItemIsInOnePlace) {
  Queue<std::unique_ptr<int>> queue("raced", {.max = 1});
  queue.add(std::make_unique<int>(0));
  std::vector<int> out;
  run({{"pop", [&] { out.push_back(*value_of(queue.pop_one())); }}, {"close", [&] { queue.close(); }}}, [&] {
    auto item = std::make_unique<int>(1);
    EXPECT_EQ(queue.add(std::move(item), stop | absl::Seconds(1)).why(), GetParam().why);
    // NOLINTNEXTLINE(bugprone-use-after-move): whether it was moved is the question.
    EXPECT_EQ(item == nullptr, GetParam().why == Why::ready);
  });
  for (const auto& left : queue.pop_all()) out.push_back(*left);
  EXPECT_EQ(out, GetParam().why == Why::ready ? (std::vector<int>{0, 1}) : (std::vector<int>{0}));
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
                         name_of_race);

TEST(QueueLimitTest, AnItemGoesToTheNextWhenTheFirstHasGivenUp) {
  VirtualClock clock;
  Queue<int> queue("q");
  std::optional<ThreadHandle<Result<int>>> second;
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

}  // namespace
}  // namespace mothreads
