#include "mothreads/signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/internal/signal_state.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "mothreads/until.h"
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
using testing::live_allocations;
using testing::LogLines;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<std::string>;

// --- the state -----------------------------------------------------------------------------------------------------------

TEST(SignalTest, IsFalseThenTrueForEver) {
  Signal signal;
  EXPECT_FALSE(signal);
  signal.go();
  EXPECT_TRUE(signal);
  signal.go();
  EXPECT_TRUE(signal);
}

TEST(SignalTest, IsNeverNullEvenWhenMovedFrom) {
  Signal signal("moved");
  const Signal taken = std::move(signal);
  EXPECT_EQ(taken.name(), "moved");
  // NOLINTNEXTLINE(bugprone-use-after-move): what is left behind is documented.
  EXPECT_EQ(signal, NEVER);
  EXPECT_FALSE(signal.go());
}

TEST(SignalTest, IsATruthValueOnlyWhereOneIsAskedFor) {
  static_assert(std::is_constructible_v<bool, Signal>);
  static_assert(!std::is_convertible_v<Signal, bool>);
  static_assert(!std::is_convertible_v<const char*, Signal>);
}

TEST(SignalTest, CopiesShareOneState) {
  const Signal signal;
  const Signal copy = signal;
  Signal assigned;
  assigned = signal;
  EXPECT_EQ(signal, copy);
  EXPECT_EQ(signal, assigned);
  copy.go();
  EXPECT_TRUE(signal);
  EXPECT_TRUE(assigned);
}

TEST(SignalTest, AssigningASignalToItselfKeepsIt) {
  Signal signal("self");
  const Signal& same = signal;
  signal = same;
  EXPECT_EQ(signal.name(), "self");
  EXPECT_TRUE(signal.go());
}

TEST(SignalTest, EqualMeansTheSameStateNotTheSameTruth) {
  const Signal a;
  const Signal b;
  EXPECT_FALSE(a == b);
  a.go();
  b.go();
  EXPECT_FALSE(a == b);
}

TEST(SignalTest, GoIsTrueForTheOneCallThatDidIt) {
  const Signal signal;
  EXPECT_TRUE(signal.go());
  EXPECT_FALSE(signal.go());
  EXPECT_FALSE(DONE.go());
}

// --- waiting -------------------------------------------------------------------------------------------------------------

struct Waiters {
  int threads;
  bool ready_before;
};

class SignalWaitTest : public ::testing::TestWithParam<Waiters> {};

TEST_P(SignalWaitTest, ReleasesEveryWaiterAndWhatWasWrittenBeforeGoIsSeen) {
  const auto [count, ready_before] = GetParam();
  const Signal signal("start");
  int written_before = 0;
  const auto go = [&] {
    written_before = 42;
    EXPECT_TRUE(signal.go());
  };
  if (ready_before) go();
  std::vector<ThreadHandle<int>> threads;
  for (int i = 0; i < count; ++i) {
    threads.push_back(Thread::run("waiter", [&](Signal) {
      signal.wait();
      return written_before;
    }));
  }
  if (!ready_before) {
    for (const auto& thread : threads) await_sleeping(thread.thread(), "waits for signal start");
    go();
  }
  for (auto& thread : threads) EXPECT_EQ(thread.join(), 42);
}

INSTANTIATE_TEST_SUITE_P(All, SignalWaitTest,
                         ::testing::Values(Waiters{1, false}, Waiters{2, false}, Waiters{8, false}, Waiters{1, true},
                                           Waiters{2, true}, Waiters{8, true}),
                         [](const auto& waiters) {
                           return std::to_string(waiters.param.threads) + (waiters.param.ready_before ? "after" : "before");
                         });

// A context that waits for the signal, as far as the signal knows.
struct PretendedWaiter {
  PretendedWaiter(std::string name, const Signal& signal, Order& order)
      : context(ScriptedContext::make(name)), state(signal.state()) {
    context.on_resume = [name, &order] { order.push_back(name); };
    context.run([&] {
      internal::Wait wait({"waits for signal", nullptr, nullptr});
      node.arm(wait, Why::ready);
      EXPECT_TRUE(state.link(node));
      context.fall_asleep();
    });
  }

  ScriptedContext& context;
  internal::SignalState& state;
  internal::WaitNode node;
};

TEST(SignalTest, ReleasesWaitersInTheOrderTheyCameAndThenRunsTheFunctions) {
  const Signal signal;
  Order order;
  signal.then([&] { order.push_back("first function"); });
  PretendedWaiter a("a", signal, order);
  PretendedWaiter b("b", signal, order);
  signal.then([&] { order.push_back("second function"); });
  PretendedWaiter c("c", signal, order);
  signal.go();
  EXPECT_THAT(order, ElementsAre("a", "b", "c", "first function", "second function"));
}

TEST(SignalTest, ReleasesWaitersOfCombinationsBeforeAnyFunctionRuns) {
  const Signal input;
  const Signal other;
  const Signal either = input | other;
  Order order;
  input.then([&] { order.push_back("function of the input"); });
  either.then([&] { order.push_back("function of either"); });
  PretendedWaiter outside("waiter of either", either, order);
  PretendedWaiter inside("waiter of the input", input, order);
  input.go();
  EXPECT_THAT(order, ElementsAre("waiter of the input", "waiter of either", "function of the input", "function of either"));
}

TEST(SignalTest, AWaiterOfAnEarlierWaitIsNotWokenByALateWake) {
  const Signal earlier;
  Order order;
  PretendedWaiter waiter("waiter", earlier, order);
  waiter.context.run([&] { internal::Wait the_next({"waits for something else", nullptr, nullptr}); });
  earlier.go();
  EXPECT_THAT(order, IsEmpty());
}

TEST(SignalTest, WaitOfATrueSignalIsReadyWhateverTheLimit) {
  EXPECT_EQ(DONE.wait(absl::ZeroDuration()).why(), Why::ready);
  EXPECT_EQ(DONE.wait(-absl::InfiniteDuration()).why(), Why::ready);
  EXPECT_EQ(DONE.wait(DONE).why(), Why::ready);
  EXPECT_EQ(DONE.wait(Instant::min()).why(), Why::ready);
  EXPECT_EQ(DONE.wait({}).why(), Why::ready);
}

// G5: wait(till) said True whatever had happened.
TEST(SignalTest, WaitSaysWhyItEndedG5) {
  VirtualClock clock;
  const Signal signal;
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  waiter.script({
      [&] { clock.advance(absl::Seconds(1)); },
      [&] { clock.advance(absl::Seconds(1)); },
      [&] { stop.go(); },
      [&] { signal.go(); },
  });
  waiter.run([&] {
    EXPECT_EQ(signal.wait(absl::Seconds(1)).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(Till(absl::Seconds(1))).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(stop | absl::Seconds(1)).why(), Why::stopped);
    EXPECT_EQ(signal.wait(stop).why(), Why::stopped);
    EXPECT_EQ(signal.wait(Signal() | absl::Seconds(1)).why(), Why::ready);
  });
  EXPECT_EQ(waiter.sleeps(), 4);
}

struct Race {
  const char* name;
  std::vector<std::string> happens;
  Why why;
};

class SignalRaceTest : public ::testing::TestWithParam<Race> {};

// All that can happen to a sleeping waiter, in every order: the first decides, and nothing is left behind.
TEST_P(SignalRaceTest, TheFirstThatHappensDecides) {
  VirtualClock clock;
  const Signal signal;
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  waiter.script({[&] {
    for (const std::string& what : GetParam().happens) {
      if (what == "go") signal.go();
      if (what == "stop") stop.go();
      if (what == "time") clock.advance(absl::Seconds(1));
    }
  }});
  waiter.run([&] { EXPECT_EQ(signal.wait(stop | absl::Seconds(1)).why(), GetParam().why); });
  EXPECT_EQ(waiter.sleeps(), 1);
  EXPECT_EQ(waiter.resumes(), 1);
  EXPECT_EQ(clock.timers(), 0U);
}

INSTANTIATE_TEST_SUITE_P(All, SignalRaceTest,
                         ::testing::Values(Race{"GoStopTime", {"go", "stop", "time"}, Why::ready},
                                           Race{"GoTimeStop", {"go", "time", "stop"}, Why::ready},
                                           Race{"StopGoTime", {"stop", "go", "time"}, Why::stopped},
                                           Race{"StopTimeGo", {"stop", "time", "go"}, Why::stopped},
                                           Race{"TimeGoStop", {"time", "go", "stop"}, Why::timed_out},
                                           Race{"TimeStopGo", {"time", "stop", "go"}, Why::timed_out}),
                         [](const auto& race) { return race.param.name; });

TEST(SignalTest, AZeroLimitDoesNotWait) {
  const Signal signal;
  // Any sleep of a context without a script is fatal.
  ScriptedContext::make("must not sleep").run([&] {
    EXPECT_EQ(signal.wait(absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(-absl::Seconds(1)).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(std::chrono::seconds(0)).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(DONE).why(), Why::stopped);
    EXPECT_EQ(signal.wait(Till(absl::ZeroDuration())).why(), Why::timed_out);
    EXPECT_EQ(signal.wait(Signal() | absl::ZeroDuration()).why(), Why::timed_out);
  });
}

TEST(SignalTest, AZeroLimitIsNoWaitAlsoWhereWaitingIsRefused) {
  const Signal signal;
  ScriptedContext& library_thread = ScriptedContext::make("library thread");
  library_thread.must_not_block = true;
  library_thread.run([&] { EXPECT_EQ(signal.wait(absl::ZeroDuration()).why(), Why::timed_out); });
}

TEST(SignalTest, WaitingAllocatesNothing) {
  const Signal signal;
  const Signal please_stop;
  auto waiter = Thread::run("waiter", [&](Signal) {
    // The first wait of a thread may set things up.
    EXPECT_EQ(signal.wait(please_stop | absl::Nanoseconds(1)).why(), Why::timed_out);
    const auto before = allocations_here();
    EXPECT_EQ(signal.wait(please_stop | absl::Seconds(1000)).why(), Why::ready);
    return allocations_here() - before;
  });
  await_sleeping(waiter.thread(), "waits for signal");
  signal.go();
  EXPECT_EQ(waiter.join(), 0U);
}

TEST(SignalTest, WaitingOnAVirtualClockAllocatesNothing) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal signal;
  const Signal please_stop;
  auto waiter = Thread::run("waiter", [&](Signal) {
    const auto before = allocations_here();
    EXPECT_EQ(signal.wait(please_stop | absl::Seconds(5)).why(), Why::timed_out);
    return allocations_here() - before;
  });
  clock.await_timers(1);
  clock.advance(absl::Seconds(5));
  EXPECT_EQ(waiter.join(), 0U);
}

TEST(SignalTest, GoTestThenAndWaitOfATrueSignalMakeNoSystemCall) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const Signal signal;
        const Signal other;
        const Signal either = signal | other;
        int runs = 0;
        signal.then([&] { ++runs; });
        static_cast<void>(internal::Context::current());  // made at its first use
        testing::refuse_system_calls();
        bool good = !signal && signal.go() && signal && either && !signal.go() && runs == 1;
        signal.wait();
        good = good && either.wait(absl::Seconds(1)).why() == Why::ready;
        testing::leave(good ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(SignalTest, GoWithAFunctionAllocatesNothing) {
  const Signal signal;
  int runs = 0;
  signal.then([&] { ++runs; });
  const auto before = allocations_here();
  signal.go();
  EXPECT_EQ(allocations_here() - before, 0U);
  EXPECT_EQ(runs, 1);
}

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
  ScriptedContext& library_thread = ScriptedContext::make("library thread");
  library_thread.must_not_block = true;
  library_thread.run([&] { signal.go(); });
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

// --- combinations --------------------------------------------------------------------------------------------------------

TEST(SignalOrTest, GoesWithEither) {
  for (const bool first : {true, false}) {
    const Signal a;
    const Signal b;
    const Signal either = a | b;
    EXPECT_FALSE(either);
    EXPECT_TRUE((first ? a : b).go());
    EXPECT_TRUE(either);
    EXPECT_FALSE(first ? b : a);
    EXPECT_FALSE(either.go());
  }
}

TEST(SignalAndTest, GoesWithTheLast) {
  for (const bool first : {true, false}) {
    const Signal a;
    const Signal b;
    const Signal both = a & b;
    (first ? a : b).go();
    EXPECT_FALSE(both);
    (first ? b : a).go();
    EXPECT_TRUE(both);
  }
}

TEST(SignalOrTest, GoingByHandDoesNotTouchTheInputs) {
  const Signal a;
  const Signal b;
  const Signal either = a | b;
  const Signal both = a & b;
  EXPECT_TRUE(either.go());
  EXPECT_TRUE(both.go());
  EXPECT_FALSE(a);
  EXPECT_FALSE(b);
  a.go();
  b.go();
}

TEST(SignalOrTest, WithFalseIsTheSignalAndWithTrueIsDone) {
  const Signal a;
  EXPECT_EQ(a | false, a);
  EXPECT_EQ(false | a, a);
  EXPECT_EQ(a | true, DONE);
  EXPECT_EQ(true | a, DONE);
}

TEST(SignalAndTest, WithFalseIsNeverAndWithTrueIsTheSignal) {
  const Signal a;
  EXPECT_EQ(a & false, NEVER);
  EXPECT_EQ(false & a, NEVER);
  EXPECT_EQ(a & true, a);
  EXPECT_EQ(true & a, a);
}

template <typename Left, typename Right>
concept CanOr = requires(const Left& left, const Right& right) { left | right; };
template <typename Left, typename Right>
concept CanAnd = requires(const Left& left, const Right& right) { left& right; };

TEST(SignalOrTest, TakesNoNumbersAndNoPointers) {
  static_assert(CanOr<Signal, bool> && CanAnd<Signal, bool>);
  static_assert(!CanOr<Signal, int> && !CanOr<int, Signal> && !CanAnd<Signal, int> && !CanAnd<int, Signal>);
  static_assert(!CanOr<Signal, const char*> && !CanOr<Signal, std::nullptr_t>);
}

TEST(SignalOrTest, WithOneThatHasGoneIsTheConstantDone) {
  const Signal gone;
  gone.go();
  EXPECT_EQ(gone | Signal(), DONE);
  EXPECT_EQ(Signal() | gone, DONE);
  EXPECT_EQ(DONE | NEVER, DONE);
}

TEST(SignalOrTest, WithATillThatHasExpiredStillCountsAsTime) {
  const Signal pending;
  EXPECT_EQ(NEVER.wait(pending | Till(absl::ZeroDuration())).why(), Why::timed_out);
  EXPECT_EQ(NEVER.wait(Till(absl::ZeroDuration()) | pending).why(), Why::timed_out);
  const Signal many[] = {pending, Till(absl::ZeroDuration())};
  EXPECT_EQ(NEVER.wait(Signal::any_of(many)).why(), Why::timed_out);
}

TEST(SignalOrTest, AsALimitSaysWhetherItWentByTimeOrNot) {
  for (const bool by_time : {true, false}) {
    VirtualClock clock;
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.run([&] {
      const Signal stop;
      const Signal limit = stop | Till(absl::Seconds(1));
      waiter.script({[&] {
        if (by_time) clock.advance(absl::Seconds(1));
        stop.go();
      }});
      EXPECT_EQ(NEVER.wait(limit).why(), by_time ? Why::timed_out : Why::stopped);
    });
  }
}

TEST(SignalAndTest, WithOneThatHasGoneGoesWithTheOther) {
  const Signal a;
  const Signal gone;
  gone.go();
  const Signal left = gone & a;
  const Signal right = a & gone;
  EXPECT_FALSE(left);
  EXPECT_FALSE(right);
  a.go();
  EXPECT_TRUE(left);
  EXPECT_TRUE(right);
  EXPECT_TRUE(gone & DONE);
}

TEST(SignalAndTest, WithNeverNeverGoes) {
  const Signal a;
  const Signal both = a & NEVER;
  a.go();
  EXPECT_FALSE(both);
}

TEST(SignalOrTest, OfASignalAndItselfGoesWithIt) {
  const Signal a;
  const Signal either = a | a;
  const Signal both = a & a;
  int runs = 0;
  either.then([&] { ++runs; });
  both.then([&] { ++runs; });
  a.go();
  EXPECT_TRUE(either);
  EXPECT_TRUE(both);
  EXPECT_EQ(runs, 2);
}

TEST(SignalAnyOfTest, OfNothingIsNever) { EXPECT_EQ(Signal::any_of({}), NEVER); }
TEST(SignalAllOfTest, OfNothingIsDone) { EXPECT_EQ(Signal::all_of({}), DONE); }

TEST(SignalAnyOfTest, GoesWithTheFirstOfMany) {
  for (std::size_t first = 0; first < 20; ++first) {
    const std::vector<Signal> signals(20);
    const Signal any = Signal::any_of(signals);
    EXPECT_FALSE(any);
    signals[first].go();
    EXPECT_TRUE(any);
  }
}

TEST(SignalAllOfTest, GoesWithTheLastOfMany) {
  const std::vector<Signal> signals(20);
  const Signal all = Signal::all_of(signals);
  signals[7].go();
  const Signal all_but_one = Signal::all_of(signals);
  for (std::size_t i = 0; i < signals.size(); ++i) {
    EXPECT_FALSE(all && all_but_one);
    signals[i].go();
  }
  EXPECT_TRUE(all);
  EXPECT_TRUE(all_but_one);
  EXPECT_TRUE(Signal::all_of(signals));
}

TEST(SignalAndTest, OfThreeStoppedSignalsGoesWhenAllThreadsHaveEnded) {
  std::vector<ThreadHandle<void>> threads;
  const std::vector<Signal> ends(3);
  for (const Signal& end : ends) threads.push_back(Thread::run("worker", [end](Signal) { end.wait(); }));
  const Signal all = threads[0].stopped() & threads[1].stopped() & threads[2].stopped();
  EXPECT_FALSE(all);
  for (const Signal& end : ends) end.go();
  all.wait();
  for (auto& thread : threads) EXPECT_TRUE(thread.stopped());
}

TEST(SignalOrTest, ADiamondGoesOnce) {
  const Signal a;
  const Signal b;
  const Signal c;
  const Signal both = (a | b) & (a | c);
  const Signal either = (a & b) | (a & c) | a;
  int runs = 0;
  both.then([&] { ++runs; });
  either.then([&] { ++runs; });
  a.go();
  EXPECT_TRUE(both);
  EXPECT_TRUE(either);
  EXPECT_EQ(runs, 2);
  b.go();
  c.go();
  EXPECT_EQ(runs, 2);
}

TEST(SignalOrTest, KeepsItsInputs) {
  Signal either;
  std::vector<Signal> handles;
  {
    const Signal a("a");
    const Signal b("b");
    either = a | b;
  }
  EXPECT_EQ(either.name(), "a | b");  // reads the inputs, which nobody else holds
  EXPECT_FALSE(either);
}

TEST(SignalOrTest, AWaiterOnAnUnheldOneIsReleased) {
  const Signal a;
  const Signal b;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.script({[&] { b.go(); }});
  waiter.run([&] { (a | b).wait(); });
  EXPECT_EQ(waiter.sleeps(), 1);
}

// L3 and its like: functions of combinations that nobody holds were silently dropped.
TEST(SignalOrTest, AFunctionOfAnUnheldOneRuns) {
  const Signal a;
  const Signal b;
  bool ran = false;
  (a | b).then([&] { ran = true; });
  b.go();
  EXPECT_TRUE(ran);
}

TEST(SignalAndTest, AFunctionOfAnUnheldOneRuns) {
  const Signal a;
  const Signal b;
  bool ran = false;
  (a & b).then([&] { ran = true; });
  a.go();
  EXPECT_FALSE(ran);
  b.go();
  EXPECT_TRUE(ran);
}

TEST(SignalOrTest, AFunctionOfAnUnheldTreeRuns) {
  const Signal a;
  const Signal b;
  const Signal c;
  const Signal d;
  int runs = 0;
  (((a | b) & c) | d).then([&] { ++runs; });
  ((a & b) | (c & d)).then([&] { ++runs; });
  a.go();
  EXPECT_EQ(runs, 0);
  c.go();
  EXPECT_EQ(runs, 1);
  d.go();
  EXPECT_EQ(runs, 2);
}

TEST(SignalOrTest, AFunctionNobodyCanMakeRunIsFreed) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  Signal a;
  {
    const Signal b;
    const Signal c;
    ((a | b) & c).then([held = std::move(held)] { ADD_FAILURE() << "nobody let it go"; });
    EXPECT_FALSE(watched.expired());
  }
  // b and c are gone, so only `a` is left, which alone cannot make it go.
  a = Signal();
  EXPECT_TRUE(watched.expired());
}

// A loop over `(Till(...) | please_stop).then(f)` must not fill please_stop.
TEST(SignalOrTest, AnUnheldOneThatHasRunIsFreedAlthoughItsOtherInputLives) {
  const Signal other;
  const auto before = live_allocations();
  for (int i = 0; i < 100; ++i) {
    int runs = 0;
    const Signal a;
    (a | other).then([&] { ++runs; });
    ((a | Signal()) | other).then([&] { ++runs; });
    a.go();
    EXPECT_EQ(runs, 2);
  }
  EXPECT_EQ(live_allocations(), before);
  other.go();
}

TEST(SignalOrTest, AnUnheldOneThatWasMadeToGoByHandIsFreedAlthoughItsInputsLive) {
  const Signal a;
  const Signal b;
  const auto before = live_allocations();
  int runs = 0;
  {
    const Signal either = a | b;
    either.then([&] { ++runs; });
    either.go();
  }
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(live_allocations(), before);
}

// What is kept for one function alone goes with it; what somebody else needs stays.
TEST(SignalOrTest, WhatWasMadeForAFunctionIsFreedWithItUnlessSomebodyElseUsesIt) {
  const Signal a;
  const Signal b;
  const auto before = live_allocations();
  for (int i = 0; i < 100; ++i) {
    const Signal trigger;
    int runs = 0;
    ((a | b) | trigger).then([&] { ++runs; });
    (((a & b) | (b & a)) | trigger).then([&] { ++runs; });
    trigger.go();
    EXPECT_EQ(runs, 2);
  }
  EXPECT_EQ(live_allocations(), before);
  int held_runs = 0;
  int shared_runs = 0;
  const Signal held = a | b;
  {
    const Signal trigger;
    const Signal shared = a & b;
    (held | trigger).then([] {});
    (shared | trigger).then([] {});
    (shared | Signal()).then([&] { ++shared_runs; });
    trigger.go();
  }
  held.then([&] { ++held_runs; });
  a.go();
  EXPECT_EQ(held_runs, 1);
  EXPECT_EQ(shared_runs, 0);
  b.go();
  EXPECT_EQ(shared_runs, 1);
}

// Theirs: test_job_queue_in_signal. Dropped combinations leave nothing in their inputs, in whatever order they are dropped.
enum class DropOrder { oldest_first, newest_first, inside_out };

void drop(std::vector<Signal>& signals, DropOrder order) {
  if (order == DropOrder::oldest_first) std::reverse(signals.begin(), signals.end());
  if (order == DropOrder::inside_out) {
    std::rotate(signals.begin(), signals.begin() + static_cast<std::ptrdiff_t>(signals.size() / 2), signals.end());
  }
  while (!signals.empty()) signals.pop_back();
}

std::string name_of(DropOrder order) {
  if (order == DropOrder::oldest_first) return "OldestFirst";
  return order == DropOrder::newest_first ? "NewestFirst" : "InsideOut";
}

class SignalDropTest : public ::testing::TestWithParam<DropOrder> {};

// G4: what a dropped `a | b` left behind was found by a linear search.
TEST_P(SignalDropTest, DroppedOrsLeaveNothingBehindG4) {
  const Signal main;
  std::vector<Signal> ors;
  ors.reserve(10'000);
  const auto before = live_allocations();
  for (int i = 0; i < 10'000; ++i) ors.push_back(main | Signal());
  EXPECT_EQ(live_allocations() - before, 20'000);
  drop(ors, GetParam());
  EXPECT_EQ(live_allocations(), before);
  main.go();
}

// G3: an AND stayed with its inputs for ever.
TEST_P(SignalDropTest, DroppedAndsLeaveNothingBehindG3) {
  const Signal main;
  std::vector<Signal> ands;
  ands.reserve(10'000);
  const auto before = live_allocations();
  for (int i = 0; i < 10'000; ++i) ands.push_back(main & Signal());
  EXPECT_EQ(live_allocations() - before, 20'000);
  drop(ands, GetParam());
  EXPECT_EQ(live_allocations(), before);
  main.go();
}

INSTANTIATE_TEST_SUITE_P(All, SignalDropTest,
                         ::testing::Values(DropOrder::oldest_first, DropOrder::newest_first, DropOrder::inside_out),
                         [](const auto& order) { return name_of(order.param); });

// G7: the clean-up of a combination took its input's mutex, wherever it happened to run.
TEST(SignalOrTest, TheLastHandleMayGoWithAFunctionOfTheInputG7) {
  const Signal input;
  // Destroyed when the function has run, within input.go().
  input.then([either = input | Signal()] { EXPECT_TRUE(either); });
  // Destroyed by remove_then().
  const ThenId id = input.then([both = input & Signal()] { EXPECT_FALSE(both); });
  EXPECT_TRUE(input.remove_then(id));
  // Destroyed inside the function.
  auto held = std::make_unique<Signal>(input & Signal());
  input.then([&] { held.reset(); });
  EXPECT_TRUE(input.go());
  EXPECT_EQ(held, nullptr);
}

TEST(SignalNeverTest, NeverGoes) {
  EXPECT_FALSE(NEVER);
  EXPECT_FALSE(NEVER.go());
  EXPECT_FALSE(NEVER);
  EXPECT_EQ(NEVER.wait(absl::ZeroDuration()).why(), Why::timed_out);
}

// G8: functions given to NEVER, and what was combined with it, piled up.
TEST(SignalNeverTest, AccumulatesNothingG8) {
  const Signal a;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  NEVER.then([held = std::move(held)] { ADD_FAILURE() << "NEVER went"; });
  EXPECT_TRUE(watched.expired());
  const auto before = live_allocations();
  for (int i = 0; i < 1000; ++i) {
    NEVER.then([] {});
    static_cast<void>(NEVER | a);
    static_cast<void>(NEVER & a);
    static_cast<void>(NEVER.wait(absl::ZeroDuration()));
    static_cast<void>(a.wait(NEVER | absl::ZeroDuration()));
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalNeverTest, AWaitOnItCanBeStopped) {
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.script({[&] { stop.go(); }, [&] { stop.go(); }});
  waiter.run([&] {
    EXPECT_EQ(NEVER.wait(stop).why(), Why::stopped);
    (NEVER | stop).wait();
  });
}

TEST(SignalDoneTest, HasGone) {
  EXPECT_TRUE(DONE);
  bool ran = false;
  DONE.then([&] { ran = true; });
  EXPECT_TRUE(ran);
  DONE.wait();
}

// --- long chains ---------------------------------------------------------------------------------------------------------

constexpr int kLinks = 100'000;
// So small that a few thousand nested calls overflow it.
constexpr std::size_t kSmallStack = 256 * 1024;

void on_a_small_stack(const std::function<void()>& f) {
  Thread::run(ThreadOptions{.name = "small stack", .stack_size = kSmallStack}, [&](Signal) { f(); }).join();
}

TEST(SignalChainTest, OfOrsGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      const Signal root("root");
      Signal chain = root;
      for (int i = 0; i < kLinks; ++i) chain = chain | Signal();
      EXPECT_FALSE(chain);
      EXPECT_LE(chain.name().size(), 100U);
      EXPECT_TRUE(root.go());
      EXPECT_TRUE(chain);
    }
    {
      Signal chain;
      for (int i = 0; i < kLinks; ++i) chain = Signal() | chain;
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, OfAndsGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      const Signal root;
      const Signal other;
      Signal chain = root;
      for (int i = 0; i < kLinks; ++i) chain = chain & other;
      EXPECT_TRUE(root.go());
      EXPECT_FALSE(chain);
      EXPECT_TRUE(other.go());
      EXPECT_TRUE(chain);
    }
    {
      Signal chain;
      for (int i = 0; i < kLinks; ++i) chain = chain & Signal();
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, WithAFunctionAtItsEndIsKeptAndFreedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    int runs = 0;
    for (const bool goes : {true, false}) {
      Signal root;
      {
        Signal chain = root;
        for (int i = 0; i < kLinks; ++i) chain = chain | Signal();
        chain.then([&] { ++runs; });
      }
      if (goes) root.go();
      EXPECT_EQ(runs, 1);
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

// Theirs: test_memory_cleanup_with_till (skipped there).
TEST(SignalChainTest, OfTillsGoesAtOnceAndLeavesNothing) {
  VirtualClock clock;
  UseClock use(clock);
  on_a_small_stack([&] {
    const auto before = live_allocations();
    {
      const Signal trigger;
      Signal root = trigger;
      for (int i = 0; i < kLinks; ++i) root = root | Till(absl::Seconds(100'000));
      EXPECT_EQ(clock.timers(), static_cast<std::size_t>(kLinks));
      trigger.go();
      root.wait();
    }
    EXPECT_EQ(clock.timers(), 0U);
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, AWideOneReleasesAll) {
  const Signal root;
  std::vector<Signal> ors;
  for (int i = 0; i < 10'000; ++i) ors.push_back(root | Signal());
  root.go();
  EXPECT_TRUE(std::ranges::all_of(ors, [](const Signal& either) { return static_cast<bool>(either); }));
}

// --- names ---------------------------------------------------------------------------------------------------------------

TEST(SignalNameTest, IsAsGivenOrAnonymous) {
  EXPECT_EQ(Signal("tea").name(), "tea");
  EXPECT_EQ(Signal("").name(), "");
  EXPECT_EQ(Signal().name(), "anonymous signal");
  EXPECT_EQ(DONE.name(), "DONE");
  EXPECT_EQ(NEVER.name(), "NEVER");
}

TEST(SignalNameTest, IsCopied) {
  std::string name = "short lived";
  const Signal signal(name);
  name = "overwritten";
  EXPECT_EQ(signal.name(), "short lived");
}

TEST(SignalNameTest, OfACombinationIsMadeOfItsInputs) {
  const Signal a("a");
  const Signal b("b");
  EXPECT_EQ((a | b).name(), "a | b");
  EXPECT_EQ((b & a).name(), "b & a");
  EXPECT_EQ((a | Signal()).name(), "a | anonymous signal");
  EXPECT_EQ(((a & b) | b).name(), "a & b | b");
}

TEST(SignalNameTest, OfMoreThanFiveInputsSaysHowManyMore) {
  std::vector<Signal> signals;
  for (const char* name : {"a", "b", "c", "d", "e"}) signals.emplace_back(name);
  EXPECT_EQ(Signal::any_of(signals).name(), "a | b | c | d | e");
  EXPECT_EQ(Signal::all_of(signals).name(), "a & b & c & d & e");
  signals.emplace_back("f");
  EXPECT_EQ(Signal::any_of(signals).name(), "a | (5 other signals)");
  EXPECT_EQ(Signal::all_of(signals).name(), "a & (5 other signals)");
}

TEST(SignalNameTest, OfACombinationIsCutAtAHundredCharacters) {
  const auto named = [](std::size_t length) { return Signal(std::string(length - 4, 'x')) | Signal("y"); };
  EXPECT_EQ(named(99).name(), std::string(95, 'x') + " | y");
  EXPECT_EQ(named(100).name(), std::string(96, 'x') + " | y");
  EXPECT_EQ(named(101).name(), std::string(97, 'x') + "...");
  EXPECT_EQ(named(500).name(), std::string(97, 'x') + "...");
  const std::string given(200, 'z');
  EXPECT_EQ(Signal(given).name(), given);
}

TEST(SignalNameTest, OfADeepCombinationIsCut) {
  Signal chain("first");
  for (int i = 0; i < 50; ++i) chain = chain | Signal("x");
  EXPECT_EQ(chain.name(), "... | x | x | x | x");
}

TEST(SignalNameTest, StaysWhenTheCombinationIsKeptByItsInputs) {
  Signal both;
  {
    const Signal a("a");
    both = a & Signal("b");
    both.then([] {});
  }
  EXPECT_EQ(both.name(), "a & b");
}

TEST(SignalNameTest, IsPrintedWithTheState) {
  const Signal signal("tea");
  std::ostringstream out;
  out << signal;
  signal.go();
  out << ", " << signal;
  EXPECT_EQ(out.str(), "false (tea), true (tea)");
}

TEST(SignalNameTest, IsWhatAWaiterIsReportedToWaitFor) {
  const Signal a("a");
  auto waiter = Thread::run("waiter", [&](Signal) { (a | Signal("b")).wait(); });
  await_sleeping(waiter.thread(), "waits for signal a | b");
  a.go();
}

// --- with threads that are told to stop ----------------------------------------------------------------------------------

// Theirs: test_or_signal_timeout.
TEST(SignalOrTest, WithATillEndsByTimeAndPleaseStopIsStillFalse) {
  VirtualClock clock;
  UseClock use(clock);
  Order order;
  auto worker = Thread::run("worker", [&](Signal please_stop) {
    (Till(absl::Milliseconds(300)) | please_stop).wait();
    EXPECT_FALSE(please_stop);
    order.push_back("worker");
  });
  clock.await_timers(1);
  clock.advance(absl::Milliseconds(300));
  worker.join();
  order.push_back("done");
  EXPECT_THAT(order, ElementsAre("worker", "done"));
}

// Theirs: test_or_signal_stop, and test_or_signal_stop2 with the Till made outside and the stop at once.
TEST(SignalOrTest, WithATillEndsByStop) {
  VirtualClock clock;
  UseClock use(clock);
  for (const bool made_outside : {false, true}) {
    const Signal outside = Till(absl::Milliseconds(300));
    auto worker = Thread::run("worker", [&](Signal please_stop) {
      ((made_outside ? outside : Till(absl::Milliseconds(300))) | please_stop).wait();
      EXPECT_TRUE(please_stop);
      EXPECT_FALSE(outside);
    });
    if (!made_outside) await_sleeping(worker.thread(), "waits for signal");
    worker.stop().join();
  }
}

}  // namespace
}  // namespace mothreads
