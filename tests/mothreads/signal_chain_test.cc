// then() functions that let further Signals go, that are given inside of one another, and that hold one another: how deep they
// are does not matter, and in what order they run is told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/sanitized.h"

namespace mothreads::inline v0 {
namespace {

using testing::live_allocations;
using testing::LogLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<std::string>;

constexpr int kLinks = testing::kSanitized ? 5'000 : 100'000;

void on_a_small_stack(const std::function<void()>& f) {
  Thread::run(ThreadOptions{.name = "small stack", .stack_size = std::size_t{256} * 1024}, [&](Signal) { f(); }).join();
}

// Each lets the next go, or holds it at least.
Signal make_chain(int& runs) {
  Signal first;
  Signal last = first;
  for (int i = 0; i < kLinks; ++i) {
    Signal next;
    last.then([next, &runs] {
      ++runs;
      next.go();
    });
    last = next;
  }
  return first;
}

// --- length --------------------------------------------------------------------------------------------------------------

TEST(SignalThenChainTest, GoesWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      int runs = 0;
      const Signal first = make_chain(runs);
      first.go();
      EXPECT_EQ(runs, kLinks);
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalThenChainTest, IsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    int runs = 0;
    make_chain(runs);
    EXPECT_EQ(runs, 0);
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalThenChainTest, IsTakenBackWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      int runs = 0;
      Signal owner;
      const ThenId id = owner.then([first = make_chain(runs)] {});
      EXPECT_TRUE(owner.remove_then(id));
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalThenChainTest, OfCombinationsGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    for (const bool goes : {true, false}) {
      const Signal other;
      const Signal first;
      Signal last = first;
      int runs = 0;
      constexpr int kFewer = kLinks / 4;
      for (int i = 0; i < kFewer; ++i) {
        Signal next;
        (last | other).then([next, &runs] {
          ++runs;
          next.go();
        });
        last = next;
      }
      if (goes) first.go();
      EXPECT_EQ(runs, goes ? kFewer : 0);
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

// What goes when the function is destroyed, whether it has run or not.
struct GoesAtTheEnd {
  explicit GoesAtTheEnd(Signal its_signal) : signal(std::move(its_signal)) {}
  GoesAtTheEnd(GoesAtTheEnd&& other) noexcept : signal(std::exchange(other.signal, NEVER)) {}
  ~GoesAtTheEnd() { signal.go(); }
  Signal signal;
};

TEST(SignalThenChainTest, OfObjectsThatLetTheNextGoGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    for (const bool goes : {true, false}) {
      int runs = 0;
      {
        Signal first;
        Signal last = first;
        for (int i = 0; i < kLinks; ++i) {
          Signal next;
          last.then([guard = GoesAtTheEnd(next), &runs] { ++runs; });
          last = next;
        }
        if (goes) first.go();
        last = first = Signal();
      }
      EXPECT_EQ(runs, goes ? kLinks : kLinks - 1);  // nobody let the first go
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

struct Again {
  int left;
  int& runs;
  void operator()() const {
    ++runs;
    if (left > 0) DONE.then(Again{left - 1, runs});
  }
};

TEST(SignalThenChainTest, OfFunctionsGivenToWhatHasGoneRunsWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    int runs = 0;
    DONE.then(Again{kLinks, runs});
    EXPECT_EQ(runs, kLinks + 1);
    {
      const Signal signal;
      signal.then(Again{kLinks, runs});
      signal.go();
    }
    EXPECT_EQ(runs, 2 * (kLinks + 1));
    EXPECT_EQ(live_allocations(), before);
  });
}

// --- order ---------------------------------------------------------------------------------------------------------------

TEST(SignalThenOrderTest, AGoInsideAFunctionIsTrueAtOnceAndItsFunctionsRunAfterwards) {
  const Signal a, b, c;
  Order order;
  a.then([&] {
    EXPECT_TRUE(c.go());
    EXPECT_TRUE(b.go());
    EXPECT_TRUE(b);
    EXPECT_TRUE(b.wait(absl::ZeroDuration()));
    EXPECT_FALSE(b.go());
    order.push_back("a1");
  });
  a.then([&] { order.push_back("a2"); });
  b.then([&] { order.push_back("b1"); });
  b.then([&] { order.push_back("b2"); });
  c.then([&] { order.push_back("c"); });
  (a | Signal()).then([&] { order.push_back("either"); });
  EXPECT_TRUE(a.go());
  EXPECT_THAT(order, ElementsAre("a1", "a2", "either", "c", "b1", "b2"));
}

TEST(SignalThenOrderTest, WaitersOfWhatGoesInsideAFunctionAreReleasedAtOnce) {
  const Signal a, b;
  Signal went;
  auto waiter = Thread::run("waiter", [&](Signal) {
    b.wait();
    went.go();
  });
  bool ran = false;
  b.then([&] { ran = true; });
  a.then([&] {
    b.go();
    while (!went) {  // no wait, so b's function does not run before
    }
    EXPECT_FALSE(ran);
  });
  a.go();
  waiter.join();
  EXPECT_TRUE(ran);
}

TEST(SignalThenOrderTest, AnExceptionLosesNothingThatWasPutOff) {
  LogLines lines;
  const Signal a, b;
  Order order;
  a.then([&] {
    b.go();
    throw std::runtime_error("after go()");
  });
  b.then([&] {
    order.push_back("b1");
    throw std::runtime_error("of b");
  });
  b.then([&] { order.push_back("b2"); });
  a.then([&] { order.push_back("a2"); });
  a.go();
  EXPECT_THAT(order, ElementsAre("a2", "b1", "b2"));
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("after go()"), HasSubstr("of b")));
}

TEST(SignalThenOrderTest, AFunctionThatWaitsMayWaitForWhatItHasSetOff) {
  LogLines lines;
  const Signal a, b, c, d;
  Order order;
  b.then([&] {
    order.push_back("b");
    c.go();
    d.wait();
  });
  c.then([&] {
    order.push_back("c");
    d.go();
  });
  a.then([&] {
    b.go();
    c.wait();  // has gone when b's function has run
    b.wait();
    d.wait();  // waits for c's function, in b's wait
    order.push_back("a");
  });
  a.go();
  EXPECT_THAT(order, ElementsAre("b", "c", "a"));
}

TEST(SignalThenOrderTest, WaitsInsideWaitsInsideFunctionsEndInMisuseNotInAnOverflow) {
  LogLines lines;
  constexpr int kDeep = 100;
  std::vector<Signal> step(kDeep + 1);
  int refused = 0;
  for (int i = 0; i < kDeep; ++i) {
    step[i].then([&, i] {
      step[i + 1].go();
      try {
        EXPECT_EQ(Signal().wait(absl::Nanoseconds(1)).why(), Why::timed_out);
      } catch (const Misuse& misuse) {
        ++refused;
        EXPECT_THAT(misuse.what(), HasSubstr("start a thread"));
      }
    });
  }
  step[0].go();
  EXPECT_TRUE(step[kDeep]);
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, kDeep);
}

TEST(SignalThenOrderTest, ThenOnWhatHasGoneRunsAtOnceAndInsideSuchAFunctionAfterIt) {
  const Signal gone;
  gone.go();
  Order order;
  gone.then([&] {
    gone.then([&] {
      order.push_back("inner");
      gone.then([&] { order.push_back("innermost"); });
    });
    DONE.then([&] { order.push_back("second"); });
    order.push_back("outer");
  });
  EXPECT_THAT(order, ElementsAre("outer", "inner", "second", "innermost"));
}

TEST(SignalThenOrderTest, WhatIsLetGoByAFunctionThatRunsAtOnceIsDoneWhenThenReturns) {
  const Signal b;
  Order order;
  b.then([&] { order.push_back("b"); });
  DONE.then([&] {
    b.go();
    order.push_back("at once");
  });
  EXPECT_THAT(order, ElementsAre("at once", "b"));
}

TEST(SignalThenOrderTest, AHandleDroppedInAFunctionDestroysItsFunctionsAtOnce) {
  const Signal a;
  bool is_destroyed = false;
  a.then([&] {
    Signal other;
    other.then([guard = std::shared_ptr<bool>(&is_destroyed, [](bool* flag) { *flag = true; })] {});
    other = Signal();
    EXPECT_TRUE(is_destroyed);
  });
  a.go();
  EXPECT_TRUE(is_destroyed);
}

// --- taking back what was put off ----------------------------------------------------------------------------------------

TEST(SignalThenOrderTest, AFunctionThatWasPutOffCanBeTakenBack) {
  const Signal a, b;
  const ThenId id = b.then([] { ADD_FAILURE() << "it was taken back"; });
  int runs = 0;
  b.then([&] { ++runs; });
  a.then([&] {
    b.go();
    EXPECT_TRUE(b.remove_then(id));
    EXPECT_FALSE(b.remove_then(id));
  });
  a.go();
  EXPECT_EQ(runs, 1);
}

TEST(SignalThenOrderTest, OneOfACombinationThatGoesWithItCanBeTakenBack) {
  const Signal a;
  const Signal either = a | Signal();
  const ThenId id = either.then([] { ADD_FAILURE() << "it was taken back"; });
  bool removed = false;
  a.then([&] { removed = either.remove_then(id); });
  a.go();
  EXPECT_TRUE(removed);
}

TEST(SignalThenOrderTest, OneThatWaitsForItsTurnOnWhatHasGoneCanBeTakenBack) {
  for (const Signal& gone : {DONE, DONE | Signal(), Signal()}) {
    gone.go();
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = held;
    Order order;
    ThenId first, second;
    gone.then([&, held = std::move(held)]() mutable {
      first = gone.then([held = std::move(held)] { ADD_FAILURE() << "it was taken back"; });
      second = gone.then([&] { order.push_back("second"); });
      EXPECT_FALSE(first == second);
      EXPECT_TRUE(gone.remove_then(first));
      EXPECT_TRUE(watched.expired());
      EXPECT_FALSE(gone.remove_then(first));
    });
    EXPECT_THAT(order, ElementsAre("second"));
    EXPECT_FALSE(gone.remove_then(second));
  }
}

TEST(SignalThenOrderTest, AnotherThreadTakesBackWhatWasPutOff) {
  const Signal a, b;
  std::atomic<bool> ran{false};
  const ThenId first = b.then([] { ADD_FAILURE() << "it was taken back"; });
  const ThenId second = b.then([&] { ran = true; });
  LogLines lines;
  a.then([&] {
    b.go();
    auto remover = Thread::run("remover", [&](Signal) { EXPECT_TRUE(b.remove_then(first)); });
    while (!remover.stopped()) {
    }
    remover.join();
  });
  a.go();
  EXPECT_TRUE(ran);
  EXPECT_FALSE(b.remove_then(second));
}

// --- what is freed -------------------------------------------------------------------------------------------------------

TEST(SignalThenCycleTest, AFunctionThatHoldsItsOwnSourceIsFreedOnceThatHasGone) {
  const auto before = live_allocations();
  for (const bool first : {true, false}) {
    Signal a;
    Signal b;
    (a | b).then([a] { static_cast<void>(a); });
    (first ? a : b).go();
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalThenCycleTest, AFunctionThatHoldsItsOwnSourceIsFreedWhenItIsTakenBack) {
  const auto before = live_allocations();
  {
    Signal a;
    Signal b;
    Signal either = a | b;
    const ThenId id = either.then([a, either] { static_cast<void>(a); });
    EXPECT_TRUE(either.remove_then(id));
  }
  EXPECT_EQ(live_allocations(), before);
}

// The long-lived one is not filled by functions that were taken back in time.
TEST(SignalThenCycleTest, ACombinationWhoseFunctionsWereTakenBackIsFreedWithItsHandles) {
  const Signal please_stop;
  const auto before = live_allocations();
  for (int i = 0; i < 100; ++i) {
    const Signal either = please_stop | Signal();
    const Signal both = (either | Signal()) & please_stop;
    const ThenId id = both.then([] { ADD_FAILURE(); });
    const ThenId other = either.then([] { ADD_FAILURE(); });
    EXPECT_TRUE(both.remove_then(id));
    EXPECT_TRUE(either.remove_then(other));
  }
  EXPECT_EQ(live_allocations(), before);
}

}  // namespace
}  // namespace mothreads
