// What threads with schedulers do to one another, over many interleavings. A failure names its seed: WORLD_SEED=42 replays it.

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/cooperative/testing/wander.h"
#include "tests/support/host.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;
using mothreads::Till;
using mothreads::Why;

struct Item {
  int producer;
  int number;
};

// What came where: each item of each producer once, and to one consumer in the order of the producer.
class Arrivals {
 public:
  void note(int consumer, const Item& item) {
    ++count_[{item.producer, item.number}];
    auto& last = last_.try_emplace({consumer, item.producer}, -1).first->second;
    EXPECT_GT(item.number, last) << "producer " << item.producer << " to consumer " << consumer;
    last = item.number;
  }
  void expect_each_once(int producers, int each) const {
    EXPECT_EQ(count_.size(), static_cast<std::size_t>(producers * each));
    for (const auto& [item, count] : count_) EXPECT_EQ(count, 1) << item.first << ", " << item.second;
  }

 private:
  std::map<std::pair<int, int>, int> count_;
  std::map<std::pair<int, int>, int> last_;
};

constexpr int kProducers = 3;
constexpr int kConsumers = 2;
constexpr int kEach = 8;

TEST(ThreadsSeedsTest, AThreadedEventQueueLosesAndDoublesNothing) {
  for_many_seeds([](World& world) {
    ThreadedEventQueue<Item> queue;
    Arrivals arrivals;
    world.run([&] {
      Threads producers;
      Threads consumers;
      for (int p = 0; p < kProducers; ++p) {
        producers.push_back(Thread::run("producer", [&, p](Signal) {
          for (int i = 0; i < kEach; ++i) {
            queue.signal({p, i});
            wander(world);
          }
        }));
      }
      for (int c = 0; c < kConsumers; ++c) {
        consumers.push_back(Thread::run("consumer", [&, c](Signal) {
          const auto consume = [&](int id) {
            while (true) {
              try {
                arrivals.note(id, chance(world, 5) ? queue.wait(some_time(world)) : queue.wait());
              } catch (const Timedout&) {
              } catch (const Closed&) {
                return;
              }
              wander(world);
            }
          };
          auto fiber = spawn("consumer", consume, 2 * c);
          consume(2 * c + 1);
          fiber.join();
        }));
      }
      join(producers);
      queue.close();
      join(consumers);
      EXPECT_EQ(queue.size(), 0u);
    });
    arrivals.expect_each_once(kProducers, kEach);
  });
}

TEST(ThreadsSeedsTest, ABoundedQueueLosesAndDoublesNothing) {
  for_many_seeds([](World& world) {
    Arrivals arrivals;
    world.run([&] {
      Queue<Item> queue("queue", {.max = 2, .silent = true});
      Threads producers;
      Threads consumers;
      for (int p = 0; p < kProducers; ++p) {
        producers.push_back(Thread::run("producer", [&, p](Signal) {
          for (int i = 0; i < kEach; ++i) {
            while (!queue.add(Item{p, i}, chance(world, 5) ? some_time(world) : absl::InfiniteDuration())) wander(world);
            EXPECT_LE(queue.size(), 2u);
            wander(world);
          }
        }));
      }
      for (int c = 0; c < kConsumers; ++c) {
        consumers.push_back(Thread::run("consumer", [&, c](Signal) {
          const auto consume = [&](int id) {
            while (true) {
              auto item = queue.pop(chance(world, 5) ? some_time(world) : absl::InfiniteDuration());
              if (item) arrivals.note(id, *item);
              if (item.why() == Why::closed) return;
              wander(world);
            }
          };
          auto fiber = spawn("consumer", consume, 2 * c);
          consume(2 * c + 1);
          fiber.join();
        }));
      }
      join(producers);
      queue.close();
      join(consumers);
      EXPECT_TRUE(queue.empty());
    });
    arrivals.expect_each_once(kProducers, kEach);
  });
}

// Consumers are cancelled while they wait: what they have not got is there for the others.
TEST(ThreadsSeedsTest, CancelledConsumersTakeNothingAlong) {
  for_many_seeds([](World& world) {
    Arrivals arrivals;
    world.run([&] {
      ThreadedEventQueue<Item> events;
      Queue<Item> items("queue", {.max = 2, .silent = true});
      auto producer = Thread::run("producer", [&](Signal) {
        for (int i = 0; i < kEach; ++i) {
          events.signal({0, i});
          items.add(Item{1, i});
          wander(world);
        }
        events.close();
        items.close();
      });
      Threads consumers;
      for (int c = 0; c < kConsumers; ++c) {
        consumers.push_back(Thread::run("consumer", [&, c](Signal) {
          for (int n = 0; n < 3; ++n) {
            const int id = 10 * c + n;
            auto of_events = spawn("of events", [&] {
              while (auto item = events.next()) arrivals.note(id, *item);
            });
            auto of_items = spawn("of items", [&] {
              while (auto item = items.pop()) arrivals.note(id, *item);
            });
            wander(world);
            sleep(some_time(world));
            of_events.cancel();
            wander(world);
            of_items.cancel();
          }
        }));
      }
      join(consumers);
      auto rest_of_events = spawn("rest of events", [&] {
        while (auto item = events.next()) arrivals.note(100, *item);
      });
      while (auto item = items.pop()) arrivals.note(100, *item);
      rest_of_events.join();
      producer.join();
    });
    arrivals.expect_each_once(2, kEach);
  });
}

TEST(ThreadsSeedsTest, ALockKeepsAllOthersOut) {
  for_many_seeds([](World& world) {
    int inside = 0;
    int count = 0;
    int room = 0;
    world.run([&] {
      Lock lock("lock");
      Threads threads;
      for (int t = 0; t < 3; ++t) {
        threads.push_back(Thread::run("thread", [&](Signal) {
          const auto work = [&] {
            for (int i = 0; i < 4; ++i) {
              auto held = lock.enter();
              EXPECT_EQ(++inside, 1);
              wander(world);
              const int read = count;
              world.interrupt();
              count = read + 1;
              EXPECT_EQ(inside--, 1);
              if (chance(world, 5)) {
                ++room;
              } else {
                static_cast<void>(held.wait([&] { return room > 0; }, some_time(world)));
                EXPECT_EQ(++inside, 1);
                if (room > 0) --room;
                world.interrupt();
                EXPECT_EQ(inside--, 1);
              }
            }
          };
          auto fiber = spawn("fiber", work);
          work();
          fiber.join();
        }));
      }
      join(threads);
    });
    EXPECT_EQ(inside, 0);
    EXPECT_EQ(count, 3 * 2 * 4);
    EXPECT_GE(room, 0);
  });
}

// Each waits until there is one for it: no wake may be lost.
TEST(ThreadsSeedsTest, EveryWaitInALockEnds) {
  for_many_seeds([](World& world) {
    int tokens = 0;
    world.run([&] {
      Lock lock("lock");
      Threads threads;
      for (int t = 0; t < 4; ++t) {
        threads.push_back(Thread::run("taker", [&](Signal) {
          for (int i = 0; i < 3; ++i) {
            auto held = lock.enter();
            static_cast<void>(held.wait([&] { return tokens > 0; }));
            --tokens;
            wander(world);
          }
        }));
        threads.push_back(Thread::run("giver", [&](Signal) {
          for (int i = 0; i < 3; ++i) {
            {
              auto held = lock.enter();
              ++tokens;
            }
            wander(world);
          }
        }));
      }
      join(threads);
    });
    EXPECT_EQ(tokens, 0);
  });
}

TEST(ThreadsSeedsTest, WaitsForSignalsSayTheTruth) {
  for_many_seeds([](World& world) {
    int then_ran = 0;
    int expected = 0;
    world.run([&] {
      std::vector<Signal> signals(3);
      const Signal any = signals[0] | signals[1];
      const Signal all = signals[0] & signals[2];
      const Signal limited = signals[1] | Till(absl::Milliseconds(4));
      for (const Signal& signal : {signals[0], signals[1], signals[2], any, all, limited}) {
        ++expected;
        signal.then([&] { ++then_ran; });
      }
      Threads threads;
      for (int t = 0; t < 3; ++t) {
        threads.push_back(Thread::run("goer", [&, t](Signal) {
          sleep(some_time(world));
          wander(world);
          signals[t].go();
        }));
        threads.push_back(Thread::run("waiter", [&](Signal please_stop) {
          std::vector<Fiber<void>> fibers;
          for (const Signal& signal : {any, all, limited, signals[0]}) {
            fibers.push_back(spawn("fiber", [&, signal] {
              while (true) {
                if (chance(world, 3)) {
                  signal.wait();
                  break;
                }
                const auto ended = signal.wait(please_stop | some_time(world));
                if (ended) break;
                EXPECT_EQ(ended.why(), Why::timed_out);
              }
              EXPECT_TRUE(signal);
            }));
          }
          for (auto& fiber : fibers) fiber.join();
        }));
      }
      join(threads);
      EXPECT_TRUE(signals[0] && signals[1] && signals[2] && any && all && limited);
      sleep(absl::Milliseconds(10));
    });
    EXPECT_EQ(then_ran, expected);
  });
}

// --- between schedulers ------------------------------------------------------------------------------------------------------------

TEST(ThreadsSeedsTest, CallbacksRunOnceEachInTheOrderOfTheirPoster) {
  for_many_seeds([](World& world) {
    std::vector<std::vector<int>> ran(kProducers);
    world.run([&] {
      Host server;
      Threads threads;
      for (int p = 0; p < kProducers; ++p) {
        threads.push_back(Thread::run("poster", [&, p](Signal) {
          for (int i = 0; i < kEach; ++i) {
            EXPECT_TRUE(server.scheduler().callback([&, p, i] {
              EXPECT_TRUE(server.scheduler().is_current());
              ran[p].push_back(i);
              wander(world);
            }));
            wander(world);
          }
        }));
      }
      join(threads);
      server.scheduler().callback_result([] {});
      // One that waits keeps the later ones waiting, but not a callback_result().
      Signal last;
      server.scheduler().callback([&] { last.go(); });
      last.wait();
    });
    for (const auto& each : ran) {
      EXPECT_EQ(each.size(), static_cast<std::size_t>(kEach));
      EXPECT_TRUE(std::is_sorted(each.begin(), each.end()));
    }
  }, {.interrupt_posts = true});
}

void give_up_calls(World& world) {
  int values = 0;
  int given_up = 0;
  world.run([&] {
    Host server;
    Threads threads;
    for (int t = 0; t < 3; ++t) {
      threads.push_back(Thread::run("caller", [&](Signal) {
        for (int i = 0; i < 5; ++i) {
          int begun = 0;
          int running = 0;
          try {
            const int value = server.scheduler().callback_result(
                [&] {
                  struct Running {
                    int& count;
                    explicit Running(int& its_count) : count(++its_count) {}
                    ~Running() { --count; }
                  } guard(running);
                  ++begun;
                  wander(world);
                  if (chance(world, 5)) sleep(some_time(world));
                  return 10 * begun;
                },
                chance(world, 8) ? some_time(world) : absl::InfiniteDuration());
            EXPECT_EQ(value, 10);
            ++values;
          } catch (const Timedout&) {
            EXPECT_LE(begun, 1);
            ++given_up;
          }
          EXPECT_EQ(running, 0);
          const int begun_then = begun;
          wander(world);
          EXPECT_EQ(begun, begun_then);
        }
      }));
    }
    join(threads);
  });
  EXPECT_EQ(values + given_up, 15);
}

TEST(ThreadsSeedsTest, ACallThatIsGivenUpIsOutOfTheWay) { for_many_seeds(give_up_calls, {.interrupt_posts = true}); }

// Whatever ran before.
TEST(ThreadsSeedsTest, TheSameSeedGivesTheSameRun) {
  std::vector<std::uint64_t> signatures;
  for_many_seeds([&](World& world) {
    give_up_calls(world);
    signatures.push_back(world.signature());
  });
  auto expected = signatures.begin();
  for_many_seeds([&](World& world) {
    give_up_calls(world);
    EXPECT_EQ(world.signature(), *expected++);
  });
}

TEST(ThreadsSeedsTest, ACallerThatIsCancelledTakesItsCallAlong) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      int running = 0;
      auto caller = spawn("caller", [&] {
        int on_my_stack = 0;
        server.scheduler().callback_result([&] {
          struct Running {
            int& count;
            ~Running() { --count; }
          } guard{running};
          ++running;
          for (int i = 0; i < 5; ++i) {
            ++on_my_stack;
            wander(world);
          }
        });
      });
      wander(world);
      sleep(some_time(world));
      caller.cancel();
      try {
        caller.join();
      } catch (const WasCancelled&) {
      }
      EXPECT_EQ(running, 0);
    });
  }, {.interrupt_posts = true});
}

TEST(ThreadsSeedsTest, WhoPostsToASchedulerThatEndsIsTold) {
  for_many_seeds([](World& world) {
    int taken = 0;
    int ran = 0;
    int dropped = 0;
    struct Dropped {
      int* count;
      explicit Dropped(int& its_count) : count(&its_count) {}
      Dropped(Dropped&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
      ~Dropped() {
        if (count != nullptr) ++*count;
      }
    };
    world.run([&] {
      Host server;
      Threads threads;
      for (int t = 0; t < 3; ++t) {
        threads.push_back(Thread::run("poster", [&](Signal) {
          for (int i = 0; i < 4; ++i) {
            if (server.scheduler().callback([&ran, gone = Dropped(dropped)]() mutable {
                  ++ran;
                  gone.count = nullptr;
                })) {
              ++taken;
            } else {
              --dropped;  // it was refused
            }
            wander(world);
            try {
              EXPECT_EQ(server.scheduler().callback_result([&] {
                wander(world);
                return 5;
              }), 5);
            } catch (const Closed&) {
            } catch (const WasCancelled&) {
            }
          }
        }));
      }
      wander(world);
      sleep(some_time(world));
      server.end();
      EXPECT_TRUE(server.scheduler().has_ended());
      join(threads);
    });
    EXPECT_EQ(taken, ran + dropped);
  }, {.interrupt_posts = true});
}

TEST(ThreadsSeedsTest, TwoSchedulersMayCallEachOther) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Host a;
      Host b;
      Threads threads;
      for (int t = 0; t < 2; ++t) {
        threads.push_back(Thread::run("caller", [&, t](Signal) {
          const Scheduler& near = t == 0 ? a.scheduler() : b.scheduler();
          const Scheduler& far = t == 0 ? b.scheduler() : a.scheduler();
          const int value = near.callback_result([&] {
            wander(world);
            return 1 + far.callback_result([&] {
              wander(world);
              return 1 + near.callback_result([] { return 1; });
            });
          });
          EXPECT_EQ(value, 3);
        }));
      }
      join(threads);
    });
  }, {.interrupt_posts = true});
}

// --- stops -------------------------------------------------------------------------------------------------------------------------

TEST(ThreadsSeedsTest, AStopReachesEverybody) {
  for_many_seeds([](World& world) {
    int ended = 0;
    world.run([&] {
      Queue<int> nothing("nothing");
      Lock lock("lock");
      const auto wait_somehow = [&](Signal please_stop) {
        switch (world.random(4)) {
          case 0:
            please_stop.wait();
            break;
          case 1:
            EXPECT_EQ(nothing.pop(please_stop).why(), Why::stopped);
            break;
          case 2: {
            auto held = lock.enter();
            static_cast<void>(held.wait(please_stop));
            break;
          }
          default:
            while (!please_stop) sleep(please_stop | absl::Milliseconds(1));
        }
        wander(world);
        ++ended;
      };
      {
        auto parent = Thread::run("parent", [&](Signal please_stop) {
          auto child = Thread::run("child", wait_somehow);
          Thread::run("released", wait_somehow).release();
          auto fiber = spawn("fiber", wait_somehow);
          spawn("cancelled", [] { sleep(absl::Hours(1)); }).release();
          wait_somehow(please_stop);
        });
        wander(world);
        sleep(some_time(world));
        if (chance(world, 5)) parent.stop().join();
      }
    });
    EXPECT_EQ(ended, 4);
    EXPECT_LT(world.elapsed(), absl::Seconds(1));
  });
}

// A tree whose threads are stopped from all sides while it grows and ends: everybody is told, or the stop's deadline ends the test.
class RandomTree {
 public:
  explicit RandomTree(World& world) : world_(world) {}

  void grow(int levels, const Signal& please_stop) {
    ++made_;
    ThreadGroup in_turn(mothreads::ThreadGroupOptions{.name = "in turn", .stop_in_turn = true});
    for (int i = static_cast<int>(world_.random(3)); levels > 0 && i > 0; --i) {
      const auto next = [this, levels](Signal stop) { grow(levels - 1, stop); };
      if (chance(world_, 3)) {
        threads_.push_back(in_turn.run("member", next));
      } else {
        auto thread = Thread::run("thread", next);
        threads_.push_back(thread.thread());
        thread.release();
      }
      wander(world_);
    }
    if (chance(world_, 2)) wait_in_a_fiber();
    if (!threads_.empty() && chance(world_, 3)) threads_[world_.random(threads_.size())].stop();
    if (!chance(world_, 4)) please_stop.wait();
    if (chance(world_, 3)) wait_in_a_fiber();  // that comes after the others have been told
    wander(world_);
    ++ended_;
  }

  void add(const Thread& thread) { threads_.push_back(thread); }
  void expect_all_ended() const { EXPECT_EQ(ended_, made_); }

 private:
  void wait_in_a_fiber() {
    spawn("fiber", [](Signal stop) { stop.wait(); }).release();
    yield();
  }

  World& world_;
  std::vector<Thread> threads_;
  int made_ = 0;
  int ended_ = 0;
};

TEST(ThreadsSeedsTest, StopsOfATreeFromAllSidesTellEverybody) {
  for_many_seeds([](World& world) {
    RandomTree tree(world);
    world.run([&] {
      auto top = Thread::run("top", [&](Signal stop) { tree.grow(3, stop); });
      tree.add(top.thread());
      wander(world);
      top.stop().join();
    });
    tree.expect_all_ended();
  });
}

}  // namespace
}  // namespace cooperative::testing
