#include "cooperative/threaded_event_queue.h"

#include <poll.h>

#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/descriptors.h"
#include "tests/support/scripted_context.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::is_readable;
using mothreads::testing::ScriptedContext;
using ::testing::ElementsAre;

TEST(ThreadedEventQueueTest, GivesWhatIsInItInOrder) {
  ThreadedEventQueue<int> queue;
  for (int i = 0; i < 3; ++i) queue.signal(i);
  EXPECT_EQ(queue.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.wait(), i);
}

TEST(ThreadedEventQueueTest, FromThreadToFiber) {
  ThreadedEventQueue<std::unique_ptr<int>> queue;
  auto producer = Thread::run("producer", [&](Signal) {
    for (int i = 0; i < 1000; ++i) queue.signal(std::make_unique<int>(i));
    queue.close();
  });
  auto consumer = spawn("consumer", [&] {
    int expected = 0;
    while (auto value = queue.next()) EXPECT_EQ(**value, expected++);
    return expected;
  });
  EXPECT_EQ(consumer.join(), 1000);
  producer.join();
}

TEST(ThreadedEventQueueTest, FromFiberToThread) {
  ThreadedEventQueue<int> queue;
  auto consumer = Thread::run("consumer", [&](Signal please_stop) {
    long sum = 0;
    for (const int value : queue.until(please_stop)) sum += value;
    return sum;
  });
  spawn("producer", [&] {
    for (int i = 0; i < 1000; ++i) {
      queue.signal(i);
      if (i % 10 == 0) yield();
    }
    queue.close();
  }).join();
  EXPECT_EQ(consumer.join(), 499'500);
}

TEST(ThreadedEventQueueTest, ManyOnBothSidesLoseNothing) {
  ThreadedEventQueue<int> queue;
  constexpr int kEach = 2000;
  std::vector<mothreads::ThreadHandle<void>> producers;
  for (int t = 0; t < 2; ++t) {
    producers.push_back(Thread::run("producer", [&](Signal) {
      for (int i = 1; i <= kEach; ++i) queue.signal(i);
    }));
  }
  auto thread = Thread::run("consumer", [&](Signal) {
    long sum = 0;
    while (auto value = queue.next()) sum += *value;
    return sum;
  });
  const auto consume = [&] {
    long sum = 0;
    while (auto value = queue.next()) sum += *value;
    return sum;
  };
  auto a = spawn("a", consume);
  auto b = spawn("b", consume);
  spawn("closer", [&] {
    mothreads::join_all(producers);
    queue.close();
  }).join();
  EXPECT_EQ(a.join() + b.join() + thread.join(), 2L * kEach * (kEach + 1) / 2);
}

// Both ends are any mix of threads and of fibers, of as many schedulers as there are.
TEST(ThreadedEventQueueTest, ThreadsAndFibersOfSeveralSchedulersOnBothEnds) {
  ThreadedEventQueue<int> queue;
  constexpr int kEach = 1000;
  const auto produce = [&] {
    for (int i = 1; i <= kEach; ++i) {
      queue.signal(i);
      if (i % 50 == 0) yield();
    }
  };
  const auto consume = [&] {
    long sum = 0;
    for (const int value : queue) sum += value;
    return sum;
  };
  const auto produce_by_fibers = [&](Signal) {
    auto one = spawn("producer", produce);
    auto two = spawn("producer", produce);
    one.join();
    two.join();
  };
  const auto consume_by_fibers = [&](Signal) {
    auto one = spawn("consumer", consume);
    auto two = spawn("consumer", consume);
    return one.join() + two.join();
  };
  auto fibers_that_consume = Thread::run("fibers that consume", consume_by_fibers);
  auto thread_that_consumes = Thread::run("thread that consumes", [&](Signal) { return consume(); });
  auto own_fiber_that_consumes = spawn("own fiber that consumes", consume);
  std::vector<mothreads::ThreadHandle<void>> producers;
  producers.push_back(Thread::run("fibers that produce", produce_by_fibers));
  producers.push_back(Thread::run("thread that produces", [&](Signal) {
    for (int i = 1; i <= kEach; ++i) queue.signal(i);
  }));
  spawn("own fiber that produces", produce).join();
  mothreads::join_all(producers);
  queue.close();
  EXPECT_EQ(fibers_that_consume.join() + thread_that_consumes.join() + own_fiber_that_consumes.join(), 4L * kEach * (kEach + 1) / 2);
  EXPECT_EQ(queue.size(), 0u);
}

TEST(ThreadedEventQueueTest, ALoopEndsWhenItIsClosedAndEmpty) {
  ThreadedEventQueue<std::unique_ptr<int>> queue;
  for (int i = 0; i < 3; ++i) queue.signal(std::make_unique<int>(i));
  queue.close();
  std::vector<int> got;
  for (const auto& value : queue) {
    got.push_back(*value);
    if (got.size() == 2) break;
  }
  EXPECT_EQ(queue.size(), 1u);
  for (const auto& value : queue) got.push_back(*value);
  EXPECT_THAT(got, ElementsAre(0, 1, 2));
}

TEST(ThreadedEventQueueTest, ALoopEndsWithItsSignal) {
  ThreadedEventQueue<int> queue;
  Signal stop;
  queue.signal(1);
  std::vector<int> got;
  auto loop = spawn("loop", [&] {
    for (const int value : queue.until(stop)) got.push_back(value);
  });
  yield();
  stop.go();
  loop.join();
  EXPECT_THAT(got, ElementsAre(1));
}

TEST(ThreadedEventQueueTest, AWaitThatTimesOutTakesNothing) {
  ThreadedEventQueue<int> queue;
  EXPECT_THROW(queue.wait(absl::ZeroDuration()), Timedout);
  queue.signal(4);
  EXPECT_EQ(queue.wait(absl::ZeroDuration()), 4);
}

TEST(ThreadedEventQueueTest, CloseDrainsThenEnds) {
  ThreadedEventQueue<int> queue;
  queue.signal(1);
  queue.close();
  queue.close();
  EXPECT_EQ(queue.signal(2).why(), mothreads::Why::closed);
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_THROW(queue.wait(), Closed);
}

TEST(ThreadedEventQueueTest, CloseWakesThreadsAndFibers) {
  ThreadedEventQueue<int> queue;
  auto thread = Thread::run("thread", [&](Signal) { return queue.next().why(); });
  auto fiber = spawn("fiber", [&] { return queue.next().why(); });
  yield();
  queue.close();
  EXPECT_EQ(fiber.join(), mothreads::Why::closed);
  EXPECT_EQ(thread.join(), mothreads::Why::closed);
}

TEST(ThreadedEventQueueTest, ItsDescriptorIsReadableWhileThereIsSomething) {
  ThreadedEventQueue<int> queue;
  queue.signal(1);
  const int descriptor = queue.wait_descriptor();
  EXPECT_EQ(queue.wait_descriptor(), descriptor);
  EXPECT_TRUE(is_readable(descriptor));
  queue.signal(2);
  queue.wait();
  EXPECT_TRUE(is_readable(descriptor));
  queue.wait();
  EXPECT_FALSE(is_readable(descriptor));
  queue.close();
  EXPECT_TRUE(is_readable(descriptor));
}

TEST(ThreadedEventQueueTest, ItsDescriptorWakesWhoPolls) {
  ThreadedEventQueue<int> queue;
  const int descriptor = queue.wait_descriptor();
  auto poller = Thread::run("poller", [&](Signal) {
    pollfd wanted{descriptor, POLLIN, 0};
    constexpr int kForEver = -1;
    return poll(&wanted, 1, kForEver) == 1 ? queue.wait(absl::ZeroDuration()) : 0;
  });
  spawn("signaller", [&] { queue.signal(5); }).join();
  EXPECT_EQ(poller.join(), 5);
  EXPECT_FALSE(is_readable(descriptor));
}

// What goes straight to who waits is never in the queue.
TEST(ThreadedEventQueueTest, ItsDescriptorIsNotForWhatSomebodyWaitsFor) {
  ThreadedEventQueue<int> queue;
  const int descriptor = queue.wait_descriptor();
  auto waiter = spawn("waiter", [&] { return queue.wait(); });
  yield();
  queue.signal(1);
  EXPECT_FALSE(is_readable(descriptor));
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(waiter.join(), 1);
}

TEST(ThreadedEventQueueDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto queue = std::make_unique<ThreadedEventQueue<int>>();
        auto waiter = spawn("waiter", [&] { queue->wait(); });
        yield();
        queue.reset();
      },
      "a ThreadedEventQueue was destroyed while somebody waits for it");
}

// In cothread the 65,536th value that nobody had read blocked whoever signalled it.
TEST(ThreadedEventQueueTest, SignalNeverWaits) {
  ThreadedEventQueue<int> queue;
  static_cast<void>(queue.wait_descriptor());
  constexpr int kMany = 70'000;
  for (int i = 0; i < kMany; ++i) queue.signal(i);
  EXPECT_EQ(queue.size(), static_cast<std::size_t>(kMany));
}

TEST(ThreadedEventQueueTest, ACancelledFiberLeavesItsValueToTheNext) {
  ThreadedEventQueue<int> queue;
  auto first = spawn("first", [&] { return queue.wait(); });
  auto second = spawn("second", [&] { return queue.wait(); });
  yield();
  first.cancel();
  queue.signal(6);
  EXPECT_THROW(first.join(), WasCancelled);
  EXPECT_EQ(second.join(), 6);
}

// --- who destroys it, and what is refused ------------------------------------------------------------------------------------------

// The one who waits runs at once when it is woken, in the waker's place, and destroys the queue: AddressSanitizer sees what is touched
// after that.
TEST(ThreadedEventQueueTest, WhoeverIsWokenMayDestroyItAtOnce) {
  for (const bool closes : {false, true}) {
    auto owned = std::make_unique<ThreadedEventQueue<int>>();
    ThreadedEventQueue<int>& queue = *owned;
    ScriptedContext& waiter = ScriptedContext::make("waiter");
    waiter.on_resume = [&] { owned.reset(); };
    waiter.script({[&] {
      if (closes) {
        queue.close();
      } else {
        queue.signal(1);
      }
    }});
    waiter.run([&] { EXPECT_EQ(queue.next().why(), closes ? mothreads::Why::closed : mothreads::Why::ready); });
    EXPECT_EQ(owned, nullptr);
    waiter.on_resume = nullptr;
  }
}

TEST(ThreadedEventQueueTest, AValueThatIsRefusedIsUntouched) {
  ThreadedEventQueue<std::unique_ptr<int>> queue;
  queue.close();
  auto value = std::make_unique<int>(1);
  EXPECT_EQ(queue.signal(std::move(value)).why(), mothreads::Why::closed);
  EXPECT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): whether it was moved is the question
}

TEST(ThreadedEventQueueTest, AnEmptyOneTakes200BytesAtMostAndAllocatesNothing) {
  static_assert(sizeof(ThreadedEventQueue<int>) <= 200);
  const auto before = mothreads::testing::allocations_here();
  ThreadedEventQueue<std::unique_ptr<int>> queue;
  EXPECT_EQ(mothreads::testing::allocations_here() - before, 0U);
}

}  // namespace
}  // namespace cooperative
