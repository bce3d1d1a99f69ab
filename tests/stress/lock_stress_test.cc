// Lock under many threads and the real clock.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/lock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/sanitized.h"

namespace mothreads::inline v0 {
namespace {

constexpr int kRounds = testing::kSanitized ? 2'000 : 20'000;

TEST(LockStressTest, ManyThreadsEnterTryAndWaitByTime) {
  Lock lock("busy");
  long counter = 0;
  std::atomic<long> expected{0};
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(Thread::run("thread", [&, i](Signal) {
      std::mt19937 random(static_cast<unsigned>(i));
      for (int n = 0; n < kRounds / 8; ++n) {
        switch (random() % 8) {
          case 0:
            if (lock.try_lock()) {
              ++counter;
              ++expected;
              lock.unlock();
            }
            break;
          case 1: {
            auto held = lock.enter();
            ++counter;
            static_cast<void>(held.wait(absl::Microseconds(random() % 50)));
            ++counter;
            expected += 2;
            break;
          }
          default: {
            auto held = lock.enter();
            ++counter;
            ++expected;
          }
        }
      }
    }));
  }
  join_all(threads);
  EXPECT_EQ(counter, expected);
}

// A bounded buffer made of one Lock: if a wake-up were lost, somebody would sleep for ever, with work to do.
TEST(LockStressTest, NoWakeUpIsLostInABoundedBuffer) {
  constexpr int kProducers = 3;
  constexpr int kConsumers = 3;
  constexpr int kItems = kRounds / 4;
  Lock lock("buffer");
  std::deque<int> buffer;
  int produced_by_all = 0;
  long sum = 0;
  std::vector<ThreadHandle<void>> threads;
  for (int p = 0; p < kProducers; ++p) {
    threads.push_back(Thread::run("producer", [&](Signal) {
      for (int i = 1; i <= kItems; ++i) {
        auto held = lock.enter();
        ASSERT_TRUE(held.wait([&] { return buffer.size() < 2; }));
        buffer.push_back(i);
        ++produced_by_all;
      }
    }));
  }
  for (int c = 0; c < kConsumers; ++c) {
    threads.push_back(Thread::run("consumer", [&](Signal) {
      while (true) {
        auto held = lock.enter();
        ASSERT_TRUE(held.wait([&] { return !buffer.empty() || produced_by_all == kProducers * kItems; }));
        if (buffer.empty()) return;
        sum += buffer.front();
        buffer.pop_front();
      }
    }));
  }
  join_all(threads);
  EXPECT_EQ(sum, static_cast<long>(kProducers) * kItems * (kItems + 1) / 2);
}

// The same with limits that end many of the waits just as they are woken: a wake-up that comes to one who has given up must
// go to another.
TEST(LockStressTest, NoWakeUpIsLostToWaitsThatTimeOut) {
  constexpr int kItems = kRounds / 4;
  Lock lock("buffer");
  int there = 0;
  int taken = 0;
  std::atomic<bool> ended{false};
  std::vector<ThreadHandle<void>> impatient;
  for (int i = 0; i < 3; ++i) {
    impatient.push_back(Thread::run("impatient", [&, i](Signal) {
      std::mt19937 random(static_cast<unsigned>(i));
      while (!ended) {
        auto held = lock.enter();
        if (held.wait([&] { return there > 0; }, absl::Microseconds(random() % 60))) {
          --there;
          ++taken;
        }
      }
    }));
  }
  auto patient = Thread::run("patient", [&](Signal please_stop) {
    while (!please_stop) {
      auto held = lock.enter();
      if (held.wait([&] { return there > 0; }, please_stop)) {
        --there;
        ++taken;
      }
    }
  });
  for (int i = 0; i < kItems; ++i) {
    auto held = lock.enter();
    ++there;
  }
  {
    // Whoever is left takes what is left: nobody but the patient one needs to be woken for it.
    auto held = lock.enter();
    ASSERT_TRUE(held.wait([&] { return taken == kItems; }));
  }
  ended = true;
  join_all(impatient);
  patient.stop().join();
  EXPECT_EQ(there, 0);
}

TEST(LockStressTest, TwoLocksOfTheStandardsScopedLockDoNotDeadlock) {
  Lock a("a");
  Lock b("b");
  long counter = 0;
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(Thread::run("thread", [&, i](Signal) {
      for (int n = 0; n < kRounds / 8; ++n) {
        if (i % 2 == 0) {
          std::scoped_lock both(a, b);
          ++counter;
        } else {
          std::scoped_lock both(b, a);
          ++counter;
        }
      }
    }));
  }
  join_all(threads);
  EXPECT_EQ(counter, 4L * (kRounds / 8));
}

}  // namespace
}  // namespace mothreads
