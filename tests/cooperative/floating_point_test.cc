// How floating-point numbers are computed belongs to the fiber, and begins as its maker's, as a thread's does ([cfenv.syn], C11 7.6).

#include <cfenv>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/timer.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using ::testing::ElementsAre;

// The rounding mode of both units: 1/3 by SSE, and 1/3 by the x87.
bool rounds_upward() {
  volatile double one = 1, three = 3;
  volatile long double long_one = 1, long_three = 3;
  const bool sse = (one / three) * three > 1 || one / three > 0.33333333333333331;
  const bool x87 = (long_one / long_three) * long_three > 1;
  EXPECT_EQ(sse, std::fegetround() == FE_UPWARD);
  EXPECT_EQ(x87, sse);
  return sse;
}

class Rounding {
 public:
  explicit Rounding(int mode) : before_(std::fegetround()) { std::fesetround(mode); }
  ~Rounding() { std::fesetround(before_); }

 private:
  const int before_;
};

TEST(FloatingPointTest, AFiberBeginsAsItsMakerComputes) {
  const Rounding upward(FE_UPWARD);
  bool in_thread = false;
  Thread::run("thread", [&](Signal) { in_thread = rounds_upward(); }).join();
  EXPECT_TRUE(in_thread);
  EXPECT_TRUE(rounds_upward());
  EXPECT_TRUE(spawn("fiber", rounds_upward).join());
  EXPECT_TRUE(spawn({.name = "at once", .start = Start::at_once}, rounds_upward).join());
  EXPECT_THAT(std::get<0>(in_parallel(rounds_upward)), true);
}

// Not as whoever happened to run when it got its stack, or had that stack before.
TEST(FloatingPointTest, WhatCountsIsTheMomentWhenItWasMade) {
  std::vector<bool> upward;
  Fiber<void> second;
  {
    const Rounding mode(FE_UPWARD);
    second = spawn("second", [&] { upward.push_back(rounds_upward()); });
  }
  auto third = spawn("third", [&] {
    upward.push_back(rounds_upward());
    std::fesetround(FE_UPWARD);  // and ends so
  });
  auto fourth = spawn("fourth", [&] { upward.push_back(rounds_upward()); });
  second.join();
  third.join();
  fourth.join();
  EXPECT_THAT(upward, ElementsAre(true, false, false));
  EXPECT_FALSE(rounds_upward());
}

TEST(FloatingPointTest, EachKeepsItsOwnAcrossWaits) {
  auto fiber = spawn("upward", [] {
    std::fesetround(FE_UPWARD);
    yield();
    return rounds_upward();
  });
  yield();
  EXPECT_FALSE(rounds_upward());
  EXPECT_TRUE(fiber.join());
}

// Callbacks and timers are nobody's: they compute as the thread did when its scheduler was made.
TEST(FloatingPointTest, CallbacksAndTimersComputeAsTheThread) {
  Thread::run("host", [](Signal) {
    Scheduler here = Scheduler::current();
    std::vector<bool> upward;
    const Rounding mode(FE_UPWARD);
    Event<> done;
    Timer timer(absl::ZeroDuration(), [&] {
      upward.push_back(rounds_upward());
      done.signal();
    });
    done.wait();
    here.callback([&] {
      upward.push_back(rounds_upward());
      done.signal();
    });
    done.wait();
    EXPECT_THAT(upward, ElementsAre(false, false));
  }).join();
}

}  // namespace
}  // namespace cooperative
