#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::what_of;
using testing::drained;
using testing::waiter_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- close ---------------------------------------------------------------------------------------------------------------------

TEST(EventQueueTest, WhatIsInItWhenItIsClosedCanStillBeTaken) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.signal(2);
  EXPECT_FALSE(queue.is_closed());
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_EQ(queue.wait(), 2);
  EXPECT_EQ(what_of<Closed>([&] { queue.wait(); }), "the queue is closed, and empty");
  EXPECT_THROW(queue.wait(), Closed);
}

TEST(EventQueueTest, CloseWakesAllWhoWait) {
  EventQueue<int> queue;
  Names ends;
  auto first = waiter_of(queue, ends, "first");
  auto second = waiter_of(queue, ends, "second", absl::Hours(1));
  auto third = spawn("third", [&] { return queue.next(); });
  yield();
  queue.close();
  first.join();
  second.join();
  EXPECT_EQ(third.join().why(), mothreads::Why::closed);
  EXPECT_THAT(ends, ElementsAre("first: the queue is closed, and empty", "second: the queue is closed, and empty"));
}

TEST(EventQueueTest, CloseTakesNothingFromWhoGotAValue) {
  EventQueue<int> queue;
  Names ends;
  auto first = waiter_of(queue, ends, "first");
  auto second = waiter_of(queue, ends, "second");
  yield();
  queue.signal(1);
  queue.close();
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: 1", "second: the queue is closed, and empty"));
}

TEST(EventQueueTest, ASignalToAClosedQueueIsRefused) {
  EventQueue<std::unique_ptr<int>> closed;
  closed.close();
  auto value = std::make_unique<int>(1);
  EXPECT_EQ(closed.signal(std::move(value)), Why::closed);
  EXPECT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): whether it was moved is the question
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  EXPECT_EQ(queue.signal(2).why(), Why::closed);
  EXPECT_THAT(drained(queue), ElementsAre(1));
}

TEST(EventQueueTest, AClosedAndFullQueueSaysThatItIsClosed) {
  EventQueue<int> queue(0);
  queue.close();
  EXPECT_EQ(queue.signal(1).why(), Why::closed);
}

TEST(EventQueueTest, ClosingAgainChangesNothing) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_THROW(queue.wait(), Closed);
}

TEST(EventQueueTest, ResetDoesNotOpenItAgain) {
  EventQueue<int> queue;
  queue.signal(1);
  queue.close();
  queue.reset();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_THROW(queue.wait(), Closed);
  EXPECT_EQ(queue.signal(2).why(), Why::closed);
}

TEST(EventQueueTest, AWaitThatIsClosedLetsNobodyRunAndDoesNotTimeOut) {
  EventQueue<int> queue;
  queue.close();
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_THROW(queue.wait(absl::ZeroDuration()), Closed);
  EXPECT_THROW(queue.wait(DONE), Closed);
  EXPECT_EQ(queue.next(absl::ZeroDuration()).why(), mothreads::Why::closed);
  static_assert(!std::is_base_of_v<Timedout, Closed> && !std::is_base_of_v<Closed, Timedout>);
  EXPECT_FALSE(other_ran);
  other.join();
}

// --- other threads, and its end ------------------------------------------------------------------------------------------------

// In cothread a signal of another thread was stored before it was refused.
TEST(EventQueueTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  EventQueue<int> queue;
  const auto elsewhere = [](std::function<void()> action) {
    return Thread::run("other", [&](Signal) { return what_of<Misuse>(action); }).join();
  };
  constexpr const char* kRefusal = "an EventQueue was used on another thread than its own";
  Names ends;
  auto waiter = waiter_of(queue, ends, "waiter");
  yield();
  EXPECT_THAT(elsewhere([&] { queue.signal(1); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.close(); }), HasSubstr(kRefusal));
  EXPECT_FALSE(queue.is_closed());
  yield();
  EXPECT_THAT(ends, IsEmpty());
  queue.signal(2);
  queue.signal(3);
  EXPECT_THAT(elsewhere([&] { queue.signal(4); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.wait(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { static_cast<void>(queue.next()); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.reset(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { queue.begin(); }), HasSubstr(kRefusal));
  EXPECT_THAT(elsewhere([&] { spawn("fiber of another", [&] { queue.wait(); }).join(); }), HasSubstr(kRefusal));
  waiter.join();
  EXPECT_THAT(ends, ElementsAre("waiter: 2"));
  EXPECT_THAT(drained(queue), ElementsAre(3));
}

TEST(EventQueueDeathTest, DestroyedWhileSomebodyWaitsIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto queue = std::make_unique<EventQueue<int>>();
        auto waiter = spawn("waiter", [&] { queue->wait(); });
        yield();
        queue.reset();
      },
      "an EventQueue was destroyed while a fiber waits for it");
}

TEST(EventQueueTest, MayBeDestroyedWithValuesInIt) {
  const auto value = std::make_shared<int>(1);
  {
    EventQueue<std::shared_ptr<int>> queue;
    queue.signal(value);
    EXPECT_EQ(value.use_count(), 2);
  }
  EXPECT_EQ(value.use_count(), 1);
}

TEST(EventQueueTest, AValueThatIsRefusedIsTheCallersStill) {
  EventQueue<std::unique_ptr<int>> queue(0);
  auto value = std::make_unique<int>(1);
  EXPECT_FALSE(queue.signal(std::move(value)));
  EXPECT_NE(value, nullptr);
}

}  // namespace
}  // namespace cooperative
