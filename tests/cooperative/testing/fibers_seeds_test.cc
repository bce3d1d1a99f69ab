// What the fibers of one scheduler do to one another while other threads come between them at random, over many interleavings. A
// failure names its seed: WORLD_SEED=42 replays it.

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/pulse.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/timer.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/cooperative/testing/wander.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Clock;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;

using Fibers = std::vector<Fiber<void>>;

void join(Fibers& fibers) {
  for (auto& fiber : fibers) {
    try {
      fiber.join();
    } catch (const WasCancelled&) {
    }
  }
}

// Runs the body in two threads of the world at a time: each disturbs the other.
template <typename F>
void run_twice(World& world, F&& body) {
  world.run([&] {
    auto other = Thread::run("other", [&](Signal) { body(); });
    body();
    other.join();
  });
}

TEST(FibersSeedsTest, AnEventGivesEachValueOnce) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      Event<int> event;
      std::vector<int> got;
      int expected = 0;
      Fibers fibers;
      for (int f = 0; f < 3; ++f) {
        fibers.push_back(spawn("waiter", [&] {
          while (true) {
            try {
              const int value = chance(world, 6) ? event.wait(some_time(world)) : event.wait();
              if (value < 0) {
                event.signal(value);
                return;
              }
              got.push_back(value);
            } catch (const Timedout&) {
            }
            wander(world);
          }
        }));
      }
      for (int i = 0; i < 10; ++i) {
        wander(world);
        if (!event) {  // a value that nobody waits for is replaced by the next
          event.signal(i);
          ++expected;
        }
        if (i == 5 && chance(world, 5)) fibers[0].cancel();
      }
      while (event) sleep(absl::Milliseconds(1));
      event.signal(-1);
      join(fibers);
      std::sort(got.begin(), got.end());
      EXPECT_EQ(got.size(), static_cast<std::size_t>(expected));
      EXPECT_EQ(std::adjacent_find(got.begin(), got.end()), got.end());
      event.reset();
    });
  });
}

TEST(FibersSeedsTest, AnEventQueueLosesNothingAndKeepsTheOrder) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      EventQueue<int> queue;
      std::vector<std::vector<int>> got(3);
      Fibers consumers;
      for (int c = 0; c < 3; ++c) {
        consumers.push_back(spawn("consumer", [&, c] {
          while (true) {
            try {
              got[c].push_back(chance(world, 6) ? queue.wait(some_time(world)) : queue.wait());
            } catch (const Timedout&) {
            } catch (const Closed&) {
              return;
            }
            wander(world);
          }
        }));
      }
      constexpr int kValues = 15;
      for (int i = 0; i < kValues; ++i) {
        EXPECT_TRUE(queue.signal(i));
        if (i == 7) consumers[0].cancel();
        wander(world);
      }
      queue.close();
      join(consumers);
      std::vector<int> all;
      for (const auto& each : got) {
        EXPECT_TRUE(std::is_sorted(each.begin(), each.end()));
        all.insert(all.end(), each.begin(), each.end());
      }
      std::sort(all.begin(), all.end());
      std::vector<int> expected(kValues);
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(all, expected);
    });
  });
}

TEST(FibersSeedsTest, AnRLockHasOneHolderAndForgetsNobody) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      RLock lock;
      int inside = 0;
      int entered = 0;
      Fibers fibers;
      for (int f = 0; f < 4; ++f) {
        fibers.push_back(spawn("fiber", [&] {
          for (int i = 0; i < 4; ++i) {
            const int depth = 1 + static_cast<int>(world.random(3));
            try {
              lock.acquire(chance(world, 5) ? some_time(world) : absl::InfiniteDuration());
            } catch (const Timedout&) {
              continue;
            }
            struct Leave {
              RLock& lock;
              int& inside;
              int depth = 1;
              ~Leave() {
                --inside;
                for (; depth > 0; --depth) lock.release();
              }
            } leave{lock, inside};
            EXPECT_EQ(++inside, 1);
            ++entered;
            for (; leave.depth < depth; ++leave.depth) lock.acquire();
            wander(world);
          }
        }));
      }
      wander(world);
      fibers[1].cancel();
      wander(world);
      join(fibers);
      EXPECT_EQ(inside, 0);
      EXPECT_GT(entered, 0);
      lock.acquire(absl::ZeroDuration());
      lock.release();
    });
  });
}

TEST(FibersSeedsTest, APulseWakesExactlyThoseWhoWait) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      Pulse pulse;
      int waiting = 0;
      int woken = 0;
      bool ended = false;
      Fibers fibers;
      for (int f = 0; f < 4; ++f) {
        fibers.push_back(spawn("waiter", [&] {
          while (!ended) {
            ++waiting;
            pulse.wait();
            ++woken;
            wander(world);
          }
        }));
      }
      int expected = 0;
      for (int i = 0; i < 6; ++i) {
        wander(world);
        if (chance(world, 5)) {
          expected += waiting;
          waiting = 0;
          pulse.signal();
        } else if (waiting > 0) {
          ++expected;
          --waiting;
          pulse.signal_one();
        }
      }
      ended = true;
      while (std::any_of(fibers.begin(), fibers.end(), [](const auto& fiber) { return fiber.is_alive(); })) {
        expected += waiting;
        waiting = 0;
        pulse.signal();
        sleep(absl::Milliseconds(1));
      }
      join(fibers);
      EXPECT_EQ(woken, expected);
    });
  });
}

TEST(FibersSeedsTest, TimersGoWhenTheyShould) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      const auto start = Clock::current().now();
      const auto milliseconds = [&] { return (Clock::current().now() - start) / std::chrono::milliseconds(1); };
      std::vector<std::int64_t> ticks;
      std::int64_t once_at = -1;
      int cancelled_ran = 0;
      {
        Timer slow(absl::Milliseconds(5), [&] { sleep(absl::Milliseconds(7)); }, {.repeat = TimerRepeat::after_each_call});
        Timer ticker(absl::Milliseconds(10), [&] { ticks.push_back(milliseconds()); }, {.repeat = TimerRepeat::at_fixed_rate});
        Timer once(absl::Milliseconds(25), [&] { once_at = milliseconds(); });
        Timer cancelled(absl::Milliseconds(25), [&] { ++cancelled_ran; });
        for (int i = 0; i < 4; ++i) wander(world);
        sleep(absl::Milliseconds(20) - (absl::FromChrono(Clock::current().now() - start)));
        cancelled.cancel();
        sleep(absl::Milliseconds(35));
      }
      EXPECT_EQ(ticks, (std::vector<std::int64_t>{10, 20, 30, 40, 50}));
      EXPECT_EQ(once_at, 25);
      EXPECT_EQ(cancelled_ran, 0);
    });
  });
}

TEST(FibersSeedsTest, JoinsStopsAndCancellationsEnd) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      int alive = 0;
      int begun = 0;
      struct Alive {
        int& count;
        explicit Alive(int& its_count) : count(++its_count) {}
        ~Alive() { --count; }
      };
      {
        Signal shared;
        Fibers fibers;
        for (int f = 0; f < 5; ++f) {
          const auto body = [&](Signal please_stop) {
            const Alive alive_here(alive);
            ++begun;
            auto child = spawn("child", [&] {
              const Alive child_alive(alive);
              static_cast<void>(shared.wait(some_time(world) + absl::Milliseconds(1)));
              wander(world);
            });
            wander(world);
            if (chance(world, 3)) throw std::runtime_error("as it happens");
            if (chance(world, 5)) child.join();
            static_cast<void>(shared.wait(please_stop | some_time(world)));
          };
          fibers.push_back(spawn("fiber", body));
        }
        wander(world);
        for (auto& fiber : fibers) {
          switch (world.random(4)) {
            case 0:
              fiber.stop();
              break;
            case 1:
              fiber.cancel();
              break;
            case 2:
              shared.go();
              break;
            default:
              break;
          }
          wander(world);
        }
        for (auto& fiber : fibers) {
          try {
            fiber.join();
          } catch (const std::runtime_error&) {  // WasCancelled, too
          }
        }
        EXPECT_EQ(alive, 0);
      }
      EXPECT_LE(begun, 5);
    });
  });
}

TEST(FibersSeedsTest, SleepersWakeInTheOrderOfTheirTimes) {
  for_many_seeds([](World& world) {
    run_twice(world, [&] {
      const auto start = Clock::current().now();
      std::vector<std::int64_t> wakes;
      Fibers fibers;
      for (int f = 0; f < 6; ++f) {
        const auto time = std::chrono::milliseconds(world.random(4));
        fibers.push_back(spawn("sleeper", [&, time] {
          sleep_until(start + time);
          EXPECT_GE(Clock::current().now(), start + time);
          wakes.push_back(time.count());
        }));
      }
      if (chance(world, 5)) Till(absl::Milliseconds(2)).wait();
      join(fibers);
      EXPECT_TRUE(std::is_sorted(wakes.begin(), wakes.end()));
      EXPECT_EQ(wakes.size(), 6u);
    });
  });
}

}  // namespace
}  // namespace cooperative::testing
