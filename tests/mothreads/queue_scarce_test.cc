#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mothreads/queue.h"
#include "mothreads/thread.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/queue_waits.h"

// Each allocation of each verb fails in turn: it throws and nothing has happened, or it is done.

namespace mothreads::inline v0 {
namespace {

using testing::Scarce;
using testing::waiting_add;
using testing::with_each_allocation_failing;

std::vector<std::string> texts(int count) {
  std::vector<std::string> made;
  for (int i = 0; i < count; ++i) made.push_back(std::string(50, static_cast<char>('a' + i)));
  return made;
}

class QueueScarceTest : public ::testing::TestWithParam<bool> {
 protected:
  QueueOptions options(std::size_t max) const { return {.max = max, .silent = true, .unique = GetParam()}; }
};

TEST_P(QueueScarceTest, AddingThrowsAndNothingHasHappenedOrItIsDone) {
  // So many that the ring has to grow.
  const std::vector<std::string> there = texts(16);
  const std::vector<std::function<void(Queue<std::string>&, std::string&)>> verbs{
      [](Queue<std::string>& queue, std::string& value) { queue.add(std::move(value)); },
      [](Queue<std::string>& queue, std::string& value) { EXPECT_TRUE(queue.push(std::move(value), absl::ZeroDuration())); },
      [](Queue<std::string>& queue, std::string& value) { queue.force_add(std::move(value)); },
  };
  for (const auto& verb : verbs) {
    with_each_allocation_failing([&](Scarce scarce) {
      Queue<std::string> queue("q", options(100));
      for (const std::string& text : there) queue.add(text);
      std::string value(50, 'z');
      const bool has_thrown = scarce([&] { verb(queue, value); });
      EXPECT_EQ(value.size(), has_thrown ? 50U : 0U);
      EXPECT_EQ(queue.size(), has_thrown ? 16U : 17U);
      if (has_thrown) verb(queue, value);
      EXPECT_EQ(queue.pop_all().size(), 17U);
    });
  }
}

TEST_P(QueueScarceTest, TakingThrowsAndNothingHasHappenedOrItIsDone) {
  const std::vector<std::string> there = texts(20);
  with_each_allocation_failing([&](Scarce scarce) {
    Queue<std::string> queue("q", options(20));
    for (const std::string& text : there) queue.add(text);
    auto producer = waiting_add(queue, std::string("waits"));
    std::vector<std::string> taken;
    const bool has_thrown = scarce([&] { taken = queue.pop_all(); });
    EXPECT_EQ(taken.size(), has_thrown ? 0U : 20U);
    const bool pop_has_thrown = scarce([&] { static_cast<void>(queue.pop()); });
    EXPECT_FALSE(pop_has_thrown);  // it needs no memory
    producer.join();
  });
}

INSTANTIATE_TEST_SUITE_P(UniqueOrNot, QueueScarceTest, ::testing::Bool());

TEST(QueueScarceMemoryTest, CloseThrowsAndNothingHasHappenedOrItIsDone) {
  with_each_allocation_failing([&](Scarce scarce) {
    Queue<int> queue("q", {.max = 16, .silent = true, .allow_add_after_close = true});
    for (int i = 0; i < 16; ++i) queue.add(i);
    auto first = waiting_add(queue, 16);
    auto second = waiting_add(queue, 17);
    if (scarce([&] { queue.close(); })) {
      EXPECT_EQ(queue.size(), 16U);
      EXPECT_TRUE(first.is_alive());
      queue.close();
    }
    first.join();
    second.join();
    EXPECT_EQ(queue.size(), 18U);
  });
}

TEST(QueueScarceMemoryTest, MakingOneAndAskingForItsSignalsFailsWhole) {
  with_each_allocation_failing([&](Scarce scarce) {
    scarce([&] { Queue<int> queue("a name that is too long for a short string", {.unique = true}); });
  });
  with_each_allocation_failing([&](Scarce scarce) {
    Queue<int> queue("q");
    scarce([&] { static_cast<void>(queue.closed()); });
    queue.close();
    EXPECT_TRUE(queue.closed());
    scarce([&] { queue.join(); });
    queue.join();
  });
}

}  // namespace
}  // namespace mothreads
