// What is left when memory runs out, at each allocation of each verb; and what a long-lived Signal costs those who leave it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/executor.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/sanitized.h"

namespace mothreads::inline v0 {
namespace {

using testing::fail_each_allocation;
using testing::live_allocations;

class SignalMemoryTest : public ::testing::Test {
 protected:
  SignalMemoryTest() {
    fail_each_allocation([] {});  // what the test itself keeps of that
    // What a first context and a first clock keep for the rest of the program.
    testing::VirtualClock clock;
    const UseClock use(clock);
    static_cast<void>(Till(absl::Seconds(1)));
    before_ = live_allocations();
  }
  void TearDown() override { EXPECT_EQ(live_allocations(), before_); }

  // So large that it is not kept in place.
  struct Counts {
    explicit Counts(int& its_count) : count(&its_count) {}
    void operator()() const { ++*count; }
    int* count;
    std::array<char, 100> room{};
  };

 private:
  std::int64_t before_ = 0;
};

TEST_F(SignalMemoryTest, RunsOutInAConstructor) {
  EXPECT_EQ(fail_each_allocation([] { const Signal signal; }), 1U);
  EXPECT_EQ(fail_each_allocation([] { const Signal signal("named"); }), 2U);
}

TEST_F(SignalMemoryTest, RunsOutInATill) {
  testing::VirtualClock clock;
  UseClock use(clock);
  EXPECT_EQ(fail_each_allocation([] { const Till till(absl::Seconds(1)); }, [&] { EXPECT_EQ(clock.timers(), 0U); }), 1U);
}

TEST_F(SignalMemoryTest, RunsOutInACombination) {
  const Signal a, b;
  const std::array<Signal, 3> all{a, b, a};
  EXPECT_EQ(fail_each_allocation([&] { EXPECT_FALSE(a | b); }), 1U);
  EXPECT_EQ(fail_each_allocation([&] { EXPECT_FALSE(a & b); }), 1U);
  EXPECT_GE(fail_each_allocation([&] { EXPECT_FALSE(Signal::any_of(all)); }), 2U);
  EXPECT_GE(fail_each_allocation([&] { EXPECT_FALSE(Signal::all_of(all)); }), 2U);
  a.go();
}

TEST_F(SignalMemoryTest, RunsOutInThen) {
  const Signal signal;
  int runs = 0;
  int given = 0;
  for (int round = 0; round < 2; ++round) {  // the first function has a room of its own
    EXPECT_GE(fail_each_allocation([&] {
                signal.then(Counts(runs));
                ++given;
              }),
              1U);
  }
  signal.go();
  EXPECT_EQ(runs, given);
}

TEST_F(SignalMemoryTest, RunsOutInThenWithAnErrorFunction) {
  const Signal signal;
  int runs = 0;
  int given = 0;
  fail_each_allocation([&] {
    signal.then(Counts(runs), [](const std::exception_ptr&) {});
    ++given;
  });
  signal.go();
  EXPECT_EQ(runs, given);
}

TEST_F(SignalMemoryTest, RunsOutInThenOnAnExecutor) {
  const Executor at_once = Executor::of([](absl::AnyInvocable<void()> function) { function(); });
  const Signal signal, other;
  const Signal both = signal & other;
  int runs = 0;
  int given = 0;
  std::vector<ThenId> ids;
  ids.reserve(100);
  for (const Signal& one : {signal, signal, both}) {
    EXPECT_GE(fail_each_allocation([&] {
                ids.push_back(one.then(at_once, Counts(runs)));
                ++given;
              }),
              2U);
    fail_each_allocation([&] {
      one.then(at_once, Counts(runs), [](const std::exception_ptr&) {});
      ++given;
    });
  }
  other.go();
  signal.go();
  EXPECT_EQ(runs, given);
}

// It is kept by what it was made of from then on: all of it, or nothing.
TEST_F(SignalMemoryTest, RunsOutInThenOfACombination) {
  testing::VirtualClock clock;
  UseClock use(clock);
  const Signal a("a"), b("b");
  int runs = 0;
  int given = 0;
  EXPECT_GE(fail_each_allocation([&] {
              ((a | b) & (a | Till(absl::Seconds(1)))).then(Counts(runs));
              ++given;
            }),
            6U);
  EXPECT_EQ(clock.timers(), static_cast<std::size_t>(given));
  a.go();
  EXPECT_EQ(runs, given);
  EXPECT_EQ(clock.timers(), 0U);
}

TEST_F(SignalMemoryTest, RunsOutInThenInsideAFunctionThatRunsAtOnce) {
  int runs = 0;
  int given = 0;
  DONE.then([&] {
    EXPECT_GE(fail_each_allocation([&] {
                DONE.then(Counts(runs));
                ++given;
              }),
              1U);
    EXPECT_EQ(runs, 0);
  });
  EXPECT_EQ(runs, given);
}

TEST_F(SignalMemoryTest, GoAndRemoveThenAllocateNothing) {
  const Signal a, b, other;
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    ((a | other) & (a | other)).then(Counts(runs));
    a.then([&] { b.go(); });
    b.then(Counts(runs));
  }
  const Signal kept = a & other;
  const ThenId id = kept.then(Counts(runs));
  const ThenId second = a.then(Counts(runs));
  EXPECT_EQ(fail_each_allocation([&] {
              kept.remove_then(id);
              a.remove_then(second);
              a.go();
            }),
            0U);
  EXPECT_EQ(runs, 6);
}

// --- growth --------------------------------------------------------------------------------------------------------------

// One after the other, a linear search of 200,000 took minutes: the watchdog ends that.
TEST_F(SignalMemoryTest, TakingBackIsNoSearch) {
  constexpr std::size_t kFunctions = testing::kSanitized ? 20'000 : 200'000;
  const Signal long_lived;
  for (const int order : {0, 1, 2}) {
    std::vector<ThenId> ids;
    for (std::size_t i = 0; i < kFunctions; ++i) ids.push_back(long_lived.then([] { ADD_FAILURE() << "it was taken back"; }));
    if (order == 1) std::reverse(ids.begin(), ids.end());
    if (order == 2) std::rotate(ids.begin(), ids.begin() + kFunctions / 2, ids.end());
    const bool all = std::ranges::all_of(ids, [&](const ThenId& id) { return long_lived.remove_then(id); });
    EXPECT_TRUE(all);
    const bool any = std::ranges::any_of(ids, [&](const ThenId& id) { return long_lived.remove_then(id); });
    EXPECT_FALSE(any);
  }
  long_lived.go();
}

TEST_F(SignalMemoryTest, AnOldIdNamesNothingElse) {
  const Signal first;
  const ThenId in_room = first.then([] {});
  const ThenId on_heap = first.then([] {});
  std::vector<ThenId> ids{in_room, on_heap};
  int runs = 0;
  for (int i = 0; i < 100; ++i) {
    Signal signal;
    ids.push_back(signal.then([&] { ++runs; }));
    ids.push_back(signal.then([&] { ++runs; }));
    const bool any = std::any_of(ids.begin(), ids.end() - 2, [&](const ThenId& id) { return signal.remove_then(id); });
    EXPECT_FALSE(any);
    signal.go();
  }
  EXPECT_EQ(runs, 200);
  EXPECT_TRUE(first.remove_then(in_room));
  EXPECT_TRUE(first.remove_then(on_heap));
}

}  // namespace
}  // namespace mothreads
