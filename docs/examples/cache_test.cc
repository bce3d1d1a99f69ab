// A test of threads without hints for the World, and one of that test.

#include <cstdio>

#include <gtest/gtest.h>

#include "cooperative/testing/find_failure.h"
#include "cooperative/testing/world.h"
#include "mothreads/lock.h"
#include "mothreads/signal.h"
#include "mothreads/thread_group.h"

namespace co = cooperative;
using mothreads::Lock;
using mothreads::Signal;
using mothreads::ThreadGroup;

namespace {

class Cache {
 public:
  void add(int number) {
    auto held = lock_.enter();
    sum_ += number;
  }
  int sum() const { return sum_; }

 protected:
  Lock lock_{"cache"};
  int sum_ = 0;
};

// [fault]
class HastyCache : public Cache {
 public:
  void add(int number) {
    int before = 0;
    {
      auto held = lock_.enter();
      before = sum_;
    }
    auto held = lock_.enter();                                // another may have been inside
    sum_ = before + number;
  }
};
// [/fault]

}  // namespace

// [everywhere]
TEST(Cache, LosesNoUpdate) {
  co::testing::for_each_seed(200, [](co::testing::World& world) {
    Cache cache;
    world.run([&] {
      ThreadGroup writers("writers");
      for (int i = 0; i < 3; ++i) writers.run("writer", [&](Signal) { cache.add(1); });
      writers.join();
    });
    EXPECT_EQ(cache.sum(), 3);
  }, {.switch_at = co::testing::SwitchAt::every_operation,
      .order = co::testing::Order::priority_changes, .shrink = true});
}
// [/everywhere]

// [found]
TEST(Cache, AnUpdateThatIsLostWouldBeFound) {
  const auto found = co::testing::find_failure(100, [](co::testing::World& world) {
    HastyCache cache;
    world.run([&] {
      ThreadGroup writers("writers");
      for (int i = 0; i < 3; ++i) writers.run("writer", [&](Signal) { cache.add(1); });
      writers.join();
    });
    EXPECT_EQ(cache.sum(), 3);
  }, {.switch_at = co::testing::SwitchAt::every_operation, .shrink = true});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->switches.size(), 1u);                      // all that is needed
  std::puts(found->report().c_str());
}
// [/found]
