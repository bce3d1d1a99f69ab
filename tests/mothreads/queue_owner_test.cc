#include "mothreads/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/queue_waits.h"
#include "tests/support/scripted_context.h"

// Who destroys a queue, who keeps a value that was refused, and what an empty one takes.

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::ScriptedContext;
using testing::value_of;
using testing::VirtualClock;
using testing::waiting_add;
using testing::why_not;
using ::testing::ElementsAre;

// --- who is woken destroys it --------------------------------------------------------------------------------------------------

struct Woken {
  std::string name;
  std::function<void(Queue<int>&)> prepare;
  std::function<void(Queue<int>&)> wait;
  std::function<void(Queue<int>&)> wake;
};

class QueueOwnerTest : public ::testing::TestWithParam<Woken> {};

// The one who waits runs at once when it is woken, in the waker's place, and destroys the queue. AddressSanitizer sees what the waker
// touches after that.
TEST_P(QueueOwnerTest, WhoeverIsWokenMayDestroyItAtOnce) {
  auto owned = std::make_unique<Queue<int>>("owned", QueueOptions{.max = 1, .silent = true});
  Queue<int>& queue = *owned;
  GetParam().prepare(queue);
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.on_resume = [&] { owned.reset(); };
  waiter.script({[&] { GetParam().wake(queue); }});
  waiter.run([&] { GetParam().wait(queue); });
  EXPECT_EQ(owned, nullptr);
  waiter.on_resume = nullptr;
}

const auto kNothing = [](Queue<int>&) {};
const auto kFill = [](Queue<int>& queue) { queue.add(1); };
const auto kFillAndClose = [](Queue<int>& queue) {
  queue.add(1);
  queue.close();
};
const auto kPop = [](Queue<int>& queue) { static_cast<void>(queue.pop()); };
const auto kAdd = [](Queue<int>& queue) { static_cast<void>(queue.add(2, absl::InfiniteDuration())); };
const auto kPush = [](Queue<int>& queue) { static_cast<void>(queue.push(2, absl::InfiniteDuration())); };
const auto kForceAdd = [](Queue<int>& queue) { queue.force_add(2); };
const auto kPopAll = [](Queue<int>& queue) { static_cast<void>(queue.pop_all()); };
const auto kJoin = [](Queue<int>& queue) { queue.join(); };
const auto kClosed = [](Queue<int>& queue) { queue.closed().wait(); };
const auto kClose = [](Queue<int>& queue) { queue.close(); };

INSTANTIATE_TEST_SUITE_P(All, QueueOwnerTest,
                         ::testing::Values(Woken{"PopByClose", kNothing, kPop, kClose}, Woken{"PopByAdd", kNothing, kPop, kAdd},
                                           Woken{"PopByPush", kNothing, kPop, kPush}, Woken{"PopByForceAdd", kNothing, kPop, kForceAdd},
                                           Woken{"AddByClose", kFill, kAdd, kClose}, Woken{"AddByPop", kFill, kAdd, kPop},
                                           Woken{"AddByPopAll", kFill, kAdd, kPopAll}, Woken{"JoinByClose", kNothing, kJoin, kClose},
                                           Woken{"JoinByPop", kFillAndClose, kJoin, kPop},
                                           Woken{"JoinByPopAll", kFillAndClose, kJoin, kPopAll},
                                           Woken{"ClosedByClose", kFill, kClosed, kClose}),
                         [](const auto& instance) { return instance.param.name; });

// Two wait, and the first to be woken destroys it while the other is still on its way out.
TEST(QueueOwnerTest, TheOtherWaitersThatWereWokenComeBackNoMore) {
  auto owned = std::make_unique<Queue<int>>("owned");
  Queue<int>& queue = *owned;
  ScriptedContext& first = ScriptedContext::make("first");
  ScriptedContext& second = ScriptedContext::make("second");
  second.on_resume = [&] { owned.reset(); };
  second.script({[&] { queue.close(); }});
  first.script({[&] {
    second.run([&] { EXPECT_EQ(why_not(queue.pop()), Why::closed); });
  }});
  first.run([&] { EXPECT_EQ(why_not(queue.pop()), Why::closed); });
  EXPECT_EQ(owned, nullptr);
  second.on_resume = nullptr;
}

// --- who has given up ------------------------------------------------------------------------------------------------------------

// Its limit has come, and its thread has other things to do before it leaves.
class QueueGivenUpTest : public ::testing::Test {
 protected:
  void with_one_that_gave_up(const std::function<void()>& meanwhile) {
    queue_.add(0);
    ScriptedContext& first = ScriptedContext::make("first", clock_);
    first.script({[&] {
      begin_();
      clock_.advance(absl::Seconds(1));
      meanwhile();
    }});
    first.run([&] { EXPECT_EQ(queue_.add(1, absl::Seconds(1)).why(), Why::timed_out); });
  }

  VirtualClock clock_;
  Queue<int> queue_{"q", {.max = 1, .silent = true}};
  std::function<void()> begin_ = [] {};
};

TEST_F(QueueGivenUpTest, ThoseBehindItGetTheRoomAtOnce) {
  std::optional<ThreadHandle<void>> second;
  begin_ = [&] { second.emplace(waiting_add(queue_, 2)); };
  with_one_that_gave_up([&] {
    EXPECT_EQ(value_of(queue_.pop()), 0);
    second->join();
    EXPECT_EQ(value_of(queue_.pop_one()), 2);
  });
}

TEST_F(QueueGivenUpTest, WhoComesLaterFindsTheRoom) {
  with_one_that_gave_up([&] {
    EXPECT_EQ(value_of(queue_.pop()), 0);
    EXPECT_EQ(queue_.add(2, absl::ZeroDuration()).why(), Why::ready);
    EXPECT_EQ(queue_.add(3, absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_THAT(queue_.pop_all(), ElementsAre(2));
    queue_.add(4);
  });
  EXPECT_THAT(queue_.pop_all(), ElementsAre(4));
}

// --- what is refused is untouched --------------------------------------------------------------------------------------------------

struct Base {
  virtual ~Base() = default;
};
struct Derived : Base {};

TEST(QueueRefusalTest, AValueOfAnotherTypeStaysWithTheCaller) {
  Queue<std::unique_ptr<Base>> queue("full", {.max = 1});
  queue.add(std::make_unique<Derived>());
  auto value = std::make_unique<Derived>();
  EXPECT_EQ(queue.add(std::move(value), absl::ZeroDuration()).why(), Why::timed_out);
  EXPECT_EQ(queue.push(std::move(value), DONE).why(), Why::stopped);
  queue.close();
  EXPECT_EQ(queue.add(std::move(value), absl::Seconds(1)).why(), Why::closed);
  EXPECT_THROW(queue.add(std::move(value)), QueueClosed);
  // NOLINTNEXTLINE(bugprone-use-after-move): whether it was moved is the question.
  EXPECT_NE(value, nullptr);
}

TEST(QueueRefusalTest, PushAllLeavesWhatItCouldNotPush) {
  Queue<std::unique_ptr<int>> queue("narrow", {.max = 2});
  const auto three = [] {
    std::vector<std::unique_ptr<int>> values;
    for (int i = 0; i < 3; ++i) values.push_back(std::make_unique<int>(i));
    return values;
  };
  auto values = three();
  EXPECT_THROW(queue.push_all(std::move(values)), Misuse);
  ASSERT_EQ(values.size(), 3U);  // NOLINT(bugprone-use-after-move)
  values.pop_back();
  queue.add(nullptr);
  auto pusher = Thread::run("pusher", [&](Signal) { queue.push_all(std::move(values)); });
  testing::await_sleeping(pusher.thread(), "waits for room");
  queue.close();
  EXPECT_THROW(pusher.join(), QueueClosed);
  ASSERT_EQ(values.size(), 1U);
  EXPECT_EQ(*values[0], 0);
}

// --- memory ----------------------------------------------------------------------------------------------------------------------

TEST(QueueMemoryTest, AnEmptyOneTakes200BytesAtMostAndAllocatesNothing) {
  static_assert(sizeof(Queue<int>) <= 200 && sizeof(Queue<std::string>) <= 200);
  const auto before = allocations_here();
  Queue<int> queue("empty");
  EXPECT_EQ(allocations_here() - before, 0U);
}

TEST(QueueMemoryTest, ABurstIsForgotten) {
  const auto live = testing::live_allocations();
  Queue<std::string> queue("burst", {.max = 100'000});
  for (int i = 0; i < 100'000; ++i) queue.add(std::string());
  const auto before = allocations_here();
  for (int i = 0; i < 100'000; ++i) EXPECT_EQ(value_of(queue.pop()), "");
  EXPECT_EQ(why_not(queue.pop_one()), Why::timed_out);
  EXPECT_LE(allocations_here() - before, 20U);  // it moved to smaller rings, a few times
  EXPECT_LE(testing::live_allocations() - live, 1);
}

TEST(QueueUniqueTest, ManyComeAndGoInEveryOrder) {
  Queue<int> queue("set", {.max = 10'000, .unique = true});
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) queue.add(i * 64);
    for (int i = 0; i < 1000; ++i) queue.push(i * 64);
    EXPECT_EQ(queue.size(), 1000U);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(value_of(queue.pop()), i * 64);
    for (int i = 0; i < 500; ++i) queue.add(i * 64);  // gone, so they come again
    for (int i = 500; i < 1000; ++i) queue.add(i * 64);
    EXPECT_EQ(queue.size(), 1000U);
    EXPECT_EQ(queue.pop_all().size(), 1000U);
  }
}

}  // namespace
}  // namespace mothreads
