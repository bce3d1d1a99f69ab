#include "mothreads/signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/internal/signal_state.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/race.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"
#include "tests/support/system_calls.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::await_sleeping;
using testing::name_of_race;
using testing::Race;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
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
      : context(ScriptedContext::make(name)), state(signal.state(internal::kAccess)) {
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

class SignalRaceTest : public testing::RaceTest {};

// All that can happen to a sleeping waiter, in every order: the first decides, and nothing is left behind.
TEST_P(SignalRaceTest, TheFirstThatHappensDecides) {
  const Signal signal;
  run({{"go", [&] { signal.go(); }}}, [&] { EXPECT_EQ(signal.wait(stop | absl::Seconds(1)).why(), GetParam().why); });
  EXPECT_EQ(waiter.resumes(), 1);
}

INSTANTIATE_TEST_SUITE_P(All, SignalRaceTest,
                         ::testing::Values(Race{"GoStopTime", {"go", "stop", "time"}, Why::ready},
                                           Race{"GoTimeStop", {"go", "time", "stop"}, Why::ready},
                                           Race{"StopGoTime", {"stop", "go", "time"}, Why::stopped},
                                           Race{"StopTimeGo", {"stop", "time", "go"}, Why::stopped},
                                           Race{"TimeGoStop", {"time", "go", "stop"}, Why::timed_out},
                                           Race{"TimeStopGo", {"time", "stop", "go"}, Why::timed_out}),
                         name_of_race);

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
  ScriptedContext::make_library_thread().run([&] { EXPECT_EQ(signal.wait(absl::ZeroDuration()).why(), Why::timed_out); });
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

}  // namespace
}  // namespace mothreads
