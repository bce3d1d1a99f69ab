#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cooperative/callback_queue.h"
#include "cooperative/event_queue.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "tests/support/failing_allocations.h"

// Each allocation of each verb that takes a value fails in turn: it throws and nothing has happened, or it is done.

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::Scarce;
using mothreads::testing::with_each_allocation_failing;

template <typename Queue>
void signal_in_scarcity() {
  for (const int there : {0, 16}) {  // the first makes the memory, the other makes it grow
    with_each_allocation_failing([&](Scarce scarce) {
      Queue queue;
      for (int i = 0; i < there; ++i) queue.signal(std::make_unique<int>(i));
      auto value = std::make_unique<int>(16);
      const bool has_thrown = scarce([&] { queue.signal(std::move(value)); });
      EXPECT_EQ(value != nullptr, has_thrown);  // NOLINT(bugprone-use-after-move)
      if (has_thrown) queue.signal(std::move(value));
      EXPECT_EQ(queue.size(), static_cast<std::size_t>(there + 1));
      EXPECT_FALSE(scarce([&] {
        for (int i = 0; i < there; ++i) queue.wait();
        queue.close();
      }));
      EXPECT_EQ(*queue.wait(), 16);
    });
  }
}

TEST(ScarceTest, EventQueue) { signal_in_scarcity<EventQueue<std::unique_ptr<int>>>(); }

TEST(ScarceTest, ThreadedEventQueue) { signal_in_scarcity<ThreadedEventQueue<std::unique_ptr<int>>>(); }

// A function with so much that its place is new memory.
struct Large {
  explicit Large(int& its_runs) : runs(its_runs) {}
  void operator()() { ++runs; }
  int& runs;
  std::unique_ptr<int> value = std::make_unique<int>(1);
  char more[1000] = {};
};

TEST(ScarceTest, CallbacksRunOnceOrThrow) {
  Scheduler here = Scheduler::current();
  with_each_allocation_failing([&](Scarce scarce) {
    int runs = 0;
    Large function(runs);
    if (scarce([&] { here.callback(std::move(function)); })) {
      EXPECT_NE(function.value, nullptr);  // NOLINT(bugprone-use-after-move)
      here.callback(std::move(function));
    }
    yield_until_idle();
    EXPECT_EQ(runs, 1);
  });
}

// With room in the places of calls, and without: what starts the queue's fiber needs one, too.
TEST(ScarceTest, CallbacksOfAQueueRunOnceOrThrow) {
  for (int used = 0; used < 140; ++used) {
    with_each_allocation_failing([&](Scarce scarce) {
      int runs = 0;
      CallbackQueue queue(Scheduler::current());
      const bool has_thrown = scarce([&] { queue.callback([&runs] { ++runs; }); });
      EXPECT_EQ(queue.size(), has_thrown ? 0U : 1U);
      if (has_thrown) queue.callback([&runs] { ++runs; });
      yield_until_idle();
      EXPECT_EQ(runs, 1);
    });
  }
}

}  // namespace
}  // namespace cooperative
