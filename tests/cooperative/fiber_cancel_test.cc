#include "cooperative/fiber.h"

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/sleep.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Names = std::vector<std::string>;

// --- stop and cancel -----------------------------------------------------------------------------------------------------------

TEST(FiberStopTest, StopRaisesPleaseStop) {
  auto fiber = spawn("polite", [](Signal please_stop) {
    please_stop.wait();
    return 4;
  });
  EXPECT_EQ(fiber.stop().join(), 4);
}

TEST(FiberStopTest, AFunctionWithoutPleaseStopIsCancelledAtItsWait) {
  Names order;
  auto fiber = spawn("sleeper", [&] {
    struct Guard {
      Names& order;
      ~Guard() { order.push_back("unwound"); }
    } guard{order};
    sleep(absl::Hours(1));
    order.push_back("woke");
  });
  yield();
  EXPECT_EQ(what_of<WasCancelled>([&] { fiber.stop().join(); }), "fiber \"sleeper\" was cancelled: it has no result");
  EXPECT_THAT(order, ElementsAre("unwound"));
}

TEST(FiberStopTest, ACancellationIsNoStdException) {
  bool caught = false;
  auto fiber = spawn("catcher", [&] {
    try {
      sleep(absl::Hours(1));
    } catch (const std::exception&) {
      caught = true;
    }
  });
  yield();
  EXPECT_THROW(fiber.cancel().join(), WasCancelled);
  EXPECT_FALSE(caught);
}

TEST(FiberStopTest, ASwallowedCancellationComesAgain) {
  int swallowed = 0;
  auto fiber = spawn("stubborn", [&] {
    for (int i = 0; i < 3; ++i) {
      try {
        sleep(absl::Hours(1));
      } catch (const FiberCancelled&) {
        ++swallowed;
      }
    }
  });
  yield();
  fiber.cancel().join();
  EXPECT_EQ(swallowed, 3);
}

TEST(FiberStopTest, OneThatHasNotBegunNeverRuns) {
  bool ran = false;
  auto fiber = spawn("unborn", [&] { ran = true; });
  EXPECT_THROW(fiber.cancel().join(), WasCancelled);
  EXPECT_FALSE(ran);
}

TEST(FiberStopTest, NoCancelPutsItOff) {
  Names order;
  Event<> event;
  auto fiber = spawn("careful", [&] {
    {
      const NoCancel whole;
      event.wait();
      order.push_back("done");
    }
    sleep(absl::Hours(1));
    order.push_back("never");
  });
  yield();
  fiber.cancel();
  yield();
  EXPECT_TRUE(order.empty());
  event.signal();
  EXPECT_THROW(fiber.join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("done"));
}

TEST(FiberStopTest, ACancelledWaitTakesNoValue) {
  Event<int> event;
  auto first = spawn("first", [&] { return event.wait(); });
  auto second = spawn("second", [&] { return event.wait(); });
  yield();
  first.cancel();
  event.signal(8);
  EXPECT_THROW(first.join(), WasCancelled);
  EXPECT_EQ(second.join(), 8);
}

TEST(FiberStopTest, TheHandleStopsAndWaits) {
  bool stopped = false;
  {
    auto fiber = spawn("owned", [&](Signal please_stop) {
      please_stop.wait();
      yield();
      stopped = true;
    });
    yield();
  }
  EXPECT_TRUE(stopped);
}

// join_all() took the cancellation for a failure of each thread, and went on to the next.
TEST(FiberStopTest, OneThatJoinsThreadsIsUnwound) {
  const auto until_stopped = [](const Signal& please_stop) { please_stop.wait(); };
  std::vector<mothreads::ThreadHandle<void>> threads;
  threads.push_back(Thread::run("first", until_stopped));
  threads.push_back(Thread::run("second", until_stopped));
  auto joiner = spawn("joiner", [&] { mothreads::join_all(threads); });
  yield();
  joiner.cancel();
  EXPECT_THROW(joiner.join(), WasCancelled);
  for (const auto& thread : threads) EXPECT_TRUE(thread.owns());
}

TEST(FiberStopTest, ADestructorInACancelledFiberMayWait) {
  Names order;
  auto outer = spawn("outer", [&] {
    auto inner = spawn("inner", [&](Signal please_stop) {
      please_stop.wait();
      yield();
      order.push_back("inner");
    });
    sleep(absl::Hours(1));
  });
  yield();
  yield();
  EXPECT_THROW(outer.cancel().join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("inner"));
}

TEST(FiberStopTest, WhoEndsStopsItsChildrenNewestFirst) {
  Names order;
  Fiber<void> first;
  Fiber<void> second;
  auto parent = spawn("parent", [&] {
    const auto child = [&order](const char* name) {
      return spawn(name, [&order, name](Signal please_stop) {
        please_stop.wait();
        order.push_back(name);
      });
    };
    first = child("first");
    second = child("second");
    yield();
    order.push_back("parent");
  });
  parent.join();
  EXPECT_THAT(order, ElementsAre("parent", "second", "first"));
  EXPECT_FALSE(first.is_alive());
  EXPECT_FALSE(second.is_alive());
  first.join();
  second.join();
}

TEST(FiberStopTest, AReleasedFiberOutlivesWhoMadeIt) {
  Event<> event;
  bool done = false;
  spawn("parent", [&] {
    spawn("released", [&](Signal) {
      event.wait();
      done = true;
    }).release();
    yield();
  }).join();
  event.signal();
  yield();
  EXPECT_TRUE(done);
}

TEST(FiberStopTest, WhatIsReleasedWhileItsThreadEndsIsStoppedToo) {
  bool stopped = false;
  Thread::run("host", [&](Signal) {
    spawn("polite", [&](Signal please_stop) {
      please_stop.wait();
      spawn("late", [&](Signal its_stop) {
        its_stop.wait();
        stopped = true;
      }).release();
    }).release();
    yield();
  }).join();
  EXPECT_TRUE(stopped);
}

// In the order of release it is behind one that is younger.
TEST(FiberStopTest, OneThatWasReleasedLateIsStoppedWithTheOthers) {
  int stopped = 0;
  Thread::run("host", [&](Signal) {
    const auto polite = [&](Signal please_stop) {
      please_stop.wait();
      ++stopped;
    };
    Event<> now;
    spawn("maker", [&] {
      auto inner = spawn("inner", polite);
      now.wait();
      inner.release();
    }).release();
    yield();
    spawn("later", polite).release();
    now.signal();
    yield();
  }).join();
  EXPECT_EQ(stopped, 2);
}

TEST(FiberStopTest, ManyAreStoppedWithTheirThread) {
  constexpr int kFibers = mothreads::testing::kSanitized ? 5'000 : 100'000;
  int stopped = 0;
  Thread::run("host", [&](Signal) {
    for (int i = 0; i < kFibers; ++i) {
      spawn("one of many", [&] {
        struct Guard {
          int& count;
          ~Guard() { ++count; }
        } guard{stopped};
        sleep(absl::InfiniteDuration());
      }).release();
    }
    yield();
  }).join();
  EXPECT_EQ(stopped, kFibers);
}

TEST(FiberStopTest, OneBelowTheOtherInALongChainAreStopped) {
  constexpr int kDepth = 5000;
  struct Chain {
    static void grow(int depth, int& begun) {
      ++begun;
      if (depth == 0) {
        sleep(absl::InfiniteDuration());
        return;
      }
      spawn("link", grow, depth - 1, std::ref(begun)).join();
    }
  };
  int begun = 0;
  auto first = spawn("first", Chain::grow, kDepth, std::ref(begun));
  for (int round = 0; round <= kDepth; ++round) yield();
  EXPECT_EQ(begun, kDepth + 1);
  EXPECT_THROW(first.stop().join(), WasCancelled);
}

TEST(FiberStopTest, TheEndOfAThreadStopsItsFibersNewestFirst) {
  Names order;
  Thread::run("host", [&](Signal) {
    for (const char* name : {"old", "new"}) {
      spawn(name, [&order, name](Signal please_stop) {
        please_stop.wait();
        order.push_back(name);
      }).release();
    }
    yield();
    order.push_back("host");
  }).join();
  EXPECT_THAT(order, ElementsAre("host", "new", "old"));
}

// Else the thread would wait for it for ever.
TEST(FiberStopTest, WhatIsReleasedWhileItsThreadEndsIsToldAtOnce) {
  Names order;
  Thread::run("host", [&](Signal) {
    spawn("old", [&](Signal please_stop) {
      please_stop.wait();
      spawn("late", [&](Signal stop) {
        stop.wait();
        order.push_back("late");
      }).release();
      order.push_back("old");
    }).release();
    yield();
  }).join();
  EXPECT_THAT(order, ElementsAre("old", "late"));
}

TEST(FiberStopTest, StoppingAThreadStopsItsFibersWhileItsFunctionStillRuns) {
  Signal ready;
  Names order;
  auto host = Thread::run("host", [&](Signal please_stop) {
    auto fiber = spawn("fiber", [&](Signal stop) {
      ready.go();
      stop.wait();
      order.push_back("fiber");
    });
    fiber.join();
    please_stop.wait();
    order.push_back("host");
  });
  ready.wait();
  host.stop().join();
  EXPECT_THAT(order, ElementsAre("fiber", "host"));
}

TEST(FiberStopTest, AFailureThatNobodyTakesIsLoggedAndCounted) {
  LogLines lines;
  spawn("careless", [] { throw std::runtime_error("spilled"); }).release();
  yield();
  EXPECT_EQ(mothreads::internal::take_unclaimed_failures(), 1);  // else it shows in this program's exit code
  const auto found = lines.with("Problem in fiber \"careless\", which nobody joined");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].text, HasSubstr("spilled"));
}

}  // namespace
}  // namespace cooperative
