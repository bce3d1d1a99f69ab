// Waits for several things, groups, and functions that are given up, over many interleavings with threads that feed them. A failure
// names its seed: WORLD_SEED=42 replays it.

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/in_parallel.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/wait_for.h"
#include "cooperative/with_timeout.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/testing/wander.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Signal;
using mothreads::Thread;

constexpr int kEach = 8;

// How many of something there are at the moment.
struct Alive {
  int& count;
  explicit Alive(int& its_count) : count(++its_count) {}
  ~Alive() { --count; }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
};

// Two sources: odd values from a fiber, even ones from another thread.
class Sources {
 public:
  explicit Sources(World& world)
      : thread_(Thread::run("feeder", [&, this](Signal) {
          for (int i = 0; i < kEach; ++i) {
            events.signal(2 * i);
            wander(world);
          }
        })),
        fiber_(spawn("feeder", [&, this] {
          for (int i = 0; i < kEach; ++i) {
            queue.signal(2 * i + 1);
            wander(world);
          }
        })) {}

  void note(int value) { values_.push_back(value); }
  void await_feeders() {
    thread_.join();
    fiber_.join();
  }
  void expect_each_once() {
    while (queue.size() > 0) note(queue.wait());
    while (events.size() > 0) note(events.wait());
    std::sort(values_.begin(), values_.end());
    EXPECT_EQ(values_.size(), static_cast<std::size_t>(2 * kEach));
    EXPECT_EQ(std::adjacent_find(values_.begin(), values_.end()), values_.end());
  }

  EventQueue<int> queue;
  ThreadedEventQueue<int> events;

 private:
  std::vector<int> values_;
  mothreads::ThreadHandle<void> thread_;
  Fiber<void> fiber_;
};

TEST(WaitsSeedsTest, WaitAnyTakesFromOneSourceAlone) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Sources sources(world);
      Signal enough;
      std::vector<Fiber<void>> fibers;
      for (int f = 0; f < 3; ++f) {
        fibers.push_back(spawn("taker", [&] {
          while (!enough) {
            try {
              const auto first = wait_for_any(std::tie(sources.queue, sources.events, enough),
                                          chance(world, 5) ? some_time(world) : absl::InfiniteDuration());
              if (first.index() == 0) sources.note(std::get<0>(first));
              if (first.index() == 1) sources.note(std::get<1>(first));
            } catch (const Timedout&) {
            }
            wander(world);
          }
        }));
      }
      sleep(some_time(world));
      fibers[0].cancel();
      sources.await_feeders();
      wander(world);
      enough.go();
      for (auto& fiber : fibers) {
        try {
          fiber.join();
        } catch (const WasCancelled&) {
        }
      }
      sources.expect_each_once();
    });
  });
}

TEST(WaitsSeedsTest, WaitForAllTakesAllOrNothing) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Sources sources(world);
      bool enough = false;
      std::vector<Fiber<void>> fibers;
      for (int f = 0; f < 2; ++f) {
        fibers.push_back(spawn("taker", [&] {
          while (!enough) {
            try {
              const auto [odd, even] = wait_for_all(std::tie(sources.queue, sources.events), some_time(world));
              EXPECT_EQ(odd % 2, 1);
              EXPECT_EQ(even % 2, 0);
              sources.note(odd);
              sources.note(even);
            } catch (const Timedout&) {
            }
            wander(world);
            sleep(absl::Milliseconds(1));
          }
        }));
      }
      sleep(some_time(world));
      fibers[0].cancel();
      sources.await_feeders();
      wander(world);
      enough = true;
      for (auto& fiber : fibers) {
        try {
          fiber.join();
        } catch (const WasCancelled&) {
        }
      }
      sources.expect_each_once();
    });
  });
}

TEST(WaitsSeedsTest, AGroupEndsWithAllOfItsMembers) {
  for_many_seeds([](World& world) {
    int alive = 0;
    world.run([&] {
      Signal go;
      auto other = Thread::run("other", [&](Signal) {
        sleep(some_time(world));
        go.go();
      });
      int threw = 0;
      std::size_t reported = 0;
      {
        FiberGroup group({.name = "group", .stop_in_turn = chance(world, 5), .fail_fast = chance(world, 3)});
        for (int m = 0; m < 5; ++m) {
          group.spawn("member", [&](Signal please_stop) {
            const Alive here(alive);
            auto child = spawn("child", [&] {
              const Alive child_here(alive);
              go.wait();
            });
            wander(world);
            if (chance(world, 3)) child.release();
            static_cast<void>(go.wait(please_stop | some_time(world)));
            if (chance(world, 2)) {
              ++threw;
              throw std::runtime_error("as it happens");
            }
          });
          wander(world);
        }
        if (chance(world, 4)) group.stop();
        bool joined = false;
        while (!joined) {
          try {
            group.join(chance(world, 5) ? some_time(world) : absl::InfiniteDuration());
            joined = true;
          } catch (const FibersFailed& failed) {
            reported += failed.ends().size();
          } catch (const Timedout&) {
          }
        }
        EXPECT_EQ(group.size(), 0u);
        EXPECT_EQ(alive, 0);
        EXPECT_EQ(reported, static_cast<std::size_t>(threw));
      }
      other.join();
    });
  });
}

TEST(WaitsSeedsTest, FunctionsThatAreGivenUpHaveEnded) {
  for_many_seeds([](World& world) {
    world.run([&] {
      int alive = 0;
      Signal go;
      auto other = Thread::run("other", [&](Signal) {
        sleep(some_time(world));
        go.go();
      });
      const auto part = [&](int result, bool throws) {
        const Alive here(alive);
        wander(world);
        if (chance(world, 5)) go.wait();
        if (throws) throw std::runtime_error("as it happens");
        sleep(some_time(world));
        return result;
      };
      const auto both = [&](bool throws) {
        const auto [one, two] = in_parallel([&] { return part(1, throws); }, [&] { return part(2, false); });
        EXPECT_EQ(one, 1);
        EXPECT_EQ(two, 2);
        EXPECT_FALSE(throws);
      };
      for (int i = 0; i < 4; ++i) {
        try {
          with_timeout(some_time(world) + absl::Milliseconds(1), [&] { both(false); });
        } catch (const Timedout&) {
        }
        EXPECT_EQ(alive, 0);
        const bool throws = chance(world, 5);
        try {
          both(throws);
        } catch (const std::runtime_error&) {
          EXPECT_TRUE(throws);
        }
        EXPECT_EQ(alive, 0);
        wander(world);
      }
      other.join();
    });
  });
}

}  // namespace
}  // namespace cooperative::testing
