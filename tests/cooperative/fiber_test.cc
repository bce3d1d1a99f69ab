#include "cooperative/fiber.h"

#include <functional>
#include <memory>
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
#include "mothreads/lock.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Names = std::vector<std::string>;

// --- order -------------------------------------------------------------------------------------------------------------------

TEST(FiberOrderTest, SpawnDoesNotRunTheFiberYet) {
  bool ran = false;
  auto fiber = spawn("later", [&] { ran = true; });
  EXPECT_FALSE(ran);
  fiber.join();
  EXPECT_TRUE(ran);
}

// Whatever std::invoke() takes is a function, also with no other argument than the please_stop.
TEST(FiberOrderTest, AMemberOfThePleaseStopIsAFunction) {
  EXPECT_FALSE(spawn("asks", &Signal::operator bool).join());
  EXPECT_FALSE(Thread::run("asks", &Signal::operator bool).join());
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
