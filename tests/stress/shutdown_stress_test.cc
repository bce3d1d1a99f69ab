// Shutdown trees of random shape, stopped in random ways at random moments. The environment says how long:
//
//     SHUTDOWN_STRESS_REPETITIONS   how many trees for each test; default 20
//     SHUTDOWN_STRESS_SEED          the seed of the first, to repeat a failure; default 1, so that all runs are alike
//
// Nothing may be reported by a sanitizer, hang, or be left over. A stop that hangs ends the process by its deadline, with
// the report that names the thread.

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/storm.h"

namespace mothreads::inline v0 {
namespace {

using testing::Chance;
using testing::Counted;
using testing::from_environment;

// What every thread of one tree knows.
struct World {
  std::atomic<int> running{0};      // functions that have begun and not ended
  std::atomic<int> budget{40};      // so many threads at most
  std::atomic<int> misplaced{0};    // functions that ended after their parent's place had
  Signal everyone{"everyone"};      // some threads share it as their please_stop
};

void grow(World& world, unsigned seed, int depth, const Signal& please_stop);

auto body(World& world, unsigned seed, int depth) {
  return [&world, seed, depth](Signal please_stop) {
    const Counted counted(world.running);
    const std::optional<Thread> parent = Thread::current().parent();
    grow(world, seed, depth, please_stop);
    if (parent && !parent->is_alive()) world.misplaced.fetch_add(1);
  };
}

// What a thread does: it starts others, waits, and drops, joins, releases or stops them, in any order.
void grow(World& world, unsigned seed, int depth, const Signal& please_stop) {
  constexpr int kMaxDepth = 4;
  Chance chance(seed);
  std::vector<ThreadHandle<void>> handles;
  std::vector<std::unique_ptr<ThreadGroup>> groups;
  for (unsigned steps = 2 + chance.below(5); steps > 0; --steps) {
    chance.dawdle();
    const bool may_start = depth < kMaxDepth && world.budget.fetch_sub(1) > 0;
    switch (chance.below(9)) {
      case 0:
      case 1:
        if (!may_start) break;
        handles.push_back(Thread::run("handled", body(world, chance.seed(), depth + 1)));
        break;
      case 2:
        if (!may_start) break;
        Thread::run(ThreadOptions{.name = "sharing", .please_stop = world.everyone}, body(world, chance.seed(), depth + 1))
            .release();
        break;
      case 3:
        if (!may_start) break;
        groups.push_back(std::make_unique<ThreadGroup>(
            ThreadGroupOptions{.name = "group", .stop_in_turn = chance.one_in(2), .fail_fast = chance.one_in(2)}));
        for (unsigned members = 1 + chance.below(3); members > 0; --members) {
          groups.back()->run("member", body(world, chance.seed(), depth + 1));
        }
        break;
      case 4:
        if (!handles.empty()) {
          std::swap(handles[chance.below(static_cast<unsigned>(handles.size()))], handles.back());
          handles.pop_back();
        }
        break;
      case 5:
        if (!handles.empty()) std::exchange(handles[0], {}).release();
        if (!handles.empty()) handles.erase(handles.begin());
        break;
      case 6:
        if (!handles.empty()) handles.back().stop();
        if (!groups.empty()) groups.back()->stop();
        break;
      case 7:
        static_cast<void>(please_stop.wait(absl::Microseconds(chance.below(200))));
        break;
      default:
        if (please_stop) return;
    }
  }
  if (chance.one_in(3)) return;  // some end by themselves
  please_stop.wait();
  if (chance.one_in(4)) throw std::runtime_error("failed while it stopped");
}

class ShutdownStressTest : public testing::Storm {
 protected:
  template <typename F>
  void repeat(F&& once) {
    const unsigned repetitions = from_environment("SHUTDOWN_STRESS_REPETITIONS", 20);
    const unsigned first = from_environment("SHUTDOWN_STRESS_SEED", 1);
    for (unsigned seed = first; seed < first + repetitions && !HasFailure(); ++seed) {
      SCOPED_TRACE("SHUTDOWN_STRESS_SEED=" + std::to_string(seed));
      once(Chance(seed));
    }
  }
};

// The root's handle is stopped from several threads at once, joined, dropped or moved over.
TEST_F(ShutdownStressTest, RandomTreesStopAndLeaveNothing) {
  repeat([](Chance chance) {
    World world;
    auto root = Thread::run("root", body(world, chance.seed(), 0));
    const Thread view = root.thread();
    {
      ThreadGroup stoppers("stoppers");
      for (unsigned count = chance.below(4); count > 0; --count) {
        stoppers.run("stopper", [&, seed = chance.seed()](Signal) {
          Chance its(seed);
          its.dawdle();
          view.stop();
          if (its.one_in(2)) world.everyone.go();
        });
      }
      chance.dawdle();
      switch (chance.below(3)) {
        case 0:
          try {
            root.stop().join();
          } catch (const std::runtime_error&) {
          }
          break;
        case 1:
          root = {};
          break;
        default:
          root = Thread::run("another root", body(world, chance.seed(), 0));
      }
    }
    root = {};
    EXPECT_EQ(world.running, 0);
    EXPECT_EQ(world.misplaced, 0);
  });
}

TEST_F(ShutdownStressTest, TheMainThreadStopsRandomTrees) {
  repeat([](Chance chance) {
    World world;
    MainThread::run([&](Signal please_stop) {
      const Till goes_early(absl::Hours(1));
      for (unsigned count = 1 + chance.below(3); count > 0; --count) {
        Thread::run("root", body(world, chance.seed(), 1)).release();
      }
      Thread::run("stopper", [seed = chance.seed()](Signal) {
        Chance its(seed);
        its.dawdle();
        MainThread::stop();
      }).release();
      if (chance.one_in(2)) please_stop.wait();
      if (chance.one_in(2)) goes_early.wait();
    });
    EXPECT_EQ(world.running, 0);
    EXPECT_EQ(world.misplaced, 0);
  });
}

// A thread is started under a parent that is ending: it runs and is awaited by it, or is refused and leaves nothing.
TEST_F(ShutdownStressTest, AStartRacesWithItsParentsEnd) {
  repeat([](Chance chance) {
    std::atomic<int> running{0};
    std::atomic<int> awaited{0};
    std::atomic<int> refused{0};
    auto parent = Thread::run("parent", [seed = chance.seed()](Signal) { Chance(seed).dawdle(); });
    const Thread place = parent.thread();
    auto starter = Thread::run("starter", [&, seed = chance.seed()](Signal) {
      Chance its(seed);
      for (int i = 0; i < 10; ++i) {
        its.dawdle();
        try {
          Thread::run(ThreadOptions{.name = "late", .parent = place}, [&](Signal please_stop) {
            running.fetch_add(1);
            please_stop.wait();
            if (!place.stopped()) awaited.fetch_add(1);
            running.fetch_sub(1);
          }).release();
        } catch (const Misuse&) {
          refused.fetch_add(1);
        }
      }
    });
    starter.join();
    parent.join();
    EXPECT_EQ(running, 0);
    EXPECT_EQ(awaited + refused, 10);
    EXPECT_TRUE(place.children().empty());
  });
}

TEST_F(ShutdownStressTest, GroupsInTurnStopInTurnWhoeverAsks) {
  repeat([](Chance chance) {
    std::mutex mutex;
    std::vector<int> ended;
    const int members = 2 + static_cast<int>(chance.below(6));
    {
      ThreadGroup group(ThreadGroupOptions{.name = "in turn", .stop_in_turn = true});
      for (int i = 0; i < members; ++i) {
        group.run("member", [&, i, seed = chance.seed()](Signal please_stop) {
          please_stop.wait();
          Chance(seed).dawdle();
          std::lock_guard lock(mutex);
          ended.push_back(i);
        });
      }
      ThreadGroup stoppers("stoppers");
      for (unsigned count = chance.below(4); count > 0; --count) {
        stoppers.run("stopper", [&](Signal) { group.stop(); });
      }
      chance.dawdle();
      stoppers.join();
    }
    std::vector<int> newest_first;
    for (int i = members; i-- > 0;) newest_first.push_back(i);
    EXPECT_EQ(ended, newest_first);
  });
}

// Joins with limits that come at about the time when the thread stops: the result is given once, whoever wins.
TEST_F(ShutdownStressTest, ALimitRacesWithTheEnd) {
  repeat([](Chance chance) {
    for (int i = 0; i < 10; ++i) {
      Signal give_up;
      auto thread = Thread::run("worker", [seed = chance.seed()](Signal please_stop) {
        Chance(seed).dawdle();
        please_stop.wait();
        return std::make_unique<int>(7);
      });
      const auto impatient = Thread::run("impatient", [&, seed = chance.seed()](Signal) {
        Chance(seed).dawdle();
        give_up.go();
      });
      chance.dawdle();
      thread.stop();
      std::unique_ptr<int> result;
      try {
        result = thread.join(give_up);
      } catch (const EndedEarly&) {
        ASSERT_TRUE(thread.owns());
        result = thread.join();
      }
      EXPECT_EQ(*result, 7);
    }
  });
}

// Foreign threads come, register and go while the main thread stops.
TEST_F(ShutdownStressTest, ForeignThreadsRegisterWhileTheMainThreadStops) {
  repeat([](Chance chance) {
    std::vector<std::thread> foreign;
    std::atomic<int> inside{0};
    MainThread::run([&](Signal) {
      std::vector<Signal> registered;
      for (unsigned count = 1 + chance.below(4); count > 0; --count) {
        const Signal its = registered.emplace_back();
        foreign.emplace_back([&inside, its, seed = chance.seed()] {
          Chance mine(seed);
          mine.dawdle();
          const RegisterThread self("foreign");
          inside.fetch_add(1);
          its.go();
          auto child = Thread::run("child", [](Signal please_stop) { please_stop.wait(); });
          if (mine.one_in(2)) child.release();
          self.please_stop().wait();
          mine.dawdle();
          inside.fetch_sub(1);
        });
      }
      Signal::all_of(registered).wait();
      chance.dawdle();
      if (chance.one_in(2)) MainThread::stop();
    });
    EXPECT_EQ(inside, 0);
    for (std::thread& thread : foreign) thread.join();
  });
}

}  // namespace
}  // namespace mothreads
