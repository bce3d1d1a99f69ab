// Storms of threads and fibers that wait for each other; see fiber_storm.h.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
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
              TimerOptions{.repeat = its.one_in(2) ? TimerRepeat::at_fixed_rate : TimerRepeat::no, .reuse = true}));
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

}  // namespace
}  // namespace cooperative
