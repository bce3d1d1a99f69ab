// The scope of a limit, in the caller's own fiber. InParallelTest's file has what it shares with in_parallel().

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/with_timeout.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Names = std::vector<std::string>;

void sleep_for_ever() { sleep(absl::InfiniteDuration()); }

// Lets so much time pass, a second at a time; the others run at each.
Fiber<void> time_passes(VirtualClock& clock, int seconds) {
  return spawn("time", [&clock, seconds] {
    for (int i = 0; i < seconds; ++i) {
      yield_until_idle();
      clock.advance(absl::Seconds(1));
    }
    yield_until_idle();
  });
}

// --- whose fiber it is -----------------------------------------------------------------------------------------------------------

TEST(WithTimeoutTest, RunsInTheCallersOwnFiber) {
  auto caller = spawn("caller", [] {
    std::string name;
    bool switched = false;
    spawn("other", [&] { switched = true; }).release();
    with_timeout(absl::Hours(1), [&] { name = current_name(); });
    EXPECT_EQ(name, "caller");
    EXPECT_FALSE(switched);  // a function that waits for nothing makes the caller wait for nothing
    yield();
  });
  caller.join();
}

TEST(WithTimeoutTest, HasTheCallersLocks) {
  RLock lock;
  auto caller = spawn("caller", [&] {
    const RLock::Guard outer = lock.enter();
    with_timeout(absl::Hours(1), [&] { const RLock::Guard inner = lock.enter(absl::ZeroDuration()); });
  });
  caller.join();
}

TEST(WithTimeoutTest, HasTheCallersStack) {
  auto caller = spawn({.name = "caller", .stack_size = 1024 * 1024}, [] {
    return with_timeout(absl::Hours(1), [] {
      volatile char deep[200 * 1024];
      for (std::size_t i = 0; i < sizeof deep; i += 1024) deep[i] = 1;
      yield();
      return static_cast<int>(deep[1024]);
    });
  });
  EXPECT_EQ(caller.join(), 1);
}

TEST(WithTimeoutTest, NeedsNoFiberWhereTheLimitIsATime) {
  Thread::run("test", [](Signal) {
    Scheduler::current().set_options({.max_fibers = 0});
    EXPECT_EQ(with_timeout(absl::Hours(1), [] { return 1; }), 1);
    EXPECT_THROW(with_timeout(absl::ZeroDuration(), sleep_for_ever), Timedout);
  }).join();
}

TEST(WithTimeoutTest, ResultsPassThrough) {
  int number = 4;
  EXPECT_EQ(&with_timeout(absl::Hours(1), [&]() -> int& { return number; }), &number);
  const std::unique_ptr<int> moved = with_timeout(absl::Hours(1), [] { return std::make_unique<int>(5); });
  EXPECT_EQ(*moved, 5);
}

// --- what the limit ends -----------------------------------------------------------------------------------------------------------

TEST(WithTimeoutTest, OfTwoTheInnerLimitEndsOnlyTheInner) {
  on_virtual_time([](VirtualClock& clock) {
    Names order;
    auto time = time_passes(clock, 4);
    with_timeout(absl::Seconds(3), [&] {
      EXPECT_THROW(with_timeout(absl::Seconds(1), sleep_for_ever), Timedout);
      order.push_back("inner");
      sleep(absl::Seconds(1));
      order.push_back("slept");
    });
    EXPECT_THAT(order, ElementsAre("inner", "slept"));
    time.join();
  });
}

TEST(WithTimeoutTest, OfTwoTheOuterLimitEndsBoth) {
  on_virtual_time([](VirtualClock& clock) {
    Names order;
    auto time = time_passes(clock, 2);
    EXPECT_THROW(with_timeout(absl::Seconds(1), [&] {
      try {
        with_timeout(absl::Seconds(9), sleep_for_ever);
      } catch (const Timedout&) {
        order.push_back("inner");
      }
    }), Timedout);
    EXPECT_THAT(order, ElementsAre());
    time.join();
  });
}

TEST(WithTimeoutTest, OfTwoThatComeAtATimeItIsTheOuters) {
  on_virtual_time([](VirtualClock& clock) {
    bool inner = false;
    auto time = time_passes(clock, 2);
    EXPECT_THROW(with_timeout(absl::Seconds(1), [&] {
      try {
        with_timeout(absl::Seconds(1), sleep_for_ever);
      } catch (const Timedout&) {
        inner = true;
      }
    }), Timedout);
    EXPECT_FALSE(inner);
    time.join();
  });
}

TEST(WithTimeoutTest, OneThatIsEnteredAfterTheOutersLimitEndsAtItsFirstWait) {
  Names order;
  EXPECT_THROW(with_timeout(absl::ZeroDuration(), [&] {
    try {
      with_timeout(absl::Hours(1), [&] {
        order.push_back("begins");
        yield();
        order.push_back("goes on");
      });
    } catch (const Timedout&) {
      order.push_back("inner");
    }
  }), Timedout);
  EXPECT_THAT(order, ElementsAre("begins"));
}

TEST(WithTimeoutTest, NothingIsLeftOfALimitThatCameTooLate) {
  on_virtual_time([](VirtualClock& clock) {
    auto time = time_passes(clock, 4);
    EXPECT_EQ(with_timeout(absl::Seconds(2), [] {
      sleep(absl::Seconds(1));
      return 1;
    }), 1);
    sleep(absl::Seconds(2));
    time.join();
  });
}

TEST(WithTimeoutTest, TwoFibersLimitsAreTheirOwn) {
  on_virtual_time([](VirtualClock& clock) {
    const auto call = [](absl::Duration limit) {
      return spawn("caller", [limit] {
        return what_of<Timedout>([&] {
          with_timeout(limit, [] { sleep(absl::Seconds(2)); });
        });
      });
    };
    auto shorter = call(absl::Seconds(1));
    auto longer = call(absl::Seconds(3));
    auto time = time_passes(clock, 4);
    EXPECT_NE(shorter.join(), "");
    EXPECT_EQ(longer.join(), "");
    time.join();
  });
}

TEST(WithTimeoutTest, WhoOnlyYieldsIsUnwound) {
  on_virtual_time([](VirtualClock& clock) {
    int turns = 0;
    EXPECT_THROW(with_timeout(absl::Seconds(3), [&] {
      while (true) {
        ++turns;
        clock.advance(absl::Seconds(1));
        yield();
      }
    }), Timedout);
    EXPECT_EQ(turns, 3);
  });
}

TEST(WithTimeoutTest, WhoSwallowsTheExceptionGetsItAtEachWaitAsLongAsItIsInside) {
  int swallowed = 0;
  EXPECT_EQ(with_timeout(absl::ZeroDuration(), [&] {
    for (int i = 0; i < 3; ++i) {
      try {
        yield();
      } catch (const FiberCancelled&) {
        ++swallowed;
      }
    }
    return 6;
  }), 6);
  EXPECT_EQ(swallowed, 3);
  yield();
  Event<int> event;
  EXPECT_THROW(event.wait(absl::ZeroDuration()), Timedout);
}

TEST(WithTimeoutTest, EveryKindOfWaitIsUnwound) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    Signal signal;
    auto never = spawn("never", [](Signal stop) { stop.wait(); });
    const auto expect_unwound = [&](auto&& wait) {
      auto time = time_passes(clock, 2);
      EXPECT_THROW(with_timeout(absl::Seconds(1), wait), Timedout);
      time.join();
    };
    expect_unwound([&] { event.wait(); });
    expect_unwound([&] { event.wait(absl::Hours(1)); });
    expect_unwound([&] { signal.wait(); });
    expect_unwound([&] { static_cast<void>(signal.wait(absl::Hours(1))); });
    expect_unwound([&] { never.join(); });
    expect_unwound([&] { in_parallel(sleep_for_ever, sleep_for_ever); });
    EXPECT_TRUE(never.is_alive());
  });
}

// --- the fiber's own cancellation --------------------------------------------------------------------------------------------------

TEST(WithTimeoutTest, ACancellationOfTheFiberIsNoTimeout) {
  bool timed_out = false;
  auto caller = spawn("caller", [&] {
    try {
      with_timeout(absl::Hours(1), sleep_for_ever);
    } catch (const Timedout&) {
      timed_out = true;
    }
  });
  yield();
  EXPECT_THROW(caller.cancel().join(), WasCancelled);
  EXPECT_FALSE(timed_out);
}

TEST(WithTimeoutTest, ACancellationThatComesWithTheLimitIsNoTimeout) {
  bool timed_out = false;
  Signal enough;
  auto caller = spawn("caller", [&] {
    try {
      with_timeout(enough, sleep_for_ever);
    } catch (const EndedEarly&) {
      timed_out = true;
    }
  });
  yield();
  yield();
  enough.go();
  EXPECT_THROW(caller.cancel().join(), WasCancelled);
  EXPECT_FALSE(timed_out);
}

// The function is the fiber's own code: what it makes of a cancellation is how the fiber ends.
TEST(WithTimeoutTest, WhatTheFunctionMakesOfACancellationIsTheFibersFailure) {
  auto caller = spawn("caller", [] {
    with_timeout(absl::Hours(1), [] {
      try {
        sleep_for_ever();
      } catch (const FiberCancelled&) {
        throw std::runtime_error("could not tidy up");
      }
    });
  });
  yield();
  EXPECT_EQ(what_of<std::runtime_error>([&] { caller.cancel().join(); }), "could not tidy up");
}

TEST(WithTimeoutTest, NoCancelInsidePutsTheLimitOff) {
  on_virtual_time([](VirtualClock& clock) {
    Names order;
    auto time = time_passes(clock, 3);
    EXPECT_THROW(with_timeout(absl::Seconds(1), [&] {
      {
        const NoCancel whole;
        sleep(absl::Seconds(2));
        order.push_back("whole");
      }
      sleep_for_ever();
    }), Timedout);
    EXPECT_THAT(order, ElementsAre("whole"));
    time.join();
  });
}

// What a destructor waits for may have a limit, also while a cancellation unwinds the fiber.
TEST(WithTimeoutTest, WorksInsideNoCancelAndInDestructorsOfWhoIsUnwound) {
  Names order;
  struct Tidies {
    Names& names;
    ~Tidies() {
      try {
        with_timeout(absl::ZeroDuration(), sleep_for_ever);
      } catch (const Timedout&) {
        names.push_back("tidied");
      }
    }
  };
  auto caller = spawn("caller", [&] {
    const NoCancel whole;
    const Tidies tidies{order};
    yield();
    EXPECT_THROW(with_timeout(absl::ZeroDuration(), sleep_for_ever), Timedout);
    order.push_back("whole");
  });
  yield();
  caller.cancel();
  caller.join();
  EXPECT_THAT(order, ElementsAre("whole", "tidied"));

  order.clear();
  auto unwound = spawn("unwound", [&] {
    const Tidies tidies{order};
    sleep_for_ever();
  });
  yield();
  EXPECT_THROW(unwound.cancel().join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("tidied"));
}

// --- limits that are no times --------------------------------------------------------------------------------------------------------

TEST(WithTimeoutTest, ASignalOfAnotherThreadMayBeTheLimit) {
  Signal begun, enough;
  auto other = Thread::run("other", [=](Signal) {
    begun.wait();
    enough.go();
  });
  EXPECT_THROW(with_timeout(enough | absl::Hours(1), [&] {
    begun.go();
    sleep_for_ever();
  }), Stopped);
  other.join();
}

// Those below a fiber are told to stop before it is: what watches the limit must outlive that.
TEST(WithTimeoutTest, ItsPleaseStopMayBeTheLimit) {
  auto caller = spawn("caller", [](const Signal& please_stop) {
    EXPECT_THROW(with_timeout(please_stop, sleep_for_ever), Stopped);
    return 3;
  });
  yield();
  EXPECT_EQ(caller.stop().join(), 3);
}

TEST(WithTimeoutTest, ASignalThatGoesAfterTheEndEndsNothing) {
  Signal enough;
  EXPECT_EQ(with_timeout(enough, [] {
    yield();
    return 2;
  }), 2);
  enough.go();
  yield();
}

// --- what cannot be unwound ----------------------------------------------------------------------------------------------------------

TEST(WithTimeoutDeathTest, ALimitThatMeetsNoexceptIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(with_timeout(absl::ZeroDuration(), []() noexcept { sleep_for_ever(); }), HasSubstr("the limit of a with_timeout"));
}

// --- stacks of what in_parallel makes ----------------------------------------------------------------------------------------------

TEST(InParallelStackTest, ItsFunctionsGetTheStackThatTheOptionSays) {
  const auto deep = [] {
    volatile char bytes[200 * 1024];
    for (std::size_t i = 0; i < sizeof bytes; i += 1024) bytes[i] = 1;
    yield();
    return static_cast<int>(bytes[1024]);
  };
  const auto [a, b] = in_parallel({.stack_size = 1024 * 1024}, deep, deep);
  EXPECT_EQ(a + b, 2);
}

}  // namespace
}  // namespace cooperative
