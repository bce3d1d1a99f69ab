// Fibers that begin inside spawn().

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/lock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Lock;
using mothreads::Signal;
using mothreads::Thread;
using ::testing::ElementsAre;
using ::testing::SizeIs;

using Names = std::vector<std::string>;

FiberOptions at_once(const char* name) { return {.name = name, .start = Start::at_once}; }

TEST(SpawnAtOnceTest, ItRunsInsideSpawn) {
  bool ran = false;
  auto fiber = spawn(at_once("now"), [&] {
    EXPECT_EQ(current_name(), "now");
    ran = true;
    return 7;
  });
  EXPECT_TRUE(ran);
  EXPECT_FALSE(fiber.is_alive());
  EXPECT_EQ(fiber.join(), 7);
}

TEST(SpawnAtOnceTest, WhenItWaitsItsMakerGoesOnBeforeAnybodyElse) {
  Names order;
  auto other = spawn("other", [&] { order.push_back("other"); });
  auto maker = spawn("maker", [&] {
    auto ready = spawn("ready", [&] { order.push_back("ready"); });
    order.push_back("before");
    auto child = spawn(at_once("child"), [&] {
      order.push_back("child");
      yield();
      order.push_back("child again");
    });
    order.push_back("maker");
    ready.join();
    child.join();
  });
  auto third = spawn("third", [&] { order.push_back("third"); });
  other.join();
  maker.join();
  third.join();
  EXPECT_THAT(order, ElementsAre("other", "before", "child", "maker", "third", "ready", "child again"));
}

TEST(SpawnAtOnceTest, TheyNest) {
  std::string path;
  const std::function<void(int)> go_down = [&](int levels) {
    path += '(';
    if (levels > 0) spawn(at_once("inner"), go_down, levels - 1).join();
    path += ')';
  };
  spawn(at_once("outer"), go_down, 3).join();
  EXPECT_EQ(path, "(((())))");
}

TEST(SpawnAtOnceTest, OneThatWaitsInTheMiddleLetsAllItsMakersGoOn) {
  Names order;
  Event<> go_on;
  auto outer = spawn(at_once("outer"), [&] {
    auto inner = spawn(at_once("inner"), [&] {
      go_on.wait();
      order.push_back("inner");
    });
    order.push_back("outer");
    inner.join();
  });
  order.push_back("maker");
  go_on.signal();
  outer.join();
  EXPECT_THAT(order, ElementsAre("outer", "maker", "inner"));
}

TEST(SpawnAtOnceTest, WhatItThrowsIsKeptForTheJoin) {
  auto fiber = spawn(at_once("failing"), [] { throw std::runtime_error("spilled"); });
  EXPECT_THROW(fiber.join(), std::runtime_error);
}

TEST(SpawnAtOnceTest, AFailureThatNobodyTakesIsLogged) {
  mothreads::testing::LogLines lines;
  Thread::run("host", [](Signal) { spawn(at_once("failing"), [] { throw std::runtime_error("spilled"); }).release(); }).join();
  EXPECT_THAT(lines.with("spilled"), SizeIs(1));
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
}

// Each has its own state of exceptions.
TEST(SpawnAtOnceTest, InAHandlerOfItsMaker) {
  try {
    throw std::runtime_error("the maker's");
  } catch (const std::runtime_error&) {
    auto fiber = spawn(at_once("child"), [] {
      EXPECT_EQ(std::current_exception(), nullptr);
      try {
        throw std::logic_error("the child's");
      } catch (const std::logic_error&) {
        yield();
        EXPECT_THROW(throw, std::logic_error);
      }
    });
    EXPECT_THROW(throw, std::runtime_error);
    fiber.join();
  }
}

TEST(SpawnAtOnceTest, AMakerThatItsChildCancelsIsUnwoundFromItsNextWait) {
  Names order;
  Fiber<void> maker;
  maker = spawn("maker", [&] {
    auto child = spawn(at_once("child"), [&] { maker.cancel(); });
    order.push_back("goes on");
    yield();
    order.push_back("not reached");
  });
  EXPECT_THROW(maker.join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("goes on"));
}

TEST(SpawnAtOnceTest, UnderAParentThatEndsItDoesNotBegin) {
  bool began = false;
  Event<> go_on;
  Fiber<void> parent;
  parent = spawn("parent", [&] { spawn({.name = "child", .parent = parent}, [&](Signal) { go_on.wait(); }).release(); });
  yield();
  yield();  // its function has ended, and it waits for its child
  auto late = spawn({.name = "late", .parent = parent, .start = Start::at_once}, [&] { began = true; });
  EXPECT_THROW(late.join(), WasCancelled);
  EXPECT_FALSE(began);
  go_on.signal();
  parent.join();
}

TEST(SpawnAtOnceTest, WithoutAStackItFailsInSpawnAndSaysSoInJoin) {
  auto fiber = spawn({.name = "huge", .stack_size = std::size_t{1} << 60, .start = Start::at_once}, [] {});
  EXPECT_FALSE(fiber.is_alive());
  EXPECT_THROW(fiber.join(), NoStack);
}

TEST(SpawnAtOnceTest, OnAThreadThatHadNoScheduler) {
  Thread::run("fresh", [](Signal) {
    int ran = 0;
    auto fiber = spawn(at_once("first"), [&] {
      ++ran;
      yield();
      ++ran;
    });
    EXPECT_EQ(ran, 1);
    fiber.join();
    EXPECT_EQ(ran, 2);
  }).join();
}

TEST(SpawnAtOnceTest, AMillionOfThemTakeNoMoreThanAFewStacks) {
  const std::function<std::int64_t(std::int64_t, std::int64_t)> sum = [&](std::int64_t first, std::int64_t leaves) -> std::int64_t {
    if (leaves == 1) return first;
    std::vector<Fiber<std::int64_t>> children;
    for (int i = 0; i < 10; ++i) children.push_back(spawn(at_once("branch"), sum, first + i * (leaves / 10), leaves / 10));
    std::int64_t total = 0;
    for (auto& child : children) total += child.join();
    return total;
  };
  // AddressSanitizer poisons each stack anew, which takes 60 µs.
  constexpr std::int64_t kLeaves = mothreads::testing::kSanitized ? 10'000 : 1'000'000;
  Scheduler::current().set_options({.max_fibers = 100});  // ten on each of six levels
  EXPECT_EQ(sum(0, kLeaves), kLeaves * (kLeaves - 1) / 2);
  Scheduler::current().set_options({.max_fibers = internal::kDefaultMaxFibers});
}

// Threads that begin fibers at once, which wait for each other's locks: whoever is interrupted there, the maker goes on after its child.
TEST(SpawnAtOnceSeedsTest, TheMakerGoesOnNextAlsoWhenOtherThreadsRunBetween) {
  testing::for_each_seed(200, [](testing::World& world) {
    world.run([&](Signal) {
      Lock lock;
      int held = 0;
      std::vector<mothreads::ThreadHandle<void>> threads;
      for (int number = 0; number < 3; ++number) {
        threads.push_back(Thread::run("maker", [&](Signal) {
          for (int i = 0; i < 5; ++i) {
            bool waits = false;
            auto rival = spawn("rival", [&] { EXPECT_FALSE(waits); });
            waits = true;
            auto child = spawn(at_once("child"), [&] {
              world.interrupt();
              ++held;
              world.interrupt();
              const std::lock_guard guard(lock);
              world.interrupt();
            });
            waits = false;  // before the rival has had its turn
            rival.join();
            child.join();
          }
        }));
      }
      for (auto& thread : threads) thread.join();
      EXPECT_EQ(held, 15);
    });
  });
}

}  // namespace
}  // namespace cooperative
