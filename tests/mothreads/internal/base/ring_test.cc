#include "mothreads/internal/base/ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/allocations.h"

namespace mothreads::inline v0::internal {
namespace {

using testing::allocations_here;

// Counts how often any is moved.
struct Counted {
  explicit Counted(int its_number) : number(its_number) {}
  Counted(Counted&& other) noexcept : number(other.number) { ++moves; }
  int number;
  static inline int moves = 0;
};

TEST(RingQueueTest, KeepsTheOrderFromBothEnds) {
  RingQueue<int> queue;
  for (int i = 0; i < 50; ++i) queue.push_back(i);
  for (int i = 1; i <= 50; ++i) queue.push_front(-i);
  EXPECT_EQ(queue.size(), 100U);
  for (int i = -50; i < 50; ++i) {
    EXPECT_EQ(queue.front(), i);
    queue.drop_front();
  }
  EXPECT_TRUE(queue.is_empty());
}

TEST(RingQueueTest, AnEmptyOneHasNoMemoryOfItsOwn) {
  const auto before = allocations_here();
  RingQueue<std::string> queue;
  EXPECT_EQ(allocations_here() - before, 0U);
  EXPECT_LE(sizeof queue, 32U);
}

TEST(RingQueueTest, FewThatComeAndGoAllocateNothing) {
  RingQueue<int> queue;
  queue.push_back(0);
  const auto before = allocations_here();
  for (int i = 0; i < 1000; ++i) {
    queue.push_back(i);
    queue.drop_front();
  }
  EXPECT_EQ(allocations_here() - before, 0U);
}

// Each of a burst is moved in, out of the way of those that made the ring grow, and back to a smaller one: a constant, however many.
TEST(RingQueueTest, AnItemIsMovedAConstantNumberOfTimes) {
  for (const int burst : {1'000, 10'000, 100'000}) {
    RingQueue<Counted> queue;
    Counted::moves = 0;
    for (int i = 0; i < burst; ++i) queue.push_back(Counted(i));
    for (int i = 0; i < burst; ++i) queue.drop_front();
    EXPECT_LE(Counted::moves, 4 * burst);
  }
}

// A size that goes up and down by a step around each of the places where the ring changes.
TEST(RingQueueTest, ASizeThatGoesUpAndDownByAStepCostsNoMoreThanThat) {
  RingQueue<Counted> queue;
  for (int i = 0; i < 100'000; ++i) queue.push_back(Counted(i));
  while (!queue.is_empty()) {
    Counted::moves = 0;
    for (int i = 0; i < 100; ++i) {
      queue.push_back(Counted(i));
      queue.drop_front();
    }
    EXPECT_LE(Counted::moves, 100 + static_cast<int>(queue.size()) + 100);  // at most one change of the ring
    const std::size_t next = queue.size() * 9 / 10;
    while (queue.size() > next) queue.drop_front();
  }
}

TEST(RingQueueTest, GivesMemoryBackAfterABurst) {
  std::uint64_t capacity = 0;
  Ring<std::uint64_t> ring;
  ring.reserve(1'000'000, 0, 0);
  EXPECT_TRUE(ring.is_sparse(0));
  ring.shrink(0, 0);
  capacity = ring.capacity();
  EXPECT_LE(capacity * sizeof(std::uint64_t), 16U * 1024);
  EXPECT_FALSE(ring.is_sparse(0));
}

TEST(RingQueueTest, LargeItemsBeginWithFew) {
  struct Large {
    char bytes[4096];
  };
  EXPECT_EQ(Ring<Large>::kFirst, 4U);
  EXPECT_EQ(Ring<char>::kFirst, 16U);
}

// --- what throws -------------------------------------------------------------------------------------------------------------------

struct Explosive {
  explicit Explosive(int its_number) : number(its_number) { ++alive; }
  Explosive(Explosive&& other) : number(other.number) {
    if (moves_until_it_throws-- == 0) throw std::runtime_error("a move");
    ++alive;
  }
  ~Explosive() { --alive; }
  int number;
  static inline int moves_until_it_throws = -1;
  static inline int alive = 0;
};

TEST(RingQueueTest, AThrowingMoveLeavesItAsItWas) {
  for (int moves = 0; moves < 40; ++moves) {
    {
      RingQueue<Explosive> queue;
      int there = 0;
      bool has_thrown = false;
      Explosive::moves_until_it_throws = moves;
      for (int i = 0; i < 40 && !has_thrown; ++i) {
        try {
          queue.push_back(Explosive(i));
          ++there;
        } catch (const std::runtime_error&) {
          has_thrown = true;
        }
      }
      EXPECT_EQ(there, moves);
      ASSERT_EQ(queue.size(), static_cast<std::size_t>(there));
      for (int i = 0; i < there; ++i) {
        EXPECT_EQ(queue.front().number, i);
        queue.drop_front();
      }
    }
    EXPECT_EQ(Explosive::alive, 0);
  }
  Explosive::moves_until_it_throws = -1;
}

}  // namespace
}  // namespace mothreads::internal
