#include "cooperative/blocking_pool.h"

#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
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
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(BlockingPoolTest, GivesTheResultOrThrowsWhatItThrew) {
  BlockingPool pool("pool");
  EXPECT_EQ(*pool.call([] { return std::make_unique<int>(7); }), 7);
  EXPECT_THROW(pool.call([] { throw std::out_of_range("too far"); }), std::out_of_range);
  EXPECT_EQ(pool.threads(), 1u);
}

TEST(BlockingPoolTest, OnlyTheFiberThatCallsWaits) {
  BlockingPool pool("pool");
  Signal other_ran;
  std::string where;
  auto caller = spawn("caller", [&] {
    return pool.call([&] {
      where = Thread::current().name();
      other_ran.wait();
      return 1;
    });
  });
  auto other = spawn("other", [&] { other_ran.go(); });
  EXPECT_EQ(caller.join(), 1);
  EXPECT_EQ(where, "pool 1");
}

TEST(BlockingPoolTest, AThreadMayCallIt) {
  BlockingPool pool("pool");
  auto thread = Thread::run("thread", [&](Signal) { return pool.call([] { return 2; }); });
  EXPECT_EQ(thread.join(), 2);
}

TEST(BlockingPoolTest, StartsAThreadWhereNoneIsIdleUpToTheLimit) {
  BlockingPool pool("pool", {.threads = 2});
  EXPECT_EQ(pool.threads(), 0u);
  Signal go_on;
  std::atomic<int> running{0};
  std::vector<Fiber<void>> callers;
  for (int i = 0; i < 3; ++i) {
    callers.push_back(spawn("caller", [&] {
      pool.call([&] {
        ++running;
        go_on.wait();
      });
    }));
  }
  yield();
  EXPECT_EQ(pool.threads(), 2u);
  mothreads::testing::await([&] { return running == 2 && pool.waiting() == 1; });
  go_on.go();
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(running, 3);
  EXPECT_EQ(pool.threads(), 2u);
}

// A pool of one thread, which is busy until it is let go.
class BusyPool {
 public:
  explicit BusyPool(std::size_t max_waiting = 1000) : pool_("busy", {.threads = 1, .max_waiting = max_waiting}) { begun_.wait(); }
  BlockingPool* operator->() { return &pool_; }
  void let_go() {
    go_on_.go();
    holder_.join();
  }

 private:
  Signal begun_;
  Signal go_on_;
  BlockingPool pool_;
  Fiber<void> holder_ = spawn("holder", [this] {
    pool_.call([this] {
      begun_.go();
      go_on_.wait();
    });
  });
};

TEST(BlockingPoolTest, CallsWithoutAThreadComeInOrder) {
  BusyPool pool;
  std::vector<int> order;
  std::vector<Fiber<void>> callers;
  for (int i = 0; i < 3; ++i) {
    callers.push_back(spawn("caller", [&, i] { pool->call([&, i] { order.push_back(i); }); }));
  }
  yield();
  EXPECT_EQ(pool->waiting(), 3u);
  pool.let_go();
  for (auto& caller : callers) caller.join();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST(BlockingPoolTest, MoreThanMayWaitWaitForRoomInOrder) {
  BusyPool pool(2);
  std::vector<int> order;
  std::vector<Fiber<void>> callers;
  for (int i = 0; i < 5; ++i) {
    callers.push_back(spawn("caller", [&, i] { pool->call([&, i] { order.push_back(i); }); }));
  }
  yield();
  EXPECT_EQ(pool->waiting(), 2u);
  EXPECT_THROW(pool->call([] { FAIL() << "there was no room"; }, absl::ZeroDuration()), Timedout);
  pool.let_go();
  for (auto& caller : callers) caller.join();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
}

TEST(BlockingPoolTest, ACallThatHasNotBegunIsWithdrawnAtItsLimit) {
  BusyPool pool;
  EXPECT_THROW(pool->call([] { FAIL() << "it was withdrawn"; }, absl::ZeroDuration()), Timedout);
  EXPECT_EQ(pool->waiting(), 0u);
  pool.let_go();
  EXPECT_EQ(pool->call([] { return 1; }), 1);
}

TEST(BlockingPoolTest, OneThatHasBegunIsAskedToStopAndAwaited) {
  BlockingPool pool("pool");
  Signal begun;
  bool ended = false;
  EXPECT_THROW(pool.call(
                   [&](const Signal& please_stop) {
                     begun.go();
                     please_stop.wait();
                     ended = true;
                   },
                   begun),
               Stopped);
  EXPECT_TRUE(ended);
}

TEST(BlockingPoolTest, OneThatTakesNoPleaseStopIsAwaited) {
  BlockingPool pool("pool");
  Signal begun;
  Signal go_on;
  bool ended = false;
  auto caller = spawn("caller", [&] {
    pool.call(
        [&] {
          begun.go();
          go_on.wait();
          ended = true;
        },
        begun);
  });
  begun.wait();
  yield_until_idle();
  EXPECT_TRUE(caller.is_alive());
  go_on.go();
  EXPECT_THROW(caller.join(), Stopped);
  EXPECT_TRUE(ended);
}

TEST(BlockingPoolTest, WhatItThrowsAfterItsCallerGaveUpIsLogged) {
  LogLines lines;
  BlockingPool pool("pool");
  Signal begun;
  EXPECT_THROW(pool.call(
                   [&](const Signal& please_stop) {
                     begun.go();
                     please_stop.wait();
                     throw std::runtime_error("spilled");
                   },
                   begun),
               Stopped);
  const auto found = lines.with("failed after its caller had given up");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].text, HasSubstr("spilled"));
}

TEST(BlockingPoolTest, ACancelledCallerWaitsUntilTheFunctionIsOutOfTheWay) {
  BlockingPool pool("pool");
  Signal begun;
  bool ended = false;
  auto caller = spawn("caller", [&] {
    pool.call([&](const Signal& please_stop) {
      begun.go();
      please_stop.wait();
      ended = true;
    });
  });
  begun.wait();
  EXPECT_THROW(caller.cancel().join(), WasCancelled);
  EXPECT_TRUE(ended);
}

TEST(BlockingPoolTest, StopLetsWhatRunsFinishAndWithdrawsTheRest) {
  BusyPool pool;
  auto waiting = spawn("waiting", [&] { pool->call([] { FAIL() << "it was withdrawn"; }); });
  yield();
  pool->stop();
  EXPECT_THROW(waiting.join(), Closed);
  EXPECT_THROW(pool->call([] {}), Closed);
  pool.let_go();
}

TEST(BlockingPoolTest, StopWakesWhoWaitsForRoom) {
  BusyPool pool(1);
  auto waiting = spawn("waiting", [&] { pool->call([] { FAIL() << "it was withdrawn"; }); });
  auto for_room = spawn("for room", [&] { pool->call([] { FAIL() << "it was withdrawn"; }); });
  yield();
  pool->stop();
  EXPECT_THROW(waiting.join(), Closed);
  EXPECT_THROW(for_room.join(), Closed);
  pool.let_go();
}

TEST(BlockingPoolTest, StopRaisesThePleaseStopOfWhatRuns) {
  BlockingPool pool("pool");
  Signal begun;
  auto caller = spawn("caller", [&] {
    return pool.call([&](const Signal& please_stop) {
      begun.go();
      please_stop.wait();
      return 3;
    });
  });
  begun.wait();
  EXPECT_EQ(&pool.stop(), &pool);
  EXPECT_EQ(caller.join(), 3);
}

TEST(BlockingPoolTest, ItsEndWaitsForWhatRuns) {
  std::optional<BlockingPool> pool;
  pool.emplace("pool");
  Signal begun;
  Signal go_on;
  auto caller = spawn("caller", [&] {
    return pool->call([&] {
      begun.go();
      go_on.wait();
      return 4;
    });
  });
  begun.wait();
  auto destroyer = spawn("destroyer", [&] { pool.reset(); });
  yield_until_idle();
  EXPECT_TRUE(destroyer.is_alive());
  go_on.go();
  EXPECT_EQ(caller.join(), 4);
  destroyer.join();
}

TEST(BlockingPoolTest, TheShutdownTreeStopsIt) {
  Signal ready;
  auto owner = Thread::run("owner", [&](Signal please_stop) {
    BlockingPool pool("pool", {.threads = 1});
    Signal begun;
    auto running = spawn("running", [&](Signal) {
      return pool.call([&](const Signal& stop) {
        begun.go();
        stop.wait();
        return 5;
      });
    });
    begun.wait();
    auto waiting = spawn("waiting", [&](Signal) { pool.call([] { FAIL() << "it was withdrawn"; }); });
    yield();
    ready.go();
    please_stop.wait();
    EXPECT_EQ(running.join(), 5);
    EXPECT_THROW(waiting.join(), Closed);
    EXPECT_THROW(pool.call([] {}), Closed);
  });
  ready.wait();
  owner.stop().join();
}

TEST(BlockingPoolTest, ACallFromInsideIsMisuse) {
  BlockingPool pool("pool", {.threads = 1});
  BlockingPool other("other");
  EXPECT_THROW(pool.call([&] { pool.call([] {}); }), Misuse);
  EXPECT_EQ(pool.call([&] { return other.call([] { return 6; }); }), 6);
}

TEST(BlockingPoolTest, NoThreadsAndNoRoomAreMisuse) {
  EXPECT_THROW(static_cast<void>(BlockingPool("pool", {.threads = 0})), Misuse);
  EXPECT_THROW(static_cast<void>(BlockingPool("pool", {.max_waiting = 0})), Misuse);
}

TEST(BlockingPoolTest, ManyCallersOfBothKindsLoseNothing) {
  BlockingPool pool("pool", {.threads = 3, .max_waiting = 4});
  constexpr int kEach = 300;
  std::atomic<int> ran{0};
  std::vector<mothreads::ThreadHandle<void>> threads;
  std::vector<Fiber<void>> fibers;
  const auto call_often = [&] {
    for (int i = 0; i < kEach; ++i) {
      if (i % 3 == 0) {
        try {
          pool.call([&] { ++ran; }, absl::ZeroDuration());
        } catch (const Timedout&) {
          pool.call([] {});
        }
      } else {
        EXPECT_EQ(pool.call([i] { return i; }), i);
      }
    }
  };
  for (int i = 0; i < 2; ++i) threads.push_back(Thread::run("thread", [&](Signal) { call_often(); }));
  for (int i = 0; i < 6; ++i) fibers.push_back(spawn("fiber", call_often));
  for (auto& fiber : fibers) fiber.join();
  mothreads::join_all(threads);
  EXPECT_EQ(pool.waiting(), 0u);
  EXPECT_LE(ran, 8 * kEach / 3);
}

// The sanitizers' own memory does not fit such a limit.
#ifndef MOTHREADS_TESTS_SANITIZED

// All who call at the time; later, with memory again, threads can be had.
void call_without_memory_for_a_thread() {
  BlockingPool pool("pool", {.threads = 2});
  Event<> go_on(Reset::manual);
  int failed = 0;
  std::vector<Fiber<void>> callers;
  for (int i = 0; i < 5; ++i) {
    callers.push_back(spawn("caller", [&] {
      go_on.wait();
      try {
        pool.call([] {});
      } catch (const std::system_error& refused) {
        ++failed;
        std::fprintf(stderr, "%s\n", refused.what());
      }
    }));
  }
  yield();  // they have their stacks
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_AS, &none);
  go_on.signal();
  for (auto& caller : callers) caller.join();
  setrlimit(RLIMIT_AS, &limit);
  const bool works = pool.call([] { return true; });
  std::fprintf(stderr, "%d failed, and then it works: %d\n", failed, works);
  std::_Exit(0);
}

TEST(BlockingPoolDeathTest, WithoutAThreadTheCallsFailAndLaterOnesWork) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(call_without_memory_for_a_thread(), ::testing::ExitedWithCode(0),
              "cannot start thread \"pool 1\"(.|\n)*5 failed, and then it works: 1");
}

#endif

}  // namespace
}  // namespace cooperative
