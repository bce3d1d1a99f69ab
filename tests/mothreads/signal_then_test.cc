#include "mothreads/signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::live_allocations;
using testing::LogLines;
using testing::ScriptedContext;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<std::string>;

// --- then() --------------------------------------------------------------------------------------------------------------

TEST(SignalThenTest, RunsInTheOrderGivenInTheThreadThatGoes) {
  const Signal signal;
  Order order;
  std::vector<std::thread::id> ran_in;
  for (const char* name : {"a", "b", "c", "d"}) {
    signal.then([&, name] {
      order.push_back(name);
      ran_in.push_back(std::this_thread::get_id());
    });
  }
  EXPECT_THAT(order, IsEmpty());
  auto goer = Thread::run("goer", [&](Signal) {
    EXPECT_TRUE(signal.go());
    return std::this_thread::get_id();
  });
  const auto id = goer.join();
  EXPECT_THAT(order, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(ran_in, ElementsAre(id, id, id, id));
}

TEST(SignalThenTest, RunsAtOnceInTheCallerWhenItHasGone) {
  const Signal signal;
  signal.go();
  bool ran = false;
  signal.then([&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(SignalThenTest, RunsOnceHoweverOftenGoIsCalled) {
  const Signal signal;
  int runs = 0;
  signal.then([&] { ++runs; });
  signal.go();
  signal.go();
  EXPECT_EQ(runs, 1);
}

TEST(SignalThenTest, TheSameFunctionGivenTwiceRunsTwice) {
  const Signal signal;
  int runs = 0;
  const auto function = [&] { ++runs; };
  const ThenId first = signal.then(function);
  const ThenId second = signal.then(function);
  EXPECT_FALSE(first == second);
  signal.go();
  EXPECT_EQ(runs, 2);
}

TEST(SignalThenTest, TakesAFunctionThatCanOnlyBeMoved) {
  const Signal signal;
  int got = 0;
  signal.then([value = std::make_unique<int>(7), &got] { got = *value; });
  signal.go();
  EXPECT_EQ(got, 7);
}

TEST(SignalThenTest, TheSignalIsTrueInsideAndGoThereDoesNothing) {
  const Signal signal;
  int runs = 0;
  signal.then([&] {
    ++runs;
    EXPECT_TRUE(signal);
    EXPECT_FALSE(signal.go());
  });
  EXPECT_TRUE(signal.go());
  EXPECT_EQ(runs, 1);
}

TEST(SignalThenTest, AFunctionGivenInsideAFunctionRunsAtOnce) {
  const Signal signal;
  Order order;
  signal.then([&] {
    signal.then([&] { order.push_back("inner"); });
    order.push_back("outer");
  });
  signal.then([&] { order.push_back("last"); });
  signal.go();
  EXPECT_THAT(order, ElementsAre("inner", "outer", "last"));
}

TEST(SignalThenTest, TheFunctionIsDestroyedOnceItHasRun) {
  const Signal signal;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  signal.then([held = std::move(held)] { EXPECT_EQ(*held, 1); });
  EXPECT_FALSE(watched.expired());
  signal.go();
  EXPECT_TRUE(watched.expired());
}

TEST(SignalThenTest, TheFunctionIsDestroyedWithTheSignalThatCanNoLongerGo) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  {
    const Signal signal;
    signal.then([held = std::move(held)] { ADD_FAILURE() << "it never went"; });
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
}

TEST(SignalThenTest, TheFunctionMayHoldTheSignalItself) {
  const auto before = live_allocations();
  {
    const Signal signal;
    bool ran = false;
    signal.then([signal, &ran] { ran = static_cast<bool>(signal); });
    signal.go();
    EXPECT_TRUE(ran);
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalThenTest, AnExceptionIsLoggedAndTheOthersRun) {
  LogLines lines;
  const Signal signal("lunch");
  bool other_ran = false;
  signal.then([] { throw std::runtime_error("no bread"); });
  signal.then([&] { other_ran = true; });
  EXPECT_TRUE(signal.go());
  EXPECT_TRUE(other_ran);
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_EQ(logged[0].level, log::Level::error);
  EXPECT_THAT(logged[0].text, HasSubstr("Trigger on Signal.go() failed, and no error function provided"));
  EXPECT_THAT(logged[0].text, HasSubstr("lunch"));
  EXPECT_THAT(logged[0].text, HasSubstr("no bread"));
}

TEST(SignalThenTest, AnExceptionOfAFunctionThatRunsAtOnceDoesNotLeaveThen) {
  LogLines lines;
  EXPECT_NO_THROW(DONE.then([] { throw std::runtime_error("too late"); }));
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("too late")));
}

TEST(SignalThenTest, AnExceptionGoesToTheErrorFunctionIfThereIsOne) {
  LogLines lines;
  const Signal signal;
  std::string got;
  signal.then([] { throw std::runtime_error("no bread"); }, [&](const std::exception_ptr& e) { got = log::describe(e); });
  signal.go();
  EXPECT_EQ(got, "no bread");
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

// G1: a throwing error function lost the functions after it and left go().
TEST(SignalThenTest, AThrowingErrorFunctionIsLoggedAndTheOthersRunG1) {
  LogLines lines;
  const Signal signal;
  int ran_after = 0;
  signal.then([] { throw std::runtime_error("first"); },
              [](const std::exception_ptr&) { throw std::runtime_error("the handler failed too"); });
  signal.then([&] { ++ran_after; });
  signal.then([&] { ++ran_after; });
  EXPECT_NO_THROW(EXPECT_TRUE(signal.go()));
  EXPECT_EQ(ran_after, 2);
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("the handler failed too")));
}

// G6: what a second go() does while the functions of the first still run. Decided: it returns false, at once.
TEST(SignalThenTest, ASecondGoReturnsFalseWhileTheFunctionsOfTheFirstStillRunG6) {
  const Signal signal;
  std::latch is_inside(1);
  std::latch may_end(1);
  bool ended = false;
  signal.then([&] {
    is_inside.count_down();
    may_end.wait();
    ended = true;
  });
  auto goer = Thread::run("goer", [&](Signal) { EXPECT_TRUE(signal.go()); });
  is_inside.wait();
  EXPECT_FALSE(signal.go());
  EXPECT_TRUE(signal);
  may_end.count_down();  // after the second go(): had that waited, this were never reached
  goer.join();
  EXPECT_TRUE(ended);
}

TEST(SignalThenTest, AWaitInAFunctionIsReported) {
  LogLines lines;
  const Signal signal;
  const Signal other("the other");
  signal.then([&] { EXPECT_EQ(other.wait(absl::Nanoseconds(1)).why(), Why::timed_out); });
  signal.go();
  EXPECT_THAT(lines.take_texts(), ElementsAre(::testing::AllOf(HasSubstr("Signal::then()"), HasSubstr("the other"))));
}

TEST(SignalThenTest, AWaitAfterTheFunctionIsNotReported) {
  LogLines lines;
  const Signal signal;
  signal.then([] { throw std::runtime_error("leaves by an exception"); });
  signal.go();
  lines.take();
  EXPECT_EQ(Signal().wait(absl::Nanoseconds(1)).why(), Why::timed_out);
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST(SignalThenTest, AWaitInAFunctionOnAThreadOfTheLibraryIsRefused) {
  LogLines lines;
  const Signal signal;
  const Signal other("the other");
  std::string refused;
  signal.then([&] {
    try {
      other.wait();
    } catch (const Misuse& e) {
      refused = e.what();
    }
  });
  ScriptedContext::make_library_thread().run([&] { signal.go(); });
  EXPECT_THAT(refused, HasSubstr("Deadlock detected"));
  EXPECT_THAT(refused, HasSubstr("the other"));
}

// --- remove_then() -------------------------------------------------------------------------------------------------------

TEST(SignalRemoveThenTest, TakesTheFunctionBack) {
  const Signal signal;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  const ThenId id = signal.then([held = std::move(held)] { ADD_FAILURE() << "it was taken back"; });
  EXPECT_TRUE(signal.remove_then(id));
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
  signal.go();
}

TEST(SignalRemoveThenTest, KeepsTheOrderOfTheOthers) {
  for (std::size_t removed = 0; removed < 4; ++removed) {
    const Signal signal;
    std::vector<std::size_t> ran;
    std::vector<ThenId> ids;
    for (std::size_t i = 0; i < 4; ++i) ids.push_back(signal.then([&ran, i] { ran.push_back(i); }));
    EXPECT_TRUE(signal.remove_then(ids[removed]));
    signal.then([&ran] { ran.push_back(4); });
    signal.go();
    std::vector<std::size_t> expected{0, 1, 2, 3, 4};
    std::erase(expected, removed);
    EXPECT_EQ(ran, expected) << "removed " << removed;
  }
}

TEST(SignalRemoveThenTest, RemovingAllAndGivingAnotherRunsThat) {
  const Signal signal;
  const ThenId a = signal.then([] { ADD_FAILURE(); });
  const ThenId b = signal.then([] { ADD_FAILURE(); });
  EXPECT_TRUE(signal.remove_then(b));
  EXPECT_TRUE(signal.remove_then(a));
  bool ran = false;
  signal.then([&] { ran = true; });
  signal.go();
  EXPECT_TRUE(ran);
}

TEST(SignalRemoveThenTest, IsFalseForWhatHasRunOrNeverWas) {
  const Signal signal;
  const ThenId id = signal.then([] {});
  signal.go();
  EXPECT_FALSE(signal.remove_then(id));
  EXPECT_FALSE(signal.remove_then(ThenId()));
  EXPECT_FALSE(signal.remove_then(signal.then([] {})));
  EXPECT_FALSE(NEVER.remove_then(NEVER.then([] {})));
}

TEST(SignalRemoveThenTest, OneFunctionMayRemoveALaterOne) {
  const Signal signal;
  ThenId later;
  signal.then([&] { EXPECT_TRUE(signal.remove_then(later)); });
  later = signal.then([] { ADD_FAILURE() << "it was taken back"; });
  signal.go();
}

TEST(SignalRemoveThenTest, FromInsideTheFunctionItselfReturnsAtOnce) {
  LogLines lines;
  const Signal signal;
  ThenId id;
  bool removed = true;
  id = signal.then([&] { removed = signal.remove_then(id); });
  signal.go();
  EXPECT_FALSE(removed);
  EXPECT_THAT(lines.take_texts(), IsEmpty());  // it is no wait, so none is reported
}

TEST(SignalRemoveThenTest, WaitsForTheFunctionThatRunsInAnotherThread) {
  const Signal signal("slow");
  std::latch is_inside(1);
  std::latch may_end(1);
  std::atomic<bool> ended{false};
  const ThenId id = signal.then([&] {
    is_inside.count_down();
    may_end.wait();
    ended = true;
  });
  auto goer = Thread::run("goer", [&](Signal) { signal.go(); });
  is_inside.wait();
  std::vector<ThreadHandle<bool>> removers;
  for (int i = 0; i < 3; ++i) {
    removers.push_back(Thread::run("remover", [&](Signal) {
      const bool removed = signal.remove_then(id);
      EXPECT_TRUE(ended);
      return removed;
    }));
    await_sleeping(removers.back().thread(), "waits for a then() function to end, of slow");
  }
  may_end.count_down();
  for (auto& remover : removers) EXPECT_FALSE(remover.join());
  goer.join();
}

TEST(SignalRemoveThenTest, DoesNotWaitForOtherFunctions) {
  const Signal signal;
  std::latch is_inside(1);
  std::latch may_end(1);
  signal.then([&] {
    is_inside.count_down();
    may_end.wait();
  });
  const ThenId later = signal.then([] { ADD_FAILURE() << "it was taken back"; });
  auto goer = Thread::run("goer", [&](Signal) { signal.go(); });
  is_inside.wait();
  EXPECT_TRUE(signal.remove_then(later));
  may_end.count_down();
  goer.join();
}

}  // namespace
}  // namespace mothreads
