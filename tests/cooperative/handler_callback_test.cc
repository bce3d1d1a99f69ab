#include "cooperative/handler_callback.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// What the handler of SIGUSR1 posts.
std::atomic<const HandlerCallback*> of_handler{nullptr};
std::atomic<std::uint64_t> allocations_of_handler{0};

class Handler {
 public:
  explicit Handler(const HandlerCallback& callback) {
    of_handler = &callback;
    struct sigaction action {};
    action.sa_handler = [](int) {
      const std::uint64_t before = mothreads::testing::allocations_here();
      of_handler.load()->post();
      allocations_of_handler += mothreads::testing::allocations_here() - before;
    };
    sigaction(SIGUSR1, &action, &before_);
  }
  ~Handler() { sigaction(SIGUSR1, &before_, nullptr); }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

 private:
  struct sigaction before_ {};
};

TEST(HandlerCallbackTest, RunsOnceForAllThatWereRaisedBeforeItRan) {
  int ran = 0;
  const HandlerCallback callback(Scheduler::current(), [&] { ++ran; });
  const Handler handler(callback);
  for (int i = 0; i < 5; ++i) raise(SIGUSR1);
  EXPECT_EQ(ran, 0);
  yield_until_idle();
  EXPECT_EQ(ran, 1);
  raise(SIGUSR1);
  yield_until_idle();
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(allocations_of_handler, 0u);
}

TEST(HandlerCallbackTest, ASignalThatInterruptsTheSleepOfItsOwnSchedulerWakesIt) {
  std::optional<HandlerCallback> callback;
  Signal ready;
  std::atomic<int> ran{0};
  pthread_t its_thread{};
  auto host = Thread::run("host", [&](Signal please_stop) {
    callback.emplace(Scheduler::current(), [&] { ++ran; });
    its_thread = pthread_self();
    ready.go();
    please_stop.wait();
    callback.reset();
  });
  ready.wait();
  {
    const Handler handler(*callback);
    for (int i = 1; i <= 300; ++i) {
      pthread_kill(its_thread, SIGUSR1);
      mothreads::testing::await([&] { return ran == i; });
    }
  }
  host.stop().join();
}

// Whatever the thread is about when the signal comes: also posting to the same scheduler, or running what was posted.
TEST(HandlerCallbackTest, NoPostIsLostWhileTheThreadPostsAndRunsOthers) {
  std::atomic<int> ran{0};
  const Scheduler here = Scheduler::current();
  const HandlerCallback callback(here, [&] { ++ran; });
  const Handler handler(callback);
  const pthread_t its_thread = pthread_self();
  std::atomic<bool> ended{false};
  auto killer = Thread::run("killer", [&](Signal) {
    for (int i = 0; i < 300; ++i) {
      const int before = ran;
      pthread_kill(its_thread, SIGUSR1);
      mothreads::testing::await([&] { return ran > before; });
    }
    ended = true;
  });
  while (!ended) {
    for (int i = 0; i < 10; ++i) here.callback([] {});
    yield();
  }
  killer.join();
  EXPECT_EQ(ran, 300);
}

TEST(HandlerCallbackTest, PostedWhileItRunsItRunsAgain) {
  int ran = 0;
  Event<> go_on;
  const HandlerCallback callback(Scheduler::current(), [&] {
    ++ran;
    go_on.wait();
  });
  EXPECT_TRUE(callback.post());
  yield_until_idle();
  EXPECT_TRUE(callback.post());
  EXPECT_TRUE(callback.post());
  yield_until_idle();
  EXPECT_EQ(ran, 1);
  go_on.signal();
  yield_until_idle();
  EXPECT_EQ(ran, 2);
  go_on.signal();
  yield_until_idle();
  EXPECT_EQ(ran, 2);
}

TEST(HandlerCallbackTest, RunsInOrderWithTheOtherCallbacks) {
  std::vector<int> order;
  const Scheduler here = Scheduler::current();
  const HandlerCallback callback(here, [&] { order.push_back(2); });
  here.callback([&] { order.push_back(1); });
  EXPECT_TRUE(callback.post());
  here.callback([&] { order.push_back(3); });
  yield_until_idle();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(HandlerCallbackTest, AfterItsEndItDoesNotRun) {
  const auto kept = std::make_shared<int>(1);
  std::optional<HandlerCallback> callback;
  callback.emplace(Scheduler::current(), [kept] { FAIL() << "its handle has gone"; });
  EXPECT_TRUE(callback->post());
  callback.reset();
  yield_until_idle();
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(HandlerCallbackTest, ItsEndWaitsForWhatRunsButFromInside) {
  Event<> go_on;
  bool ended = false;
  std::optional<HandlerCallback> callback;
  callback.emplace(Scheduler::current(), [&] {
    go_on.wait();
    ended = true;
  });
  EXPECT_TRUE(callback->post());
  yield_until_idle();
  auto destroyer = spawn("destroyer", [&] { callback.reset(); });
  yield_until_idle();
  EXPECT_TRUE(destroyer.is_alive());
  go_on.signal();
  destroyer.join();
  EXPECT_TRUE(ended);

  callback.emplace(Scheduler::current(), [&] { callback.reset(); });
  EXPECT_TRUE(callback->post());
  yield_until_idle();
  EXPECT_FALSE(callback.has_value());
}

TEST(HandlerCallbackTest, WhatItThrowsIsLogged) {
  LogLines lines;
  const HandlerCallback callback(Scheduler::current(), [] { throw std::runtime_error("spilled"); });
  EXPECT_TRUE(callback.post());
  yield_until_idle();
  EXPECT_THAT(lines.with("spilled"), SizeIs(1));
}

TEST(HandlerCallbackTest, AnEndedSchedulerTakesNone) {
  std::optional<HandlerCallback> callback;
  Thread::run("host", [&](Signal) {
    callback.emplace(Scheduler::current(), [] { FAIL() << "it ended before"; });
    EXPECT_TRUE(callback->post());
  }).join();
  EXPECT_FALSE(callback->post());
  EXPECT_FALSE(callback->post());
}

TEST(HandlerCallbackTest, LeavesErrnoAsItIs) {
  const HandlerCallback callback(Scheduler::current(), [] {});
  errno = ERANGE;
  EXPECT_TRUE(callback.post());
  EXPECT_EQ(errno, ERANGE);
  yield_until_idle();
}

TEST(HandlerCallbackTest, AnEmptyFunctionIsMisuse) {
  EXPECT_THROW(static_cast<void>(HandlerCallback(Scheduler::current(), absl::AnyInvocable<void()>())), mothreads::Misuse);
}

}  // namespace
}  // namespace cooperative
