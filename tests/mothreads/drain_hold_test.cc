#include "mothreads/drain_hold.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;
using testing::until_stopped;

using Names = std::vector<std::string>;

constexpr absl::Duration kDrain = absl::Seconds(30);

DrainHold* before_main = new DrainHold("before main");

class DrainHoldTest : public testing::NothingLeft {
 protected:
  // A hold that is older than main() counts. It is gone before the tests, which count theirs.
  static void SetUpTestSuite() {
    MainThread::run(
        [](const Signal& please_stop) {
          MainThread::drain();
          EXPECT_FALSE(please_stop);
          delete std::exchange(before_main, nullptr);
          EXPECT_TRUE(please_stop);
        },
        {.drain = absl::InfiniteDuration()});
  }
  void TearDown() override {
    set_stop_deadline(kDefaultStopDeadline);
    NothingLeft::TearDown();
  }

  // Runs `main` with a drain, on a virtual clock.
  template <typename F>
  int run(F&& main, absl::Duration drain = kDrain) {
    return MainThread::run(
        [&](const Signal& please_stop) {
          main(please_stop);
          return 7;
        },
        {.drain = drain});
  }

  testing::VirtualClock clock;
  const UseClock use{clock};
};

// --- what ends a drain --------------------------------------------------------------------------------------------------------

TEST_F(DrainHoldTest, PleaseStopFollowsWhenTheLastHoldIsGone) {
  EXPECT_EQ(run([](const Signal& please_stop) {
              auto first = std::make_unique<DrainHold>("first");
              auto second = std::make_unique<DrainHold>("second");
              EXPECT_FALSE(MainThread::draining());
              MainThread::drain();
              EXPECT_TRUE(MainThread::draining());
              EXPECT_FALSE(please_stop);
              first.reset();
              EXPECT_FALSE(please_stop);
              second.reset();
              EXPECT_TRUE(please_stop);
            }),
            7);
}

TEST_F(DrainHoldTest, WithoutHoldsPleaseStopFollowsAtOnce) {
  run([](const Signal& please_stop) {
    { const DrainHold over("over"); }
    MainThread::drain();
    EXPECT_TRUE(please_stop);
  });
}

TEST_F(DrainHoldTest, PleaseStopFollowsWhenTheTimeIsOverAndTheLogNamesTheHolds) {
  LogLines log;
  MainThread::run(
      [&](const Signal& please_stop) {
        const DrainHold first("job 17");
        const DrainHold second("job 18");
        MainThread::drain();
        clock.await_timers(1);
        clock.advance(kDrain - absl::Nanoseconds(1));
        EXPECT_FALSE(please_stop);
        clock.advance(absl::Nanoseconds(1));
        EXPECT_TRUE(please_stop);
      },
      {.drain = kDrain});
  EXPECT_THAT(log.with("the drain was not done in 30s; 2 holds: job 17, job 18.  Stopping..."), SizeIs(1));
}

TEST_F(DrainHoldTest, OfManyHoldsTheLogNamesSome) {
  LogLines log;
  MainThread::run(
      [&](const Signal&) {
        std::vector<DrainHold> holds;
        for (int i = 0; i < 21; ++i) holds.emplace_back(std::to_string(i));
        MainThread::drain();
        clock.await_timers(1);
        clock.advance(kDrain);
      },
      {.drain = kDrain});
  EXPECT_THAT(log.with("21 holds: 0, 1, 2"), SizeIs(1));
  EXPECT_THAT(log.with("18, 19 and 1 more."), SizeIs(1));
}

TEST_F(DrainHoldTest, ADrainWithoutALimitHasNoTimer) {
  run(
      [this](const Signal& please_stop) {
        auto hold = std::make_unique<DrainHold>("long");
        MainThread::drain();
        EXPECT_EQ(clock.timers(), 0U);
        hold.reset();
        EXPECT_TRUE(please_stop);
      },
      absl::InfiniteDuration());
}

TEST_F(DrainHoldTest, AStopEndsTheDrain) {
  LogLines log;
  run([this](const Signal& please_stop) {
    const DrainHold hold("job");
    MainThread::drain();
    MainThread::stop();
    EXPECT_TRUE(please_stop);
    EXPECT_EQ(clock.timers(), 1U);  // that of the stop's deadline
  });
  EXPECT_THAT(log.with("the drain was not done"), IsEmpty());
}

TEST_F(DrainHoldTest, ReturningEndsTheDrain) {
  Signal please_stop;
  EXPECT_EQ(run([&](const Signal& stop) {
              please_stop = stop;
              static DrainHold& forgotten = *new DrainHold("forgotten");
              MainThread::drain();
              EXPECT_FALSE(stop);
              MainThread::thread().please_stop().then([] { delete &forgotten; });
            }),
            7);
  EXPECT_TRUE(please_stop);
}

// --- which holds count --------------------------------------------------------------------------------------------------------

TEST_F(DrainHoldTest, OneThatIsMadeDuringTheDrainCounts) {
  run([](const Signal& please_stop) {
    auto first = std::make_unique<DrainHold>("first");
    MainThread::drain();
    auto second = std::make_unique<DrainHold>("second");
    first.reset();
    EXPECT_FALSE(please_stop);
    second.reset();
    EXPECT_TRUE(please_stop);
  });
}

// Also when the one before has made and dropped a hold of its own: the announcement is over when all have heard of it.
TEST_F(DrainHoldTest, FunctionsOfDrainingMayMakeHolds) {
  run([](const Signal& please_stop) {
    std::unique_ptr<DrainHold> flush;
    MainThread::draining().then([] { const DrainHold brief("brief"); });
    MainThread::draining().then([&] {
      EXPECT_FALSE(please_stop);
      flush = std::make_unique<DrainHold>("flush");
    });
    MainThread::drain();
    EXPECT_FALSE(please_stop);
    flush.reset();
    EXPECT_TRUE(please_stop);
  });
}

TEST_F(DrainHoldTest, OneThatIsMadeAfterTheStopChangesNothing) {
  run([](const Signal& please_stop) {
    MainThread::stop();
    { const DrainHold late("late"); }
    EXPECT_TRUE(please_stop);
  });
}

TEST_F(DrainHoldTest, OneThatMovesIsStillOne) {
  run([](const Signal& please_stop) {
    DrainHold first("first");
    DrainHold moved(std::move(first));
    EXPECT_EQ(moved.name(), "first");
    EXPECT_EQ(first.name(), "");  // NOLINT: moved from
    MainThread::drain();
    EXPECT_FALSE(please_stop);
    moved = DrainHold("second");  // lets the first go, when the second is there
    EXPECT_FALSE(please_stop);
    first = std::move(moved);
    EXPECT_FALSE(please_stop);
    { const DrainHold gone(std::move(first)); }
    EXPECT_TRUE(please_stop);
  });
}

TEST_F(DrainHoldTest, AnyThreadMayHaveOneAndAnotherLetItGo) {
  run([](const Signal& please_stop) {
    auto maker = Thread::run("maker", [](Signal) { return std::make_unique<DrainHold>("handed on"); });
    std::unique_ptr<DrainHold> hold = maker.join();
    Thread::run("drains", [](Signal) { MainThread::drain(); }).join();
    EXPECT_FALSE(please_stop);
    Thread::run("last", [&](Signal) { hold.reset(); }).join();
    EXPECT_TRUE(please_stop);
  });
}

// Of all that let go at a time one is the last.
TEST_F(DrainHoldTest, ManyThreadsLetGoAtATime) {
  for (int round = 0; round < 50; ++round) {
    run([](const Signal& please_stop) {
      const Signal go;
      ThreadGroup group("holders");
      for (int i = 0; i < 8; ++i) {
        group.run("holder", [go, hold = std::make_shared<DrainHold>("work")](Signal) mutable {
          go.wait();
          hold.reset();
        });
      }
      MainThread::drain();
      EXPECT_FALSE(please_stop);
      go.go();
      please_stop.wait();
      group.join();
    });
  }
}

TEST_F(DrainHoldTest, ANameIsMandatory) { EXPECT_THROW(static_cast<void>(DrainHold("")), Misuse); }

// --- what a drain leaves alone --------------------------------------------------------------------------------------------------

TEST_F(DrainHoldTest, NobodyIsToldAndNoTillGoesBeforeTheStop) {
  run([this](const Signal& please_stop) {
    const auto child = Thread::run("child", until_stopped);
    const Till till(absl::Hours(1));
    auto hold = std::make_unique<DrainHold>("job");
    MainThread::drain();
    EXPECT_FALSE(till);
    EXPECT_FALSE(child.please_stop());
    EXPECT_FALSE(MainThread::thread().node(internal::kAccess).deadline().has_value());
    hold.reset();
    EXPECT_TRUE(till);
    EXPECT_TRUE(child.please_stop());
    EXPECT_TRUE(please_stop);
    EXPECT_EQ(MainThread::thread().node(internal::kAccess).deadline(), clock.now() + absl::ToChronoNanoseconds(kDefaultStopDeadline));
  });
}

TEST_F(DrainHoldTest, WithoutADrainBothGoAtTheSameMoment) {
  Names order;
  run(
      [&](const Signal& please_stop) {
        const DrainHold ignored("ignored");
        MainThread::draining().then([&] { order.push_back("draining"); });
        please_stop.then([&] { order.push_back("please_stop"); });
        MainThread::drain();
        EXPECT_TRUE(please_stop);
      },
      absl::ZeroDuration());
  EXPECT_THAT(order, ElementsAre("draining", "please_stop"));
}

TEST_F(DrainHoldTest, HoweverTheMainThreadIsStoppedDrainingGoesFirst) {
  for (const bool by_its_handle : {false, true}) {
    run([&](const Signal& please_stop) {
      bool was_first = false;
      please_stop.then([&] { was_first = static_cast<bool>(MainThread::draining()); });
      if (by_its_handle) {
        MainThread::thread().stop();
      } else {
        MainThread::stop();
      }
      EXPECT_TRUE(was_first);
    });
  }
}

TEST_F(DrainHoldTest, EachRunHasADrainOfItsOwn) {
  for (int i = 0; i < 2; ++i) {
    run([](const Signal& please_stop) {
      EXPECT_FALSE(MainThread::draining());
      auto hold = std::make_unique<DrainHold>("job");
      MainThread::drain();
      MainThread::drain();
      EXPECT_FALSE(please_stop);
      hold.reset();
      EXPECT_TRUE(please_stop);
    });
  }
}

TEST_F(DrainHoldTest, AHoldOfOneRunSaysNothingAboutTheNext) {
  auto left = std::make_unique<DrainHold>("left over");
  run([](const Signal&) { MainThread::drain(); });
  run([&](const Signal& please_stop) {
    left.reset();
    EXPECT_FALSE(please_stop);
  });
}

}  // namespace
}  // namespace mothreads
