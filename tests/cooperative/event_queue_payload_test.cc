#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"
#include "tests/support/allocations.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;

// --- what is refused, and what throws ------------------------------------------------------------------------------------------

struct ThrowsWhenMoved {
  explicit ThrowsWhenMoved(int its_number) : number(its_number) {}
  ThrowsWhenMoved(ThrowsWhenMoved&& other) : number(other.number) {
    if (moves_until_it_throws-- == 0) throw std::runtime_error("a move");
    other.number = 0;
  }
  int number;
  static inline int moves_until_it_throws = -1;
};

// A fiber that waits for the queue, whose limit has come, and which has not had its turn since.
template <typename T>
class GivenUp {
 public:
  explicit GivenUp(EventQueue<T>& queue) : fiber_(spawn("gives up", [this, &queue] { EXPECT_FALSE(queue.next(limit_)); })) {
    yield();
    limit_.go();
  }
  void join() { fiber_.join(); }

 private:
  Signal limit_;
  Fiber<void> fiber_;
};

// The value was moved into the queue, and destroyed there, when somebody was still in the list whose limit had come.
TEST(EventQueueTest, AValueThatIsRefusedIsUntouched) {
  for (const std::size_t max : {0, 1}) {
    EventQueue<std::unique_ptr<int>> queue(max);
    GivenUp<std::unique_ptr<int>> first(queue);
    if (max == 1) {
      EXPECT_TRUE(queue.signal(std::make_unique<int>(1)));
    }
    auto value = std::make_unique<int>(2);
    EXPECT_EQ(queue.signal(std::move(value)).why(), Why::full);
    EXPECT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): whether it was moved is the question
    first.join();
    EXPECT_EQ(queue.size(), max);
  }
}

TEST(EventQueueTest, AValueWhoseMoveMayThrowThatIsRefusedIsUntouched) {
  for (const std::size_t max : {0, 1}) {
    EventQueue<ThrowsWhenMoved> queue(max);
    GivenUp<ThrowsWhenMoved> first(queue);
    if (max == 1) {
      EXPECT_TRUE(queue.signal(ThrowsWhenMoved(1)));
    }
    ThrowsWhenMoved value(2);
    EXPECT_EQ(queue.signal(std::move(value)).why(), Why::full);
    EXPECT_EQ(value.number, 2);  // NOLINT(bugprone-use-after-move)
    first.join();
  }
}

TEST(EventQueueTest, AnUnbufferedOneTakesWhatSomebodyWaitsFor) {
  EventQueue<ThrowsWhenMoved> queue(0);
  EXPECT_EQ(queue.signal(ThrowsWhenMoved(1)).why(), Why::full);
  auto waiter = spawn("waiter", [&] { return queue.wait().number; });
  yield();
  EXPECT_TRUE(queue.signal(ThrowsWhenMoved(2)));
  EXPECT_EQ(waiter.join(), 2);
}

// In whatever step a move throws, the queue goes on: nobody waits for ever, and it holds what it says.
TEST(EventQueueTest, AMoveThatThrowsLeavesItSound) {
  for (const bool waits : {false, true}) {
    for (int moves = 0; moves < 8; ++moves) {
      EventQueue<ThrowsWhenMoved> queue;
      std::optional<Fiber<int>> waiter;
      if (waits) waiter.emplace(spawn("waiter", [&] { return queue.wait().number; }));
      yield();
      ThrowsWhenMoved::moves_until_it_throws = moves;
      int taken = 0;
      for (int i = 1; i <= 3; ++i) {
        try {
          queue.signal(ThrowsWhenMoved(i));
        } catch (const std::runtime_error&) {
        }
      }
      while (!queue.empty()) {
        try {
          taken += queue.wait().number > 0 ? 1 : 0;
        } catch (const std::runtime_error&) {
        }
      }
      ThrowsWhenMoved::moves_until_it_throws = -1;
      queue.signal(ThrowsWhenMoved(9));
      queue.close();
      if (waits) {
        try {
          EXPECT_GT(waiter->join(), 0);
        } catch (const std::runtime_error&) {
        }
      }
      if (!waits || !queue.empty()) {
        EXPECT_EQ(queue.wait().number, 9);
      }
      EXPECT_THROW(queue.wait(), Closed);
      EXPECT_LE(taken, 3);
    }
  }
}

TEST(EventQueueTest, AnEmptyOneTakes200BytesAtMostAndAllocatesNothing) {
  static_assert(sizeof(EventQueue<int>) <= 200 && sizeof(EventQueue<std::string>) <= 200);
  Scheduler::current();
  const auto before = mothreads::testing::allocations_here();
  EventQueue<std::string> queue;
  EXPECT_EQ(mothreads::testing::allocations_here() - before, 0U);
}

}  // namespace
}  // namespace cooperative
