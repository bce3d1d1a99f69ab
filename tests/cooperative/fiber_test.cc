#include "cooperative/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/sleep.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/lock.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/log_lines.h"
#include "tests/support/sanitized.h"

namespace cooperative {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::what_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Names = std::vector<std::string>;

// --- order -------------------------------------------------------------------------------------------------------------------

TEST(FiberOrderTest, SpawnDoesNotRunTheFiberYet) {
  bool ran = false;
  auto fiber = spawn("later", [&] { ran = true; });
  EXPECT_FALSE(ran);
  fiber.join();
  EXPECT_TRUE(ran);
}

TEST(FiberOrderTest, RunInTheOrderTheyWereSpawned) {
  Names order;
  std::vector<Fiber<void>> fibers;
  for (const char* name : {"a", "b", "c"}) fibers.push_back(spawn(name, [&order, name] { order.push_back(name); }));
  for (auto& fiber : fibers) fiber.join();
  EXPECT_THAT(order, ElementsAre("a", "b", "c"));
}

TEST(FiberOrderTest, WhatIsSpawnedInARoundRunsInTheNext) {
  Names order;
  auto a = spawn("a", [&] {
    order.push_back("a");
    spawn("child", [&] { order.push_back("child"); }).release();
  });
  auto b = spawn("b", [&] { order.push_back("b"); });
  a.join();
  b.join();
  yield();
  EXPECT_THAT(order, ElementsAre("a", "b", "child"));
}

TEST(FiberOrderTest, WhoYieldsComesAfterWhatBecameReadyMeanwhile) {
  Names order;
  Event<> event;
  auto waiter = spawn("waiter", [&] {
    event.wait();
    order.push_back("signalled");
  });
  auto yielder = spawn("yielder", [&] {
    yield();
    order.push_back("yielded");
  });
  auto signaller = spawn("signaller", [&] { event.signal(); });
  waiter.join();
  yielder.join();
  signaller.join();
  EXPECT_THAT(order, ElementsAre("signalled", "yielded"));
}

TEST(FiberOrderTest, AYieldIsExactlyOneRound) {
  Names order;
  auto a = spawn("a", [&] {
    for (int i = 0; i < 3; ++i) {
      order.push_back("a");
      yield();
    }
  });
  auto b = spawn("b", [&] {
    for (int i = 0; i < 3; ++i) {
      order.push_back("b");
      yield();
    }
  });
  a.join();
  b.join();
  EXPECT_THAT(order, ElementsAre("a", "b", "a", "b", "a", "b"));
}

TEST(FiberOrderTest, UntilIdleComesAfterAllThatIsReady) {
  Names order;
  auto idler = spawn("idler", [&] {
    yield_until_idle();
    order.push_back("idle");
  });
  auto busy = spawn("busy", [&] {
    for (int i = 0; i < 3; ++i) yield();
    order.push_back("busy");
  });
  busy.join();
  idler.join();
  EXPECT_THAT(order, ElementsAre("busy", "idle"));
}

TEST(FiberOrderTest, ASleepOfNothingLetsOthersRunOnce) {
  Names order;
  auto sleeper = spawn("sleeper", [&] {
    sleep(absl::ZeroDuration());
    order.push_back("slept");
  });
  auto other = spawn("other", [&] { order.push_back("other"); });
  sleeper.join();
  other.join();
  EXPECT_THAT(order, ElementsAre("other", "slept"));
}

// --- join --------------------------------------------------------------------------------------------------------------------

TEST(FiberTest, JoinGivesTheResult) {
  auto adder = spawn("adder", [](int a, int b) { return a + b; }, 2, 3);
  static_assert(std::is_same_v<decltype(adder.join()), int>);
  EXPECT_EQ(adder.join(), 5);
  EXPECT_FALSE(adder.owns());
}

TEST(FiberTest, TakesWhatCanOnlyBeMovedAndReferences) {
  int count = 0;
  auto fiber = spawn(
      "mover", [](std::unique_ptr<int> number, int& counter) { return std::make_unique<int>(*number + ++counter); },
      std::make_unique<int>(6), std::ref(count));
  EXPECT_EQ(*fiber.join(), 7);
  EXPECT_EQ(count, 1);
}

TEST(FiberTest, AFunctionTooBigForTheBlockIsKeptElsewhere) {
  struct Big {
    char bytes[1000];
  } big{};
  big.bytes[999] = 7;
  EXPECT_EQ(spawn("big", [big] { return int{big.bytes[999]}; }).join(), 7);
}

TEST(FiberTest, JoinThrowsWhatItThrew) {
  auto fiber = spawn("failing", []() -> int { throw std::out_of_range("too far"); });
  EXPECT_EQ(what_of<std::out_of_range>([&] { fiber.join(); }), "too far");
  EXPECT_FALSE(fiber.owns());
}

TEST(FiberTest, JoinOfOneThatHasEndedDoesNotWait) {
  auto fiber = spawn("quick", [] { return 1; });
  yield();
  EXPECT_FALSE(fiber.is_alive());
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_EQ(fiber.join(), 1);
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST(FiberTest, AJoinThatTimesOutLeavesTheFiberToItsHandle) {
  Event<int> event;
  auto fiber = spawn("patient", [&] { return event.wait(); });
  EXPECT_EQ(what_of<Timedout>([&] { fiber.join(absl::ZeroDuration()); }),
            "the join of fiber \"patient\" timed out before it had ended");
  EXPECT_TRUE(fiber.owns());
  event.signal(3);
  EXPECT_EQ(fiber.join(), 3);
}

TEST(FiberTest, AllWhoWaitForItsEndAreWoken) {
  Event<> event;
  auto fiber = spawn("awaited", [&] { event.wait(); });
  const Signal stopped = fiber.stopped();
  int woken = 0;
  std::vector<Fiber<void>> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.push_back(spawn("waiter", [&] {
      stopped.wait();
      ++woken;
    }));
  }
  yield();
  event.signal();
  fiber.join();
  for (auto& waiter : waiters) waiter.join();
  EXPECT_EQ(woken, 3);
}

// The handle is one, so one of them gets the result. In cothread the other hung.
TEST(FiberTest, AllWhoJoinOneHandleAreWokenAndTheFirstGetsTheResult) {
  Event<> event;
  auto fiber = spawn("awaited", [&] {
    event.wait();
    return 7;
  });
  int got = 0;
  auto first = spawn("first", [&] { got = fiber.join(); });
  auto second = spawn("second", [&] { return what_of<Misuse>([&] { fiber.join(); }); });
  yield();
  event.signal();
  EXPECT_THAT(second.join(), HasSubstr("owns no fiber: it was joined"));
  first.join();
  EXPECT_EQ(got, 7);
}

TEST(FiberTest, AFiberThatJoinsItselfIsMisuse) {
  Fiber<void> self;
  std::string said;
  self = spawn("narcissus", [&] { said = what_of<Misuse>([&] { self.join(); }); });
  yield();
  EXPECT_THAT(said, HasSubstr("fiber \"narcissus\" waits for itself to end"));
  self.join();
}

TEST(FiberTest, AFiberThatJoinsWhatItRunsUnderIsMisuse) {
  Fiber<void> outer;
  std::string said;
  outer = spawn("outer", [&] {
    spawn("inner", [&] { said = what_of<Misuse>([&] { outer.join(); }); }).join();
  });
  yield();
  yield();
  EXPECT_THAT(said, HasSubstr("fiber \"inner\" waits for \"outer\", which it runs under"));
  outer.join();
}

TEST(FiberTest, AnEmptyHandleRefusesEverything) {
  Fiber<void> none;
  EXPECT_THAT(what_of<Misuse>([&] { none.join(); }), HasSubstr("owns no fiber"));
  EXPECT_THAT(what_of<Misuse>([&] { none.stop(); }), HasSubstr("owns no fiber"));
}

TEST(FiberTest, NeedsAName) {
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(spawn("", [] {})); }), HasSubstr("a fiber needs a name"));
}

TEST(FiberTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  auto fiber = spawn("mine", [](Signal) { return 1; });
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "fiber \"mine\" was used from another thread than its own";
  EXPECT_THAT(elsewhere([&] { fiber.stop(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { fiber.cancel(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { fiber.release(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { fiber.join(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { fiber.join(absl::ZeroDuration()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(fiber.stopped()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(fiber.please_stop()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(fiber.is_alive()); }), HasSubstr(kRefusal));
  EXPECT_FALSE(fiber.please_stop());
  EXPECT_TRUE(fiber.owns());
  EXPECT_EQ(fiber.join(), 1);
}

TEST(FiberTest, AHundredThousandTakeTurnsAndEnd) {
  constexpr int kFibers = 100'000;
  int ran = 0;
  std::vector<Fiber<void>> fibers;
  fibers.reserve(kFibers);
  for (int i = 0; i < kFibers; ++i) fibers.push_back(spawn("one of many", [&] { ++ran; }));
  for (auto& fiber : fibers) fiber.join();
  EXPECT_EQ(ran, kFibers);
}

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
  constexpr int kFibers = mothreads::testing::kSanitized ? 10'000 : 100'000;
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
      if (depth == 0) return sleep(absl::InfiniteDuration());
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

// --- the waits of threads ----------------------------------------------------------------------------------------------------

TEST(FiberWaitTest, ASignalSuspendsOnlyTheFiber) {
  Signal signal;
  Names order;
  auto waiter = spawn("waiter", [&] {
    signal.wait();
    order.push_back("waiter");
  });
  auto other = spawn("other", [&] { order.push_back("other"); });
  other.join();
  auto thread = Thread::run("thread", [&](Signal) { signal.go(); });
  waiter.join();
  EXPECT_THAT(order, ElementsAre("other", "waiter"));
  thread.join();
}

TEST(FiberWaitTest, AQueueHandsOverBothWays) {
  mothreads::Queue<int> to_thread("to thread");
  mothreads::Queue<int> to_fiber("to fiber");
  auto echo = Thread::run("echo", [&](Signal) {
    while (auto item = to_thread.pop()) to_fiber.add(*item + 1);
    to_fiber.close();
  });
  long sum = 0;
  auto fiber = spawn("fiber", [&] {
    for (int i = 0; i < 1000; ++i) {
      to_thread.add(i);
      sum += *to_fiber.pop();
    }
    to_thread.close();
  });
  fiber.join();
  echo.join();
  EXPECT_EQ(sum, 500'500);
}

TEST(FiberWaitTest, ALockIsOwnedByTheFiberNotItsThread) {
  mothreads::Lock lock("shared");
  Names order;
  const auto work = [&](const char* name) {
    return [&lock, &order, name] {
      const auto held = lock.enter();
      order.push_back(name);
      yield();
      order.push_back(name);
    };
  };
  auto a = spawn("a", work("a"));
  auto b = spawn("b", work("b"));
  a.join();
  b.join();
  EXPECT_THAT(order, ElementsAre("a", "a", "b", "b"));
}

TEST(FiberWaitTest, AThreadIsJoinedByAFiber) {
  Signal go;
  auto thread = Thread::run("thread", [&](Signal) {
    go.wait();
    return 9;
  });
  auto joiner = spawn("joiner", [&] { return thread.join(); });
  yield();
  go.go();
  EXPECT_EQ(joiner.join(), 9);
}

TEST(FiberWaitTest, AThreadMadeByAFiberIsStoppedWithItsHandle) {
  auto fiber = spawn("maker", [&] {
    auto thread = Thread::run("made", [](Signal please_stop) { please_stop.wait(); });
    sleep(absl::Hours(1));
  });
  yield();
  EXPECT_THROW(fiber.cancel().join(), WasCancelled);
}

// --- exceptions ----------------------------------------------------------------------------------------------------------------

TEST(FiberExceptionTest, EachFiberHasItsOwnCaughtException) {
  Names order;
  const auto thrower = [&](const char* name) {
    return [&order, name] {
      try {
        throw std::runtime_error(name);
      } catch (...) {
        yield();
        try {
          throw;
        } catch (const std::runtime_error& again) {
          order.push_back(again.what());
        }
      }
    };
  };
  auto a = spawn("a", thrower("a"));
  auto b = spawn("b", thrower("b"));
  a.join();
  b.join();
  EXPECT_THAT(order, ElementsAre("a", "b"));
}

TEST(FiberExceptionTest, OneIsThrownAndCaughtWhileAnotherIsHandled) {
  Names order;
  auto handles = spawn("handles", [&] {
    try {
      throw std::runtime_error("first");
    } catch (const std::runtime_error& error) {
      yield();  // the other throws, catches and ends
      order.push_back(error.what());
      EXPECT_EQ(what_of<std::runtime_error>([] { std::rethrow_exception(std::current_exception()); }), "first");
    }
    EXPECT_EQ(std::current_exception(), nullptr);
  });
  auto throws = spawn("throws", [&] {
    EXPECT_EQ(std::current_exception(), nullptr);
    order.push_back(what_of<std::out_of_range>([] { throw std::out_of_range("second"); }));
    EXPECT_EQ(std::current_exception(), nullptr);
  });
  handles.join();
  throws.join();
  EXPECT_THAT(order, ElementsAre("second", "first"));
}

// Nested handlers, each left in another turn than it was entered.
TEST(FiberExceptionTest, HandlersMayBeNestedAcrossSwitches) {
  const auto nest = [](int base) {
    return [base] {
      try {
        throw base + 1;
      } catch (int) {
        yield();
        try {
          throw base + 2;
        } catch (int inner) {
          yield();
          EXPECT_EQ(inner, base + 2);
        }
        yield();
        try {
          throw;
        } catch (int outer) {
          EXPECT_EQ(outer, base + 1);
        }
      }
    };
  };
  std::vector<Fiber<void>> fibers;
  for (int i = 0; i < 5; ++i) fibers.push_back(spawn("nests", nest(10 * i)));
  for (auto& fiber : fibers) fiber.join();
}

// The test of cothread's ExceptionTest.test_exception_referrers: what one handles is freed when it leaves its handler.
TEST(FiberExceptionTest, ACaughtExceptionIsFreedWhenItsFiberLeavesTheHandler) {
  struct Tracked {
    std::shared_ptr<int> token;
  };
  const auto token = std::make_shared<int>(0);
  const auto handle = [&] {
    try {
      throw Tracked{token};
    } catch (const Tracked&) {
      yield();
    }
    EXPECT_EQ(token.use_count(), 2);  // the other's is still there
    yield();
  };
  Event<> leave;
  auto keeps = spawn("keeps", [&] {
    try {
      throw Tracked{token};
    } catch (const Tracked&) {
      leave.wait();
    }
  });
  auto leaves = spawn("leaves", handle);
  leaves.join();
  leave.signal();
  keeps.join();
  EXPECT_EQ(token.use_count(), 1);
}

TEST(FiberExceptionTest, AnotherUnwindsWhileOneIsUnwinding) {
  int seen = -1;
  struct Yields {
    ~Yields() { yield(); }
  };
  auto a = spawn("a", [] {
    try {
      const Yields guard;
      throw 1;
    } catch (int) {
    }
  });
  auto b = spawn("b", [&] { seen = std::uncaught_exceptions(); });
  a.join();
  b.join();
  EXPECT_EQ(seen, 0);
}

TEST(FiberExceptionTest, AFiberMayEndWhileAnotherUnwinds) {
  struct Joins {
    Fiber<int>& fiber;
    ~Joins() { EXPECT_EQ(fiber.join(), 2); }
  };
  auto other = spawn("other", [] {
    try {
      throw 2;
    } catch (int number) {
      return number;
    }
  });
  EXPECT_THROW(
      {
        const Joins guard{other};
        throw std::runtime_error("unwinding");
      },
      std::runtime_error);
}

// By a destructor, a fiber is made, waits, throws and ends while its maker unwinds.
TEST(FiberExceptionTest, AFiberMayBeMadeAndEndDuringUnwinding) {
  struct Tidies {
    Names& order;
    ~Tidies() {
      order.push_back(what_of<std::out_of_range>([] {
        spawn("tidier", [] {
          EXPECT_EQ(std::uncaught_exceptions(), 0);
          yield();
          throw std::out_of_range("tidied");
        }).join();
      }));
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  Names order;
  auto maker = spawn("maker", [&] {
    const Tidies tidies{order};
    throw std::runtime_error("unwinding");
  });
  EXPECT_EQ(what_of<std::runtime_error>([&] { maker.join(); }), "unwinding");
  EXPECT_THAT(order, ElementsAre("tidied"));
}

// Cancelled while an exception unwinds it, a fiber ends by that exception; by the cancellation only when the exception is caught.
TEST(FiberExceptionTest, ACancellationDoesNotMeetAnotherException) {
  struct Waits {
    ~Waits() { yield(); }
  };
  const auto unwinds = [] {
    const Waits waits;
    throw std::runtime_error("mine");
  };
  auto fails = spawn("fails", unwinds);
  auto catches = spawn("catches", [&] {
    EXPECT_EQ(what_of<std::runtime_error>(unwinds), "mine");
    sleep(absl::Hours(1));
    FAIL() << "it was cancelled";
  });
  yield();
  EXPECT_EQ(what_of<std::runtime_error>([&] { fails.cancel().join(); }), "mine");
  EXPECT_THROW(catches.cancel().join(), WasCancelled);
}

// --- what a switch leaves as it is -------------------------------------------------------------------------------------------------

// One initialises a static variable and waits; who comes to it later finds it made. A second one that came to it meanwhile would block
// the thread for ever: see fiber.h.
TEST(FiberSwitchTest, AStaticInitialiserMayWaitWhileNobodyElseComesToIt) {
  Event<int> event;
  const auto value = [&]() -> int {
    static const int made = event.wait();
    return made;
  };
  auto maker = spawn("maker", value);
  yield();
  event.signal(6);
  EXPECT_EQ(maker.join(), 6);
  EXPECT_EQ(spawn("user", value).join(), 6);
}

TEST(FiberSwitchTest, AStaticInitialiserThatIsUnwoundBeginsAnew) {
  Event<int> event;
  const auto value = [&]() -> int {
    static const int made = event.wait();
    return made;
  };
  auto cancelled = spawn("cancelled", value);
  yield();
  EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
  event.signal(7);
  EXPECT_EQ(spawn("second", value).join(), 7);
}

// A std::mutex is the thread's, not the fiber's: it may be held across a wait only where no other fiber of the thread takes it. Other
// threads are kept out as ever.
TEST(FiberSwitchTest, AMutexHeldAcrossAWaitKeepsOtherThreadsOut) {
  std::mutex mutex;
  Signal held;
  auto other = Thread::run("other", [&](Signal) {
    held.wait();
    const bool got_it = mutex.try_lock();
    if (got_it) mutex.unlock();
    return got_it;
  });
  auto holder = spawn("holder", [&] {
    const std::lock_guard lock(mutex);
    held.go();
    other.stopped().wait();  // other fibers run
  });
  int turns = 0;
  auto runner = spawn("runner", [&] { ++turns; });
  holder.join();
  runner.join();
  EXPECT_EQ(turns, 1);
  EXPECT_FALSE(other.join());
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

// --- the end of the process ----------------------------------------------------------------------------------------------------

TEST(FiberDeathTest, AnExitByAFiberEndsTheProcessAtOnceAndSaysWhatIsWrongWithIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(spawn("quitter", [] { std::exit(5); }).join(), ::testing::ExitedWithCode(5),
              "exit\\(\\) was called by \"quitter\", so the others cannot be stopped in order");
}

TEST(FiberDeathTest, AReturnFromMainStopsTheFibers) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        spawn("released", [](Signal please_stop) {
          please_stop.wait();
          std::fputs("stopped in order\n", stderr);
        }).release();
        yield();
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "stopped in order");
}

TEST(FiberDeathTest, ACancellationInsideNoexceptCodeNamesTheFiber) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto fiber = spawn("rigid", [] { []() noexcept { sleep(absl::Hours(1)); }(); });
        yield();
        fiber.cancel().join();
      },
      "fiber \"rigid\" was cancelled while it waited inside noexcept code.*put a cooperative::NoCancel around");
}

TEST(FiberDeathTest, TheProgramsOwnTerminateHandlerIsCalledAfterThat) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        auto first = spawn("first", [] { sleep(absl::Hours(1)); });
        yield();
        EXPECT_THROW(first.cancel().join(), WasCancelled);  // now the library has its handler
        std::set_terminate([] { std::_Exit(9); });
        auto fiber = spawn("rigid", [] { []() noexcept { sleep(absl::Hours(1)); }(); });
        yield();
        fiber.cancel().join();
      },
      ::testing::ExitedWithCode(9), "fiber \"rigid\" was cancelled");
}

TEST(FiberDeathTest, AnotherExceptionInsideNoexceptCodeIsNotTakenForACancellation) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto cancelled = spawn("cancelled", [] { sleep(absl::Hours(1)); });
        yield();
        EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
        const auto fail = [] { throw std::runtime_error("spilled"); };
        spawn("careless", [fail]() noexcept { fail(); }).join();
      },
      AllOf(HasSubstr("spilled"), Not(HasSubstr("was cancelled"))));
}

// --- several schedulers --------------------------------------------------------------------------------------------------------

TEST(FiberSchedulersTest, EachThreadHasItsOwn) {
  const auto count = [](Signal) {
    int total = 0;
    std::vector<Fiber<void>> fibers;
    for (int i = 0; i < 10; ++i) {
      fibers.push_back(spawn("adder", [&] {
        for (int n = 0; n < 10; ++n) {
          ++total;
          yield();
        }
      }));
    }
    for (auto& fiber : fibers) fiber.join();
    return total;
  };
  auto a = Thread::run("a", count);
  auto b = Thread::run("b", count);
  EXPECT_EQ(a.join() + b.join(), 200);
}

// Each leaves the stack by a switch, because it has waited. ThreadSanitizer's record of a stack's functions has room for 65,536.
TEST(FiberSchedulersTest, AStackIsUsedAnyNumberOfTimes) {
  constexpr int kTimes = 70'000;
  int ended = 0;
  for (int i = 0; i < kTimes; ++i) {
    spawn("guest", [&] {
      yield();
      ++ended;
    }).join();
  }
  EXPECT_EQ(ended, kTimes);
}

TEST(FiberSchedulersTest, ThousandsComeAndGo) {
  for (int i = 0; i < 200; ++i) {
    Thread::run("host", [](Signal) { spawn("fiber", [] { yield(); }).release(); }).join();
  }
}

}  // namespace
}  // namespace cooperative
