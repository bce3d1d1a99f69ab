#include "cooperative/rlock.h"

#include <exception>
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
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::expect_one_round;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// Who puts its name down inside, lets others run and leaves; or puts down why it did not get in.
template <typename... Limit>
Fiber<void> visitor_of(RLock& lock, Names& visits, std::string name, Limit... limit) {
  return spawn(name, [&lock, &visits, name, limit...] {
    try {
      const auto held = lock.enter(limit...);
      visits.push_back(name);
      yield();
    } catch (const std::exception& error) {
      visits.push_back(name + ": " + error.what());
    }
  });
}

// Whether another fiber would get in without a wait for its turn.
bool is_free(RLock& lock) {
  return spawn("asker", [&] {
    return what_of<Timedout>([&] { const auto held = lock.enter(absl::ZeroDuration()); }).empty();
  }).join();
}

// --- entering ------------------------------------------------------------------------------------------------------------------

TEST(RLockTest, OneIsInsideAtATime) {
  RLock lock;
  int inside = 0;
  int visits = 0;
  std::vector<Fiber<void>> fibers;
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(spawn("visitor", [&] {
      for (int round = 0; round < 10; ++round) {
        const auto held = lock.enter();
        EXPECT_EQ(++inside, 1);
        yield();
        --inside;
        ++visits;
      }
    }));
  }
  for (auto& fiber : fibers) fiber.join();
  EXPECT_EQ(visits, 200);
}

TEST(RLockTest, AVisitorIsHeldOffUntilTheRelease) {
  RLock lock;
  lock.acquire();
  auto visitor = spawn("visitor", [&] {
    const auto held = lock.enter();
    return 5;
  });
  EXPECT_THROW(visitor.join(absl::ZeroDuration()), Timedout);
  lock.release();
  EXPECT_EQ(visitor.join(), 5);
}

TEST(RLockTest, WhoDoesNotTakeItIsNotHeldOff) {
  RLock lock;
  const auto held = lock.enter();
  EXPECT_EQ(spawn("other", [] { return 5; }).join(), 5);
}

TEST(RLockTest, IsFreeAgainAfterEachScope) {
  RLock lock;
  static_assert(!std::is_copy_constructible_v<RLock::Guard> && !std::is_move_constructible_v<RLock::Guard>);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(is_free(lock));
    const auto held = lock.enter();
    EXPECT_FALSE(is_free(lock));
  }
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockTest, AnExceptionLeavesIt) {
  RLock lock;
  const auto fail_inside = [&] {
    const auto held = lock.enter();
    throw std::runtime_error("inside");
  };
  EXPECT_THROW(fail_inside(), std::runtime_error);
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockTest, ItsHolderEntersAgainAndLeavesAsOften) {
  RLock lock;
  lock.acquire();
  lock.acquire();
  {
    const auto held = lock.enter();
    EXPECT_FALSE(is_free(lock));
  }
  lock.release();
  EXPECT_FALSE(is_free(lock));
  lock.release();
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockTest, WhoGetsItHandedOverHoldsItOnce) {
  RLock lock;
  lock.acquire();
  lock.acquire();
  auto visitor = spawn("visitor", [&] {
    lock.acquire();
    lock.release();
    EXPECT_TRUE(is_free(lock));
  });
  yield();
  lock.release();
  lock.release();
  visitor.join();
}

TEST(RLockTest, AnEntryThatNeedsNoWaitLetsNobodyRunAlsoWithAnExpiredLimit) {
  RLock lock;
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  {
    const auto first = lock.enter();
    const auto again = lock.enter(absl::ZeroDuration());
    const auto and_again = lock.enter(DONE);
  }
  {
    const auto expired = lock.enter(-absl::Hours(1));
  }
  EXPECT_FALSE(other_ran);
  other.join();
}

// --- who is next ---------------------------------------------------------------------------------------------------------------

TEST(RLockTest, IsHandedOverInTheOrderInWhichTheyCame) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto a = visitor_of(lock, visits, "a");
  auto b = visitor_of(lock, visits, "b");
  auto c = visitor_of(lock, visits, "c");
  yield();
  EXPECT_THAT(visits, IsEmpty());
  lock.release();
  a.join();
  b.join();
  c.join();
  EXPECT_THAT(visits, ElementsAre("a", "b", "c"));
}

// In cothread a holder that came again at once was in before the one it had woken.
TEST(RLockTest, WhoLeavesAndComesAgainIsBehindThoseWhoWait) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto a = visitor_of(lock, visits, "a");
  auto b = visitor_of(lock, visits, "b");
  yield();
  lock.release();
  EXPECT_EQ(what_of<Timedout>([&] { lock.acquire(absl::ZeroDuration()); }), "Timed out waiting for RLock");
  lock.acquire();
  visits.push_back("root");
  lock.release();
  a.join();
  b.join();
  EXPECT_THAT(visits, ElementsAre("a", "b", "root"));
}

TEST(RLockTest, AReleaseNeverLetsOthersRun) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto visitor = visitor_of(lock, visits, "visitor");
  yield();
  lock.release();
  EXPECT_THAT(visits, IsEmpty());
  visitor.join();
}

TEST(RLockTest, TheRootMayWait) {
  RLock lock;
  Names visits;
  auto visitor = visitor_of(lock, visits, "visitor");
  yield();
  const auto held = lock.enter();
  EXPECT_THAT(visits, ElementsAre("visitor"));
  visitor.join();
}

// --- who does not hold it ------------------------------------------------------------------------------------------------------

TEST(RLockTest, WhoDoesNotHoldItCannotReleaseIt) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto visitor = visitor_of(lock, visits, "visitor");
  auto thief = spawn("thief", [&] { return what_of<Misuse>([&] { lock.release(); }); });
  const std::string said = thief.join();
  EXPECT_THAT(said, HasSubstr("\"thief\" releases an RLock that \""));
  EXPECT_THAT(said, HasSubstr("\" holds: acquire it first"));
  yield();
  EXPECT_THAT(visits, IsEmpty());
  lock.release();
  visitor.join();
  EXPECT_THAT(visits, ElementsAre("visitor"));
}

TEST(RLockTest, WhatNobodyHoldsCannotBeReleased) {
  RLock lock;
  EXPECT_THAT(what_of<Misuse>([&] { lock.release(); }), HasSubstr("releases an RLock that nobody holds: acquire it first"));
  lock.acquire();
  lock.release();
  EXPECT_THROW(lock.release(), Misuse);
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockTest, WhoHandedItOverCannotReleaseItAgain) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto visitor = visitor_of(lock, visits, "visitor");
  yield();
  lock.release();
  EXPECT_THAT(what_of<Misuse>([&] { lock.release(); }), HasSubstr("releases an RLock that \"visitor\" holds"));
  visitor.join();
}

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST(RLockTest, TimesOutAtItsLimitAndNotBefore) {
  on_virtual_time([](VirtualClock& clock) {
    RLock lock;
    Names visits;
    lock.acquire();
    auto hasty = visitor_of(lock, visits, "hasty", absl::Seconds(1));
    auto patient = visitor_of(lock, visits, "patient");
    yield();
    clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(visits, IsEmpty());
    clock.advance(absl::Nanoseconds(1));
    yield();
    EXPECT_THAT(visits, ElementsAre("hasty: Timed out waiting for RLock"));
    lock.release();
    patient.join();
    EXPECT_THAT(visits, ElementsAre("hasty: Timed out waiting for RLock", "patient"));
    EXPECT_TRUE(is_free(lock));
  });
}

TEST(RLockTest, ASignalThatIsItsLimitStopsIt) {
  RLock lock;
  Names visits;
  lock.acquire();
  const Signal enough;
  auto visitor = visitor_of(lock, visits, "visitor", enough);
  yield();
  enough.go();
  visitor.join();
  EXPECT_THAT(visits, ElementsAre("visitor: Stopped waiting for RLock"));
  lock.release();
}

TEST(RLockTest, AnExpiredLimitStillLetsOthersRunOnce) {
  on_virtual_time([](VirtualClock&) {
    RLock lock;
    Event<> leave;
    auto holder = spawn("holder", [&] {
      const auto held = lock.enter();
      leave.wait();
    });
    yield();
    const auto times_out = [&](const Until& until) { EXPECT_THROW(lock.acquire(until), Timedout); };
    const auto is_stopped = [&](const Until& until) { EXPECT_THROW(lock.acquire(until), Stopped); };
    expect_one_round(times_out, absl::ZeroDuration());
    expect_one_round(times_out, -absl::Hours(1));
    expect_one_round(is_stopped, DONE);
    leave.signal();
    holder.join();
  });
}

TEST(RLockTest, WhoGotItBeforeTheTimersWereLookedAtHoldsItAlthoughItsTimeHasPassed) {
  on_virtual_time([](VirtualClock& clock) {
    RLock lock;
    Names visits;
    lock.acquire();
    auto visitor = visitor_of(lock, visits, "visitor", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(2));
    lock.release();
    visitor.join();
    EXPECT_THAT(visits, ElementsAre("visitor"));
  });
}

TEST(RLockTest, ItPassesOverWhoseTimerFiredFirst) {
  on_virtual_time([](VirtualClock& clock) {
    RLock lock;
    Names visits;
    Event<> leave;
    auto holder = spawn("holder", [&] {
      const auto held = lock.enter();
      leave.wait();
    });
    auto hasty = visitor_of(lock, visits, "hasty", absl::Seconds(1));
    auto patient = visitor_of(lock, visits, "patient");
    yield();
    leave.signal();
    clock.advance(absl::Seconds(1));
    patient.join();
    EXPECT_THAT(visits, ElementsAre("hasty: Timed out waiting for RLock", "patient"));
    holder.join();
    EXPECT_TRUE(is_free(lock));
  });
}

TEST(RLockTest, IsFreeWhenTheOnlyOneWhoWaitedTimedOut) {
  on_virtual_time([](VirtualClock& clock) {
    RLock lock;
    Names visits;
    lock.acquire();
    auto hasty = visitor_of(lock, visits, "hasty", absl::Seconds(1));
    yield();
    clock.advance(absl::Seconds(1));
    hasty.join();
    lock.release();
    EXPECT_TRUE(is_free(lock));
  });
}

// --- cancellation --------------------------------------------------------------------------------------------------------------

TEST(RLockTest, ACancelledWaiterDoesNotGetItAndLeavesNothingBehind) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto cancelled = spawn("cancelled", [&] {
    const auto held = lock.enter(absl::Hours(1));
    visits.push_back("cancelled");
  });
  auto patient = visitor_of(lock, visits, "patient");
  yield();
  cancelled.cancel();
  lock.release();
  EXPECT_THROW(cancelled.join(), WasCancelled);
  patient.join();
  EXPECT_THAT(visits, ElementsAre("patient"));
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockTest, WhoGotItBeforeItWasCancelledHoldsItAndLeaves) {
  RLock lock;
  Names visits;
  lock.acquire();
  auto cancelled = spawn("cancelled", [&] {
    const auto held = lock.enter();
    visits.push_back("cancelled");
    sleep(absl::Hours(1));
  });
  auto patient = visitor_of(lock, visits, "patient");
  yield();
  lock.release();
  cancelled.cancel();
  EXPECT_THROW(cancelled.join(), WasCancelled);
  patient.join();
  EXPECT_THAT(visits, ElementsAre("cancelled", "patient"));
}

TEST(RLockTest, ACancelledHolderLeaves) {
  RLock lock;
  auto holder = spawn("holder", [&] {
    const auto held = lock.enter();
    sleep(absl::Hours(1));
  });
  yield();
  EXPECT_FALSE(is_free(lock));
  EXPECT_THROW(holder.cancel().join(), WasCancelled);
  EXPECT_TRUE(is_free(lock));
}

// --- other threads, and its end ------------------------------------------------------------------------------------------------

TEST(RLockTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  RLock lock;
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "an RLock was used on another thread than its own";
  EXPECT_THAT(elsewhere([&] { lock.acquire(); }), HasSubstr(kRefusal));
  EXPECT_TRUE(is_free(lock));
  lock.acquire();
  EXPECT_THAT(elsewhere([&] { lock.acquire(absl::ZeroDuration()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { lock.release(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { spawn("fiber of another", [&] { lock.acquire(); }).join(); }), HasSubstr(kRefusal));
  EXPECT_FALSE(is_free(lock));
  lock.release();
  EXPECT_TRUE(is_free(lock));
}

TEST(RLockDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto lock = std::make_unique<RLock>();
        lock->acquire();
        auto waiter = spawn("waiter", [&] { lock->acquire(); });
        yield();
        lock.reset();
      },
      "an RLock was destroyed while a fiber waits for it");
}

TEST(RLockDeathTest, DestroyedWhileSomebodyHoldsItIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto lock = std::make_unique<RLock>();
        auto holder = spawn("holder", [&] {
          lock->acquire();
          sleep(absl::Hours(1));
        });
        yield();
        lock.reset();
      },
      "an RLock was destroyed while \"holder\" holds it");
}

// In cothread a lock that a dead one had kept was a new one's that lived at the same address.
TEST(RLockTest, WhatADeadFiberKeptIsNoNewFibers) {
  static RLock* const lock = new RLock;  // its destructor is fatal while it is held
  spawn("dead", [&] { lock->acquire(); }).join();
  EXPECT_THROW(spawn("new", [&] { lock->acquire(absl::ZeroDuration()); }).join(), Timedout);
  EXPECT_THROW(spawn("new", [&] { lock->release(); }).join(), mothreads::Misuse);
}

}  // namespace
}  // namespace cooperative
