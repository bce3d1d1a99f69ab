// Storms of fibers on several schedulers, which are started, stopped and cancelled at any moment; see fiber_storm.h.

#include <atomic>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/pulse.h"
#include "cooperative/rlock.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/stress/fiber_storm.h"
#include "tests/support/storm.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;
using mothreads::testing::Counted;

// Joins or not, whatever came out.
void join_somehow(Fiber<void>& fiber, Chance& chance) {
  try {
    if (chance.one_in(2)) {
      fiber.join(chance.moment());
    } else {
      fiber.stop().join();
    }
  } catch (const Timedout&) {
  } catch (const WasCancelled&) {
  } catch (const std::runtime_error&) {
  }
}

// --- spawn storms --------------------------------------------------------------------------------------------------------------

struct World {
  std::atomic<int> running{0};   // functions that have begun and not ended
  std::atomic<int> budget{400};  // so many fibers at most
};

void grow_until_cancelled(World& world, unsigned seed, int depth);

// What a fiber does: it starts others, rests, and drops, joins, releases, stops or cancels them, in any order.
void grow(World& world, unsigned seed, int depth, const Signal& please_stop) {
  constexpr int kMaxDepth = 5;
  const Counted counted(world.running);
  Chance chance(seed);
  std::vector<Fiber<void>> fibers;
  for (unsigned steps = 3 + chance.below(8); steps > 0; --steps) {
    const bool may_start = depth < kMaxDepth && world.budget.fetch_sub(1) > 0;
    switch (chance.below(10)) {
      case 0:
      case 1:
      case 2:
        if (may_start) fibers.push_back(spawn("growing", grow_until_cancelled, std::ref(world), chance.seed(), depth + 1));
        break;
      case 3:
        if (!may_start) break;
        fibers.push_back(spawn("polite", [&world, child = chance.seed(), depth](Signal its_stop) {
          grow(world, child, depth + 1, its_stop);
        }));
        break;
      case 4:
        if (!may_start) break;
        fibers.push_back(spawn({.name = "large", .stack_size = 16384u << chance.below(5)},
                               [&world, child = chance.seed(), depth] { grow_until_cancelled(world, child, depth + 1); }));
        break;
      case 5:
        if (!fibers.empty()) fibers.erase(fibers.begin() + chance.below(static_cast<unsigned>(fibers.size())));
        break;
      case 6:
        if (!fibers.empty()) join_somehow(fibers.front(), chance);
        if (!fibers.empty() && !fibers.front().owns()) fibers.erase(fibers.begin());
        break;
      case 7:
        if (fibers.empty()) break;
        fibers.back().release();
        fibers.pop_back();
        break;
      case 8:
        if (fibers.empty()) break;
        if (chance.one_in(2)) {
          fibers.back().cancel();
        } else {
          fibers.back().stop();
        }
        break;
      default:
        chance.rest();
    }
  }
  if (chance.one_in(6)) throw std::runtime_error("failed in the storm");
  if (chance.one_in(3)) static_cast<void>(please_stop.wait(absl::Hours(1)));
}

void grow_until_cancelled(World& world, unsigned seed, int depth) { grow(world, seed, depth, Signal()); }

TEST_F(FiberStressTest, TreesOfFibersGrowAndAreCutDown) {
  repeat([](Chance chance) {
    World world;
    ThreadGroup hosts("hosts");
    for (int i = 0; i < 3; ++i) {
      hosts.run("host", [&world, seed = chance.seed()](Signal) {
        Chance its(seed);
        std::vector<Fiber<void>> roots;
        for (int n = 0; n < 4; ++n) roots.push_back(spawn("root", grow_until_cancelled, std::ref(world), its.seed(), 0));
        for (int n = 0; n < 20; ++n) its.rest();
        for (auto& root : roots) join_somehow(root, its);
      });
    }
    if (chance.one_in(2)) {
      chance.dawdle();
      hosts.stop();
    }
    hosts.join();
    EXPECT_EQ(world.running, 0);
  });
}

// Many come and go at once, so that stacks and blocks go round.
TEST_F(FiberStressTest, ThousandsComeAndGo) {
  repeat([](Chance chance) {
    ThreadGroup hosts("hosts");
    for (int i = 0; i < 2; ++i) {
      hosts.run("host", [seed = chance.seed()](Signal) {
        Chance its(seed);
        Event<> gate(Reset::manual);
        const unsigned count = 1 + its.below(3000);
        unsigned through = 0;
        std::vector<Fiber<void>> fibers;
        for (unsigned n = 0; n < count; ++n) {
          fibers.push_back(spawn("one of many", [&, deep = its.one_in(3)] {
            gate.wait();
            if (deep) {
              volatile char much[24 * 1024];
              for (std::size_t at = 0; at < sizeof much; at += 1024) much[at] = 1;
              if (much[0] == 0) ++through;
            }
            ++through;
          }));
          if (its.one_in(50)) yield();
        }
        gate.signal();
        if (its.one_in(2)) sleep(its.moment());
        for (auto& fiber : fibers) fiber.join();
        EXPECT_EQ(through, count);
      });
    }
    hosts.join();
  });
}

// Threads with fibers are stopped at any moment of their lives.
TEST_F(FiberStressTest, ThreadsAreStoppedWithAllTheirFibers) {
  repeat([](Chance chance) {
    World world;
    for (int i = 0; i < 10; ++i) {
      auto host = Thread::run("host", [&world, seed = chance.seed()](Signal please_stop) {
        Chance its(seed);
        for (int n = 0; n < 5; ++n) spawn("root", grow_until_cancelled, std::ref(world), its.seed(), 3).release();
        auto waiting = spawn("waiting", [](Signal stop) { stop.wait(); });
        if (its.one_in(2)) its.rest();
        if (its.one_in(2)) please_stop.wait();
      });
      chance.dawdle();
      if (chance.one_in(2)) {
        host.stop().join();
      } else {
        host = {};
      }
    }
    EXPECT_EQ(world.running, 0);
  });
}

// --- cancellation storms -------------------------------------------------------------------------------------------------------

// Takers wait at everything there is while others cancel them. Whatever was put in comes out, once.
TEST_F(FiberStressTest, NobodyWhoIsCancelledTakesAnythingWithHim) {
  repeat([](Chance chance) {
    constexpr int kItems = 300;
    constexpr unsigned kTakers = 12;
    mothreads::Queue<int> queue("items", {.max = 1 + chance.below(20)});
    ThreadedEventQueue<int> threaded;
    ThreadGroup producers("producers");
    const auto produce = [&](auto add) {
      producers.run("producer", [add, seed = chance.seed()](Signal) {
        Chance its(seed);
        for (int i = 1; i <= kItems; ++i) {
          add(i);
          if (its.one_in(10)) its.dawdle();
        }
      });
    };
    produce([&](int item) { queue.add(item); });
    produce([&](int item) { threaded.signal(item); });

    Thread::run("host", [&, seed = chance.seed()](Signal) {
      Chance its(seed);
      EventQueue<int> local;
      Event<int> event;
      Pulse pulse;
      RLock rlock;
      mothreads::Lock lock("shared");
      const Signal never;
      std::int64_t taken = 0;
      int inside_rlock = 0;
      int inside_lock = 0;
      const auto take = [&](unsigned its_seed) {
        Chance mine(its_seed);
        while (true) {
          const mothreads::Until limit = mine.one_in(3) ? mothreads::Until() : mothreads::Until(mine.moment());
          try {
            switch (mine.below(9)) {
              case 0:
                if (auto item = queue.pop(limit)) taken += *item;
                break;
              case 1:
                if (auto item = threaded.next(limit)) taken += *item;
                break;
              case 2:
                if (auto item = local.next(limit)) taken += *item;
                break;
              case 3:
                taken += event.wait(limit);
                break;
              case 4: {
                const auto guard = rlock.enter(limit);
                EXPECT_EQ(inside_rlock++, 0);
                struct Leave {
                  int& inside;
                  ~Leave() { --inside; }
                } leave{inside_rlock};
                mine.rest();
                break;
              }
              case 5: {
                auto held = lock.enter();
                EXPECT_EQ(inside_lock++, 0);
                struct Leave {
                  int& inside;
                  ~Leave() { --inside; }
                } leave{inside_lock};
                mine.rest();
                break;
              }
              case 6:
                pulse.wait(limit);
                break;
              case 7:
                static_cast<void>(never.wait(mine.moment()));
                break;
              default:
                spawn("nested", [&] { mine.rest(); }).join(limit);
            }
          } catch (const Timedout&) {
          } catch (const Closed&) {
            yield();
          } catch (const WasCancelled&) {
          }
        }
      };
      std::vector<Fiber<void>> takers;
      for (unsigned i = 0; i < kTakers; ++i) takers.push_back(spawn("taker", take, its.seed()));
      std::int64_t events = 0;
      int put = 0;
      for (int turn = 0; turn < 400; ++turn) {
        its.rest();
        if (put < kItems) local.signal(++put);
        if (its.one_in(2)) pulse.signal();
        if (its.one_in(4) && !event) {
          event.signal(turn);
          events += turn;
        }
        if (!its.one_in(3)) continue;
        Fiber<void>& victim = takers[its.below(kTakers)];
        if (its.one_in(2)) yield();
        victim.cancel();
        if (its.one_in(2)) its.rest();
        if (its.one_in(2)) {
          EXPECT_THROW(victim.join(), WasCancelled);
        }
        victim = spawn("taker", take, its.seed());
      }
      while (put < kItems) local.signal(++put);
      takers.clear();
      // The producers may still wait for room.
      auto rest = spawn("rest", [&] {
        while (auto item = queue.pop()) taken += *item;
      });
      producers.join();
      queue.close();
      rest.join();
      while (threaded.size() > 0) taken += threaded.wait();
      while (!local.empty()) taken += local.wait();
      if (event) taken += event.wait();
      EXPECT_EQ(taken, std::int64_t{3} * kItems * (kItems + 1) / 2 + events);
      EXPECT_EQ(inside_rlock, 0);
      EXPECT_EQ(inside_lock, 0);
    }).join();
  });
}

}  // namespace
}  // namespace cooperative
