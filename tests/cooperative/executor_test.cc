// A Scheduler and a CallbackQueue as Executors, and Signal::then() on them.

#include "mothreads/executor.h"

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/host.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Executor;
using mothreads::Posted;
using mothreads::Signal;
using mothreads::ThenId;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::allocations_here;
using mothreads::testing::LogLines;
using testing::Host;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<std::string>;

// Returns when all that was posted to this scheduler before has run.
void run_callbacks() { Scheduler::current().callback_result([] {}, RunIn::callbacks); }

// --- the scheduler -------------------------------------------------------------------------------------------------------

TEST(ExecutorTest, ASchedulerRunsWhatIsPostedAmongItsCallbacks) {
  Host host;
  const Executor executor = host.scheduler();
  EXPECT_EQ(executor.name(), "the scheduler of \"host\"");
  std::string where;
  Order order;
  host.scheduler().callback([&] { order.push_back("before"); });
  EXPECT_TRUE(executor.post([&, held = std::make_unique<int>(1)] {
    where = Thread::current().name();
    order.push_back("posted");
  }));
  host.scheduler().callback_result([&] { order.push_back("after"); }, RunIn::callbacks);
  EXPECT_EQ(where, "host");
  EXPECT_THAT(order, ElementsAre("before", "posted", "after"));
  host.end();
}

TEST(ExecutorTest, OfASchedulerThatHasEndedItIsClosedAndTheFunctionTheCallers) {
  std::optional<Host> host(std::in_place);
  const Executor executor = host->scheduler();
  host->end();
  host.reset();
  int runs = 0;
  absl::AnyInvocable<void()> function = [&runs, held = std::make_unique<int>(1)] { runs += *held; };
  EXPECT_EQ(executor.post(std::move(function)).why(), Why::closed);
  function();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(executor.name(), "the scheduler of \"host\"");
}

TEST(ExecutorTest, AThenFunctionRunsOnTheSchedulersThread) {
  Host host;
  const Signal signal;
  const Signal ran;
  std::string where;
  signal.then(host.scheduler(), [&] {
    sleep(absl::ZeroDuration());  // a callback may wait
    where = Thread::current().name();
    ran.go();
  });
  signal.go();
  ran.wait();
  EXPECT_EQ(where, "host");
  host.end();
}

TEST(ExecutorTest, AlsoWhereTheSchedulersOwnThreadLetsItGoItRunsAfterGo) {
  const Signal signal;
  bool ran = false;
  signal.then(Scheduler::current(), [&] { ran = true; });
  signal.go();
  EXPECT_FALSE(ran);
  run_callbacks();
  EXPECT_TRUE(ran);
  ran = false;
  signal.then(Scheduler::current(), [&] { ran = true; });  // it has gone
  EXPECT_FALSE(ran);
  run_callbacks();
  EXPECT_TRUE(ran);
}

TEST(ExecutorTest, WhatAThenFunctionThrowsIsReportedAsACallbacks) {
  LogLines lines;
  const Signal signal;
  signal.then(Scheduler::current(), [] { throw std::runtime_error("no bread"); });
  std::string got;
  signal.then(Scheduler::current(), [] { throw std::runtime_error("no butter"); },
              [&](const std::exception_ptr& e) { got = mothreads::log::describe(e); });
  signal.go();
  run_callbacks();
  EXPECT_THAT(lines.take_texts(), ElementsAre("Asynchronous callback raised uncaught exception: no bread"));
  EXPECT_EQ(got, "no butter");
}

TEST(ExecutorTest, GoAllocatesNothingForAFunctionOnAScheduler) {
  int runs = 0;
  const Executor here = Scheduler::current();
  for (int round = 0; round < 2; ++round) {
    const Signal signal;
    for (int i = 0; i < 10; ++i) signal.then(here, [&runs, big = std::vector<int>(100)] { ++runs; });
    const auto before = allocations_here();
    signal.go();
    if (round > 0) {  // the first takes the block that this thread's posts lie in
      EXPECT_EQ(allocations_here(), before);
    }
    run_callbacks();
  }
  EXPECT_EQ(runs, 20);
}

TEST(ExecutorTest, ASchedulerThatEndedBetweenThenAndGoIsReported) {
  LogLines lines;
  const Signal signal("lunch");
  {
    Host host;
    signal.then(host.scheduler(), [] { ADD_FAILURE(); });
    host.end();
  }
  signal.go();
  EXPECT_THAT(lines.take_texts(),
              ElementsAre("The Signal \"lunch\" has gone, but the scheduler of \"host\" is closed: a then() function for it is lost"));
}

TEST(ExecutorTest, OneThatEndsBeforeTheFunctionsTurnDestroysItAndSaysSo) {
  LogLines lines;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const Signal signal;
  ThenId id;
  Thread::run("short", [&](Signal) {
    id = signal.then(Scheduler::current(), [held = std::move(held)] { ADD_FAILURE() << *held; });
    signal.go();
  }).join();
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("1 callback")));
}

// A thread that ends runs no function of those who want to hear of its end.
TEST(ExecutorTest, AnEndIsHeardOfOnAnotherThread) {
  const Executor here = Scheduler::current();
  std::vector<std::thread::id> ran_in;
  auto thread = Thread::run("ends", [](Signal) {});
  auto fiber = spawn("ends, too", [] { sleep(absl::ZeroDuration()); });
  thread.stopped().then(here, [&] { ran_in.push_back(std::this_thread::get_id()); });
  (fiber.stopped() & thread.stopped()).then(here, [&] { ran_in.push_back(std::this_thread::get_id()); });
  thread.join();
  fiber.join();
  run_callbacks();
  EXPECT_THAT(ran_in, ElementsAre(std::this_thread::get_id(), std::this_thread::get_id()));
}

// --- taking it back ------------------------------------------------------------------------------------------------------

TEST(ExecutorTest, RemoveThenWaitsForAFunctionThatWaits) {
  const Signal signal;
  Event<> go_on;
  Order order;
  const ThenId id = signal.then(Scheduler::current(), [&] {
    order.push_back("begins");
    go_on.wait();
    order.push_back("ends");
  });
  signal.go();
  yield_until_idle();
  auto remover = spawn("remover", [&] {
    EXPECT_FALSE(signal.remove_then(id));
    order.push_back("removed");
  });
  yield_until_idle();
  EXPECT_THAT(order, ElementsAre("begins"));
  go_on.signal();
  remover.join();
  EXPECT_THAT(order, ElementsAre("begins", "ends", "removed"));
}

// A cancellation is no failure for the error function: it unwinds the fiber of the callbacks, and the next callbacks have another.
TEST(ExecutorTest, ACancellationPassesTheErrorFunction) {
  LogLines lines;
  Order order;
  Thread::run("ends", [&](Signal) {
    const Signal signal;
    signal.then(Scheduler::current(),
                [&] {
                  order.push_back("begins");
                  Event<>().wait();
                },
                [&](const std::exception_ptr&) { order.push_back("on_error"); });
    signal.go();
    yield_until_idle();
  }).join();  // whose end cancels its fibers
  EXPECT_THAT(order, ElementsAre("begins"));
}

constexpr testing::WorldOptions kInterrupted{.interrupt_posts = true};

// Either it never runs, or it has ended when remove_then() returns.
TEST(ExecutorTest, RemoveThenAgainstGo) {
  int removals = 0;
  int runs = 0;
  testing::for_each_seed(400, [&](testing::World& world) {
    world.run([&] {
      const Scheduler here = Scheduler::current();
      const Signal a("a"), b("b");
      const Signal either = world.random(2) == 0 ? a : a | b;
      auto held = std::make_shared<int>(1);
      const std::weak_ptr<int> watched = held;
      bool begun = false;
      bool ended = false;
      const ThenId id = either.then(here, [&, its_own = std::move(held)] {
        begun = true;
        world.interrupt();
        sleep(absl::Milliseconds(1));
        ended = *its_own == 1;
      });
      auto goer = Thread::run("goer", [&](Signal) {
        world.interrupt();
        a.go();
      });
      bool removed = false;
      auto remover = Thread::run("remover", [&](Signal) {
        for (auto turns = world.random(4); turns > 0; --turns) world.interrupt();
        removed = either.remove_then(id);
        EXPECT_EQ(begun, !removed);
        EXPECT_EQ(ended, !removed);
        EXPECT_FALSE(either.remove_then(id));
      });
      goer.join();
      remover.join();
      run_callbacks();
      EXPECT_EQ(ended, !removed);
      EXPECT_TRUE(watched.expired());
      ++(removed ? removals : runs);
    });
  }, kInterrupted);
  EXPECT_GT(removals, 20);
  EXPECT_GT(runs, 20);
}

// The function runs once, or the executor has said that it is closed, or has dropped it: nothing hangs, nothing is left.
TEST(ExecutorTest, GoAgainstTheEndOfTheScheduler) {
  int lost = 0;
  int runs = 0;
  testing::for_each_seed(400, [&](testing::World& world) {
    LogLines lines;
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = held;
    int ran = 0;
    world.run([&] {
      const Signal signal("lunch");
      Signal ready;
      auto host = Thread::run("host", [&](Signal) {
        signal.then(Scheduler::current(), [&, its_own = std::move(held)] { ran += *its_own; });
        ready.go();
        for (auto turns = world.random(4); turns > 0; --turns) yield();
      });
      ready.wait();
      for (auto turns = world.random(4); turns > 0; --turns) world.interrupt();
      signal.go();
      host.join();
    });
    EXPECT_TRUE(watched.expired());
    EXPECT_LE(ran, 1);
    EXPECT_EQ(lines.take_texts().size(), 1U - static_cast<std::size_t>(ran));
    ++(ran == 0 ? lost : runs);
  }, kInterrupted);
  EXPECT_GT(lost, 20);
  EXPECT_GT(runs, 20);
}

// --- the queue of callbacks ----------------------------------------------------------------------------------------------

TEST(ExecutorTest, AQueueOfCallbacksRunsWhatIsPosted) {
  CallbackQueue queue(Scheduler::current(), {.name = "updates"});
  const Executor executor = queue;
  EXPECT_EQ(executor.name(), "the queue \"updates\" of callbacks");
  const Signal signal;
  Order order;
  signal.then(queue, [&] { order.push_back("then"); });
  EXPECT_TRUE(executor.post([&, held = std::make_unique<int>(1)] { order.push_back("posted"); }));
  signal.go();
  yield_until_idle();
  EXPECT_THAT(order, ElementsAre("posted", "then"));
}

TEST(ExecutorTest, AFullQueueRefusesAlsoWhereACallbackWouldWait) {
  LogLines lines;
  Order order;
  CallbackQueue queue(Scheduler::current(), {.name = "updates", .max = 1, .when_full = WhenFull::block});
  const Executor executor = queue;
  EXPECT_TRUE(executor.post([&] { order.push_back("first"); }));
  absl::AnyInvocable<void()> second = [&] { order.push_back("second"); };
  EXPECT_EQ(executor.post(std::move(second)).why(), Why::full);
  const Signal signal("lunch");
  signal.then(queue, [] { ADD_FAILURE(); });
  signal.go();
  EXPECT_THAT(lines.take_texts(),
              ElementsAre("The Signal \"lunch\" has gone, but the queue \"updates\" of callbacks is full: a then() function for it is lost"));
  yield_until_idle();
  EXPECT_TRUE(executor.post(std::move(second)));
  yield_until_idle();
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

// Which would wait for itself.
TEST(ExecutorTest, ACallbackOfAFullQueueMayPostToIt) {
  CallbackQueue queue(Scheduler::current(), {.max = 1});
  const Executor executor = queue;
  std::vector<Why> answers;
  executor.post([&] {
    for (int i = 0; i < 2; ++i) answers.push_back(executor.post([] {}).why());
  });
  yield_until_idle();
  EXPECT_THAT(answers, ElementsAre(Why::ready, Why::full));
}

TEST(ExecutorTest, AQueueThatDropsTheOldestDestroysAThenFunction) {
  LogLines lines;
  CallbackQueue queue(Scheduler::current(), {.max = 1, .when_full = WhenFull::drop_oldest});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const Signal signal;
  const ThenId id = signal.then(queue, [held = std::move(held)] { ADD_FAILURE() << *held; });
  signal.go();
  EXPECT_FALSE(watched.expired());
  EXPECT_TRUE(Executor(queue).post([] {}));
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
  EXPECT_EQ(queue.dropped(), 1U);
  yield_until_idle();
}

TEST(ExecutorTest, AQueueThatIsGoneIsClosed) {
  LogLines lines;
  std::optional<CallbackQueue> queue(std::in_place, Scheduler::current(), CallbackQueueOptions{.name = "updates"});
  const Executor executor = *queue;
  const Signal signal("lunch");
  signal.then(executor, [] { ADD_FAILURE(); });
  queue.reset();
  EXPECT_EQ(executor.post([] {}).why(), Why::closed);
  signal.go();
  EXPECT_THAT(lines.take_texts(),
              ElementsAre("The Signal \"lunch\" has gone, but the queue \"updates\" of callbacks is closed: a then() function for it is lost"));
}

}  // namespace
}  // namespace cooperative
