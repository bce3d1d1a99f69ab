// Storms of fibers on several schedulers, with threads among them. The environment says how long:
//
//     FIBER_STRESS_SECONDS   for each test; default 1
//     FIBER_STRESS_SEED      the seed of the first round, to repeat a failure; default 1
//
// Nothing may be reported by a sanitizer, hang, be lost, or be left over. What a round counts must come out even.

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
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
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/nothing_left.h"

namespace cooperative {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// A source of choices of its own for each fiber and thread: it is copied by seed, never shared.
class Chance {
 public:
  explicit Chance(unsigned seed) : engine_(seed) {}

  unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(engine_); }
  bool one_in(unsigned count) { return below(count) == 0; }
  unsigned seed() { return static_cast<unsigned>(engine_()); }
  absl::Duration moment() { return absl::Microseconds(below(300)); }

  // For a thread: lets others run.
  void dawdle() {
    for (unsigned turns = below(8); turns > 0; --turns) sched_yield();
  }
  // For a fiber: the same, in one of several ways.
  void rest() {
    switch (below(6)) {
      case 0:
        return sleep(moment());
      case 1:
        return yield_until_idle(moment());
      case 2:
        return static_cast<void>(mothreads::Till(moment()).wait());
      default:
        for (unsigned turns = below(4); turns > 0; --turns) yield();
    }
  }

 private:
  std::minstd_rand engine_;
};

class FiberStressTest : public mothreads::testing::NothingLeft {
 protected:
  void SetUp() override {
    NothingLeft::SetUp();
    mothreads::log::set_sink([](const mothreads::log::Line& line) {
      if (line.level == mothreads::log::Level::critical) std::fprintf(stderr, "%s\n", line.text.c_str());  // failures are part of it
    });
  }
  void TearDown() override {
    static_cast<void>(mothreads::testing::take_unclaimed_failures());
    mothreads::log::set_sink({});
    NothingLeft::TearDown();
  }

  // Rounds, one after another, until the time is over.
  template <typename F>
  void repeat(F&& round) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(from_environment("FIBER_STRESS_SECONDS", 1));
    unsigned seed = from_environment("FIBER_STRESS_SEED", 1);
    unsigned rounds = 0;
    do {
      SCOPED_TRACE("FIBER_STRESS_SEED=" + std::to_string(seed));
      round(Chance(seed++));
      ++rounds;
    } while (std::chrono::steady_clock::now() < end && !HasFailure());
    RecordProperty("rounds", static_cast<int>(rounds));
    std::printf("%u rounds\n", rounds);
  }
};

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

struct Counted {
  explicit Counted(World& w) : world(w) { world.running.fetch_add(1); }
  ~Counted() { world.running.fetch_sub(1); }
  World& world;
};

void grow_until_cancelled(World& world, unsigned seed, int depth);

// What a fiber does: it starts others, rests, and drops, joins, releases, stops or cancels them, in any order.
void grow(World& world, unsigned seed, int depth, const Signal& please_stop) {
  constexpr int kMaxDepth = 5;
  const Counted counted(world);
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

// --- threads and fibers ----------------------------------------------------------------------------------------------------------

TEST_F(FiberStressTest, SignalsGoBackAndForth) {
  repeat([](Chance chance) {
    constexpr std::size_t kTrips = 200;
    struct Pair {
      std::vector<Signal> there = std::vector<Signal>(kTrips);
      std::vector<Signal> back = std::vector<Signal>(kTrips);
      std::size_t trips = 0;
    };
    for (auto* ends : {"fiber and thread", "fiber and fiber elsewhere"}) {
      std::vector<Pair> pairs(4);
      const auto begin = [](Pair& pair, unsigned seed) {
        Chance mine(seed);
        for (std::size_t i = 0; i < kTrips; ++i) {
          pair.there[i].go();
          while (!pair.back[i].wait(mine.moment())) {
          }
          ++pair.trips;
        }
      };
      const auto answer = [](Pair& pair) {
        for (std::size_t i = 0; i < kTrips; ++i) {
          pair.there[i].wait();
          pair.back[i].go();
        }
      };
      ThreadGroup threads("threads");
      const bool with_fibers = std::string(ends) != "fiber and thread";
      if (with_fibers) {
        threads.run("host", [&](Signal) {
          std::vector<Fiber<void>> fibers;
          for (Pair& pair : pairs) fibers.push_back(spawn("answering", answer, std::ref(pair)));
          for (auto& fiber : fibers) fiber.join();
        });
      } else {
        for (Pair& pair : pairs) threads.run("answering", [&](Signal) { answer(pair); });
      }
      threads.run("host", [&, seed = chance.seed()](Signal) {
        Chance its(seed);
        std::vector<Fiber<void>> fibers;
        for (Pair& pair : pairs) fibers.push_back(spawn("beginning", begin, std::ref(pair), its.seed()));
        for (auto& fiber : fibers) fiber.join();
      });
      threads.join();
      for (const Pair& pair : pairs) EXPECT_EQ(pair.trips, kTrips) << ends;
    }
  });
}

// Producers and consumers are threads and fibers, in any mix; limits come while items do.
template <typename Add, typename Take, typename Close>
void exchange(Chance& chance, Add add, Take take, Close close) {
  static constexpr int kItems = 400;
  static constexpr int kEach = 2;
  std::atomic<std::int64_t> taken{0};
  std::atomic<int> count{0};
  const auto produce = [&](unsigned seed) {
    Chance mine(seed);
    for (int i = 1; i <= kItems; ++i) add(i, mine);
  };
  const auto consume = [&](unsigned seed) {
    Chance mine(seed);
    bool more = true;
    while (more) {
      if (const std::optional<int> item = take(mine, more)) {
        taken.fetch_add(*item);
        count.fetch_add(1);
      }
    }
  };
  ThreadGroup consumers("consumers");
  {
    ThreadGroup producers("producers");
    const auto on_both = [&](ThreadGroup& group, const auto& work) {
      for (int i = 0; i < kEach; ++i) group.run("thread", [&work, seed = chance.seed()](Signal) { work(seed); });
      group.run("host", [&work, seed = chance.seed()](Signal) {
        Chance its(seed);
        std::vector<Fiber<void>> fibers;
        for (int i = 0; i < kEach; ++i) fibers.push_back(spawn("fiber", work, its.seed()));
        for (auto& fiber : fibers) fiber.join();
      });
    };
    on_both(consumers, consume);
    on_both(producers, produce);
    producers.join();
  }
  close();
  consumers.join();
  EXPECT_EQ(count, 2 * kEach * kItems);
  EXPECT_EQ(taken, std::int64_t{2 * kEach} * kItems * (kItems + 1) / 2);
}

TEST_F(FiberStressTest, AQueueLosesNothing) {
  repeat([](Chance chance) {
    mothreads::Queue<int> queue("items", {.max = 1 + chance.below(10)});
    exchange(
        chance,
        [&](int item, Chance& mine) {
          while (mine.one_in(3)) {
            if (queue.add(item, mine.moment())) return;
          }
          queue.add(item);
        },
        [&](Chance& mine, bool& more) -> std::optional<int> {
          auto popped = mine.one_in(3) ? queue.pop(mine.moment()) : queue.pop();
          more = popped || popped.why() != mothreads::Why::closed;
          if (!popped) return std::nullopt;
          return *popped;
        },
        [&] { queue.close(); });
  });
}

TEST_F(FiberStressTest, AThreadedEventQueueLosesNothing) {
  repeat([](Chance chance) {
    ThreadedEventQueue<int> queue;
    exchange(
        chance, [&](int item, Chance&) { queue.signal(item); },
        [&](Chance& mine, bool& more) -> std::optional<int> {
          try {
            return mine.one_in(3) ? queue.wait(mine.moment()) : queue.wait();
          } catch (const Timedout&) {
          } catch (const Closed&) {
            more = false;
          }
          return std::nullopt;
        },
        [&] { queue.close(); });
  });
}

TEST_F(FiberStressTest, ALockKeepsThreadsAndFibersApart) {
  repeat([](Chance chance) {
    constexpr int kTurns = 100;
    mothreads::Lock lock("shared");
    int inside = 0;
    std::int64_t turns = 0;
    bool open = false;
    const auto work = [&](unsigned seed, bool is_fiber) {
      Chance mine(seed);
      for (int i = 0; i < kTurns; ++i) {
        auto held = lock.enter();
        EXPECT_EQ(inside++, 0);
        if (is_fiber && mine.one_in(4)) yield();
        --inside;
        ++turns;
        if (mine.one_in(5)) open = !open;
        if (mine.one_in(5)) static_cast<void>(held.wait([&] { return open; }, mine.moment()));
      }
    };
    ThreadGroup threads("threads");
    for (int i = 0; i < 2; ++i) {
      threads.run("thread", [&, seed = chance.seed()](Signal) { work(seed, false); });
      threads.run("host", [&, seed = chance.seed()](Signal) {
        Chance its(seed);
        std::vector<Fiber<void>> fibers;
        for (int n = 0; n < 3; ++n) fibers.push_back(spawn("fiber", work, its.seed(), true));
        for (auto& fiber : fibers) fiber.join();
      });
    }
    threads.join();
    EXPECT_EQ(turns, 8 * kTurns);
  });
}

// The function of a callback_result() uses what its caller has: it never runs on when the caller has gone on.
TEST_F(FiberStressTest, CallbackResultsEndBeforeTheirCallersGoOn) {
  repeat([](Chance chance) {
    constexpr int kCalls = 60;
    std::atomic<int> called{0};
    std::atomic<int> closed{0};
    std::atomic<int> timed_out{0};
    ThreadGroup callers("callers");
    Signal may_end;
    std::optional<Scheduler> there;
    Signal is_there;
    auto host = Thread::run("host", [&](Signal) {
      there = Scheduler::current();
      is_there.go();
      may_end.wait();
    });
    is_there.wait();
    const auto call = [&](unsigned seed) {
      Chance mine(seed);
      for (int i = 0; i < kCalls; ++i) {
        const auto running = std::make_unique<int>(0);
        const int expected = static_cast<int>(mine.below(1000));
        const unsigned its_seed = mine.seed();
        try {
          const int result = there->callback_result(
              [&] {
                struct Inside {
                  int& count;
                  explicit Inside(int& its_count) : count(its_count) { ++count; }
                  ~Inside() { --count; }
                } inside(*running);
                Chance its(its_seed);
                its.rest();
                if (its.one_in(8)) sleep(absl::Hours(1));  // until it is cancelled
                return expected;
              },
              mine.moment() + absl::Microseconds(1));
          EXPECT_EQ(result, expected);
          called.fetch_add(1);
        } catch (const Timedout&) {
          timed_out.fetch_add(1);
        } catch (const WasCancelled&) {  // the scheduler ends
          closed.fetch_add(1);
        } catch (const Closed&) {
          closed.fetch_add(1);
        }
        EXPECT_EQ(*running, 0);
      }
    };
    for (int i = 0; i < 2; ++i) {
      callers.run("thread", [&, seed = chance.seed()](Signal) { call(seed); });
      callers.run("other host", [&, seed = chance.seed()](Signal) {
        Chance its(seed);
        std::vector<Fiber<void>> fibers;
        for (int n = 0; n < 3; ++n) fibers.push_back(spawn("caller", call, its.seed()));
        for (auto& fiber : fibers) fiber.join();
      });
    }
    if (chance.one_in(2)) {
      chance.dawdle();
      may_end.go();  // while they call
    }
    callers.join();
    may_end.go();
    host.join();
    EXPECT_EQ(called + closed + timed_out, 8 * kCalls);
  });
}

// Callbacks from several threads keep their order, and are done or withdrawn with their scheduler.
TEST_F(FiberStressTest, CallbacksRunInOrder) {
  repeat([](Chance chance) {
    constexpr int kThreads = 3;
    constexpr int kPosts = 300;
    std::vector<int> last(kThreads, 0);
    int run = 0;
    auto host = Thread::run("host", [&](Signal) {
      const Scheduler here = Scheduler::current();
      ThreadGroup posters("posters");
      for (std::size_t which = 0; which < kThreads; ++which) {
        posters.run("poster", [&, here, which, seed = chance.seed()](Signal) {
          Chance its(seed);
          for (int i = 1; i <= kPosts; ++i) {
            here.callback([&, which, i, waits = its.one_in(20)] {
              EXPECT_EQ(std::exchange(last[which], i), i - 1);
              if (waits) yield();
              ++run;
            });
            if (its.one_in(20)) its.dawdle();
          }
        });
      }
      posters.join();
      here.callback([&] { EXPECT_EQ(run, kThreads * kPosts); });
      yield_until_idle();
    });
    host.join();
    EXPECT_EQ(run, kThreads * kPosts);
  });
}

// Timers go, are set again and cancelled while their times come.
TEST_F(FiberStressTest, TimersAreSetAndCancelledAsTheyGo) {
  repeat([](Chance chance) {
    Thread::run("host", [seed = chance.seed()](Signal) {
      Chance its(seed);
      int inside = 0;
      {
        std::vector<std::unique_ptr<Timer>> timers;
        for (int i = 0; i < 20; ++i) {
          timers.push_back(std::make_unique<Timer>(
              its.moment() + absl::Microseconds(1),
              [&inside, slow = its.one_in(3)] {
                ++inside;
                if (slow) sleep(absl::Microseconds(100));
                --inside;
              },
              TimerOptions{.repeat = its.one_in(2) ? Repeat::at_fixed_rate : Repeat::no, .reuse = true}));
        }
        for (int turn = 0; turn < 200; ++turn) {
          its.rest();
          auto& timer = timers[its.below(static_cast<unsigned>(timers.size()))];
          if (timer && its.one_in(10)) {
            timer.reset();
          } else if (timer) {
            timer->reset(its.moment() + absl::Microseconds(1));
          }
        }
      }
      EXPECT_EQ(inside, 0);
    }).join();
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

}  // namespace
}  // namespace cooperative
