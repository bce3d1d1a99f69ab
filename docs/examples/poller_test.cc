// A test of one's own program, on a clock and an order of its own.

#include <string>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/timer.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace co = cooperative;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;

namespace {

class Poller {
 public:
  explicit Poller(absl::Duration period) : timer_(period, [this] { ++attempts_; }, {.repeat = co::TimerRepeat::at_fixed_rate}) {}
  int attempts() const { return attempts_; }

 private:
  int attempts_ = 0;
  co::Timer timer_;
};

}  // namespace

// [world]
TEST(Poller, AsksEveryTenSeconds) {
  co::testing::World world({.seed = 42});                     // virtual clock; same seed, same order
  world.run([] {
    Poller p(absl::Seconds(10));
    co::sleep(absl::Minutes(60) + absl::Seconds(5));          // takes no time
    EXPECT_EQ(p.attempts(), 360);
  });
}
// [/world]

// [seeds]
TEST(Pipeline, LosesNothing) {
  co::testing::for_each_seed(200, [](co::testing::World& world) {
    int sum = 0;
    world.run([&] {
      Queue<int> queue("numbers", {.max = 2});
      auto adder = Thread::run("adder", [&](Signal) {         // no OS thread: one of the world's
        while (auto number = queue.pop()) {
          const int before = sum;
          world.interrupt();                                  // where real threads might be
          sum = before + *number;
        }
      });
      for (int i = 1; i <= 10; ++i) {
        queue.add(i);
        co::sleep(absl::Milliseconds(world.random(3)));       // from the seed, too
      }
      queue.close();
      adder.join();
    });
    EXPECT_EQ(sum, 55);
  });
}
// [/seeds]
