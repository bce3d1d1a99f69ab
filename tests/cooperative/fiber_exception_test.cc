#include "cooperative/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::what_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Names = std::vector<std::string>;

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

}  // namespace
}  // namespace cooperative
