// A Lock between fibers of several threads, over many interleavings. A failure names its seed: WORLD_SEED=42 replays it.

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/ended.h"
#include "mothreads/lock.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/testing/wander.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;

constexpr int kThreads = 3;
constexpr int kFibers = 3;
constexpr int kSections = 6;

// Who is inside.
class Inside {
 public:
  explicit Inside(int& count) : count_(count) { EXPECT_EQ(++count_, 1); }
  ~Inside() { EXPECT_EQ(--count_, 0); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int& count_;
};

// Enters, waits in all the ways there are, and is cancelled now and then: one is inside at a time, and all come out.
TEST(LockSeedsTest, OneIsInsideAtATimeAndNobodyIsLeftOut) {
  for_many_seeds([](World& world) {
    Lock lock("shared");
    int inside = 0;
    int changes = 0;
    world.run([&] {
      const auto visit = [&] {
        const int kind = static_cast<int>(world.random(5));
        if (kind == 0) {
          if (!lock.try_lock()) return;
          {
            const Inside here(inside);
            ++changes;
            world.interrupt();
          }
          lock.unlock();
          return;
        }
        auto held = lock.enter();
        if (kind == 1) {
          static_cast<void>(held.wait(some_time(world)));
        } else if (kind == 2) {
          static_cast<void>(held.wait([&, before = changes] { return changes > before + 1; }, some_time(world)));
        }
        const Inside here(inside);
        ++changes;
        const NoCancel until_outside;
        wander(world);
      };
      Threads threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.push_back(Thread::run("thread", [&](Signal) {
          std::vector<Fiber<void>> fibers;
          for (int f = 0; f < kFibers; ++f) {
            fibers.push_back(spawn("fiber", [&] {
              for (int i = 0; i < kSections; ++i) {
                visit();
                wander(world);
              }
            }));
          }
          wander(world);
          if (chance(world, 3)) fibers[world.random(kFibers)].cancel();
          for (auto& fiber : fibers) {
            try {
              fiber.join();
            } catch (const WasCancelled&) {
            }
          }
        }));
      }
      join(threads);
      EXPECT_TRUE(lock.try_lock());
      lock.unlock();
    });
  });
}

// Every thread's fibers take the lock again and again; the most that others get in while one queues has a bound.
TEST(LockSeedsTest, WhoQueuesIsPassedByABoundedNumberOfOthers) {
  for_many_seeds([](World& world) {
    Lock lock("shared");
    int sections = 0;
    int most = 0;
    bool is_over = false;
    world.run([&] {
      Threads threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.push_back(Thread::run("thread", [&](Signal) {
          std::vector<Fiber<void>> fibers;
          for (int f = 0; f < kFibers; ++f) {
            fibers.push_back(spawn("fiber", [&] {
              while (!is_over) {
                const int before = sections;
                auto held = lock.enter();
                most = std::max(most, sections - before);
                if (++sections == 1500) is_over = true;
                if (chance(world, 5)) yield();
              }
            }));
          }
          for (auto& fiber : fibers) fiber.join();
        }));
      }
      join(threads);
    });
    // A thread that is on the way may be drawn late.
    EXPECT_LE(most, static_cast<int>(Lock::kMaxBarges) + kThreads * kFibers);
  });
}

// Whatever the others do between their waits, a limit ends a wait within a few of their sections.
TEST(LockSeedsTest, ALimitIsHonouredWithinAFewSectionsOfOthers) {
  for_many_seeds([](World& world) {
    Lock lock("shared");
    int sections = 0;
    bool is_over = false;
    world.run([&] {
      Threads threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.push_back(Thread::run("thread", [&](Signal) {
          while (!is_over) {
            auto held = lock.enter();
            ++sections;
            if (chance(world, 5)) {
              sleep(absl::Milliseconds(1));
            } else {
              world.interrupt();
            }
          }
        }));
      }
      const absl::Duration start = world.elapsed();
      {
        auto held = lock.enter();
        EXPECT_EQ(held.wait([] { return false; }, absl::Milliseconds(10)).why(), Why::timed_out);
        EXPECT_LE(world.elapsed() - start, absl::Milliseconds(10 + 2 * kThreads + 10));
        is_over = true;
      }
      join(threads);
    });
  });
}

}  // namespace
}  // namespace cooperative::testing
