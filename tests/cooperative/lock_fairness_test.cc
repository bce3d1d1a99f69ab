// mothreads::Lock among fibers of one thread, and between them and other threads: who enters, and after how many at most.

#include "mothreads/lock.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/sleeping.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Lock;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadHandle;
using mothreads::Why;
using mothreads::testing::await_sleeping;
using mothreads::testing::on_virtual_time;
using mothreads::testing::sleeps_on;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;

TEST(LockFairnessTest, AFiberDoesNotEnterAgainBeforeAnotherOfItsThreadThatQueues) {
  Lock lock("shared");
  std::string order;
  auto greedy = spawn("greedy", [&] {
    for (int i = 0; i < 5; ++i) {
      auto held = lock.enter();
      order += 'g';
      yield();
    }
  });
  auto patient = spawn("patient", [&] {
    for (int i = 0; i < 3; ++i) {
      auto held = lock.enter();
      order += 'p';
    }
  });
  greedy.join();
  patient.join();
  EXPECT_EQ(order, "gpgpgpgg");
}

TEST(LockFairnessTest, NorByTryLock) {
  Lock lock("shared");
  lock.lock();
  bool entered = false;
  auto patient = spawn("patient", [&] {
    auto held = lock.enter();
    entered = true;
  });
  yield();
  lock.unlock();
  EXPECT_FALSE(lock.try_lock());
  yield();
  EXPECT_TRUE(entered);
  patient.join();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(LockFairnessTest, FibersOfOneThreadEnterInTheOrderTheyCame) {
  Lock lock("shared");
  std::string order;
  std::vector<Fiber<void>> fibers;
  for (const char name : {'a', 'b', 'c'}) {
    fibers.push_back(spawn(std::string(1, name), [&order, &lock, name] {
      for (int i = 0; i < 3; ++i) {
        auto held = lock.enter();
        order += name;
        yield();
      }
    }));
  }
  for (auto& fiber : fibers) fiber.join();
  EXPECT_EQ(order, "abcabcabc");
}

// It was ready to enter when it was cancelled: it enters, and leaves at its next wait. Nobody waits for it for ever.
TEST(LockFairnessTest, OneThatIsCancelledInTheQueueOrOnTheWayKeepsNobodyOut) {
  for (const bool on_the_way : {false, true}) {
    Lock lock("shared");
    std::string order;
    lock.lock();
    auto first = spawn("first", [&] {
      auto held = lock.enter();
      order += "1";
      sleep(absl::ZeroDuration());
      order += "never";
    });
    auto second = spawn("second", [&] {
      auto held = lock.enter();
      order += "2";
    });
    yield();
    if (on_the_way) lock.unlock();
    first.cancel();
    if (!on_the_way) lock.unlock();
    EXPECT_THROW(first.join(), WasCancelled);
    second.join();
    EXPECT_EQ(order, on_the_way ? "12" : "2");
  }
}

// --- limits ----------------------------------------------------------------------------------------------------------------------------

// Others do nothing but enter and leave, with a millisecond in each section.
TEST(LockFairnessTest, ALimitIsHonouredWhileOthersTakeTheLockAgainAndAgain) {
  for (const bool with_condition : {false, true}) {
    on_virtual_time([&](VirtualClock& clock) {
      Lock lock("shared");
      bool is_over = false;
      int sections = 0;
      std::vector<Fiber<void>> greedy;
      for (int i = 0; i < 3; ++i) {
        greedy.push_back(spawn("greedy", [&] {
          while (!is_over && sections < 1000) {
            auto held = lock.enter();
            ++sections;
            clock.advance(absl::Milliseconds(1));
            yield();
          }
        }));
      }
      auto waiter = spawn("waiter", [&] {
        auto held = lock.enter();
        const int before = sections;
        if (with_condition) {
          EXPECT_EQ(held.wait([] { return false; }, absl::Milliseconds(10)).why(), Why::timed_out);
        } else {
          // Each leaving wakes it; it waits for the rest of its time.
          const auto end = mothreads::Clock::current().now() + std::chrono::milliseconds(10);
          while (held.wait(end) == Why::ready) {
          }
        }
        EXPECT_LE(sections - before, 12);
        is_over = true;
      });
      waiter.join();
      for (auto& fiber : greedy) fiber.join();
    });
  }
}

// Two that come back by their limits all the time do not keep out who queues.
TEST(LockFairnessTest, AStreamOfLimitsKeepsNobodyOut) {
  Lock lock("shared");
  bool is_over = false;
  int returns = 0;
  std::vector<Fiber<void>> late;
  for (int i = 0; i < 2; ++i) {
    late.push_back(spawn("late", [&] {
      auto held = lock.enter();
      while (!is_over && returns < 1000) {
        static_cast<void>(held.wait(absl::ZeroDuration()));
        ++returns;
        yield();
      }
    }));
  }
  yield();
  int before = -1;
  {
    before = returns;
    auto held = lock.enter();
    EXPECT_LE(returns - before, 3);
    is_over = true;
  }
  for (auto& fiber : late) fiber.join();
}

// --- between threads -------------------------------------------------------------------------------------------------------------------

// Fibers that follow each other without a wake-up of another thread, while one of another thread sleeps in the queue before them.
class OvertakingTest : public ::testing::Test {
 protected:
  void begin() {
    lock_.lock();
    thread_.emplace(Thread::run("thread", [this](Signal) { auto held = lock_.enter(); }));
    asleep_since_ = await_sleeping(thread_->thread(), "enters lock");
    for (int i = 0; i < 2; ++i) {
      fibers_.push_back(spawn("fiber", [this] {
        while (sections_ < most_) {
          auto held = lock_.enter();
          if (++sections_ == most_) end_.wait();
          yield();
        }
      }));
    }
    yield();
    lock_.unlock();
  }
  bool still_sleeps() {
    const auto sleep = sleeps_on(thread_->thread());
    return sleep && sleep->since == asleep_since_;
  }
  void end() {
    end_.go();
    for (auto& fiber : fibers_) fiber.join();
    thread_->join();
  }

  Lock lock_;
  std::optional<ThreadHandle<void>> thread_;
  mothreads::Instant asleep_since_;
  std::vector<Fiber<void>> fibers_;
  std::uint32_t sections_ = 0;
  std::uint32_t most_ = 0;
  Signal end_;
};

TEST_F(OvertakingTest, SoManySectionsFollowEachOtherWithoutAWakeUp) {
  most_ = Lock::kMaxOvertakings;
  begin();
  while (sections_ < most_) yield();
  EXPECT_TRUE(still_sleeps());
  end();
}

TEST_F(OvertakingTest, AfterThatTheOtherThreadIsWoken) {
  most_ = Lock::kMaxOvertakings + 1;
  begin();
  while (sections_ < most_) yield();
  // The last of them is inside, and stays there: the thread has been woken before.
  mothreads::testing::await([&] { return !still_sleeps(); });
  end();
}

// --- arrivals --------------------------------------------------------------------------------------------------------------------------

// Many wait for conditions of their own; one change makes each look once.
TEST(LockArrivalTest, ConditionsAreLookedAtAboutOnceForEachWhoComes) {
  for (const int count : {10, 100, 1000}) {
    Lock lock("monitor");
    bool is_open = false;
    int looks = 0;
    std::vector<Fiber<void>> fibers;
    for (int i = 0; i < count; ++i) {
      fibers.push_back(spawn("fiber", [&] {
        auto held = lock.enter();
        static_cast<void>(held.wait([&] {
          ++looks;
          return is_open;
        }));
      }));
    }
    yield_until_idle();
    EXPECT_LE(looks, 3 * count);
    looks = 0;
    {
      auto held = lock.enter();
      is_open = true;
    }
    for (auto& fiber : fibers) fiber.join();
    EXPECT_EQ(looks, count);
  }
}

}  // namespace
}  // namespace cooperative
