#include "cooperative/callback_queue.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/host.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::LogLines;
using testing::Host;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A queue whose first callback has begun and waits, so that whatever comes next waits for its turn.
class HeldQueue {
 public:
  explicit HeldQueue(const CallbackQueueOptions& options) : queue_(Scheduler::current(), options) {
    static_cast<void>(queue_.callback([this] { go_on_.wait(); }));
    yield_until_idle();
  }
  CallbackQueue& operator*() { return queue_; }
  CallbackQueue* operator->() { return &queue_; }
  void let_go() { go_on_.signal(); }

 private:
  Event<> go_on_;
  CallbackQueue queue_;
};

TEST(CallbackQueueTest, RunsThemInOrderOnTheSchedulersThread) {
  Host host;
  {
    CallbackQueue queue(host.scheduler());
    std::vector<int> order;
    std::string where;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.callback([&order, i] { order.push_back(i); }));
    EXPECT_TRUE(queue.callback_result([&] {
      where = Thread::current().name();
      return true;
    }, RunIn::callbacks));
    EXPECT_THAT(order, ElementsAre(0, 1, 2));
    EXPECT_EQ(where, "host");
  }
  host.end();
}

TEST(CallbackQueueTest, NeitherWaitsForTheSchedulersOtherCallbacksNorTheyForIt) {
  const Scheduler here = Scheduler::current();
  HeldQueue held({});
  Event<> go_on;
  std::vector<std::string> ran;
  CallbackQueue other(here);
  here.callback([&] { ran.push_back("callback"); });
  here.callback([&] { go_on.wait(); });
  here.callback([&] { ran.push_back("late"); });
  EXPECT_TRUE(held->callback([&] { ran.push_back("held"); }));
  EXPECT_TRUE(other.callback([&] { ran.push_back("other"); }));
  yield_until_idle();
  EXPECT_THAT(ran, ::testing::UnorderedElementsAre("callback", "other"));
  go_on.signal();
  held.let_go();
  yield_until_idle();
  EXPECT_THAT(ran, SizeIs(4));
}

TEST(CallbackQueueTest, WhoPostsToAFullOneWaitsForRoomInOrder) {
  std::vector<std::string> order;
  HeldQueue queue({.max = 2});
  const auto post = [&](const std::string& name) { return queue->callback([&order, name] { order.push_back(name); }).why(); };
  EXPECT_EQ(post("a"), Why::ready);
  EXPECT_EQ(post("b"), Why::ready);
  auto c = spawn("c", [&] { return post("c"); });
  yield();
  auto d = Thread::run("d", [&](Signal) { return post("d"); });
  yield_until_idle();
  EXPECT_TRUE(c.is_alive());
  EXPECT_EQ(queue->size(), 2u);
  queue.let_go();
  EXPECT_EQ(c.join(), Why::ready);
  EXPECT_EQ(d.join(), Why::ready);
  yield_until_idle();
  EXPECT_THAT(order, ElementsAre("a", "b", "c", "d"));
}

TEST(CallbackQueueTest, AWaitForRoomEndsAtItsLimitAndLeavesNothing) {
  HeldQueue queue({.max = 1});
  const auto kept = std::make_shared<int>(1);
  EXPECT_TRUE(queue->callback([] {}));
  EXPECT_EQ(queue->callback([kept] { FAIL() << "it found no room"; }, absl::ZeroDuration()), Why::timed_out);
  EXPECT_EQ(kept.use_count(), 1);
  auto cancelled = spawn("cancelled", [&] { static_cast<void>(queue->callback([kept] { FAIL() << "its poster was cancelled"; })); });
  yield();
  EXPECT_GT(kept.use_count(), 1);
  EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
  EXPECT_EQ(kept.use_count(), 1);
  queue.let_go();
  yield_until_idle();
}

TEST(CallbackQueueTest, RefuseDoesNotWait) {
  int ran = 0;
  HeldQueue queue({.max = 2, .when_full = WhenFull::refuse});
  EXPECT_EQ(queue->callback([&] { ++ran; }), Why::ready);
  EXPECT_EQ(queue->callback([&] { ++ran; }), Why::ready);
  EXPECT_EQ(queue->callback([&] { ++ran; }), Why::full);
  queue.let_go();
  yield_until_idle();
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(queue->callback([&] { ++ran; }), Why::ready);
  yield_until_idle();
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(queue->dropped(), 0u);
}

TEST(CallbackQueueTest, DropOldestCountsAndSaysSoOnce) {
  LogLines lines;
  std::vector<int> ran;
  HeldQueue queue({.name = "updates", .max = 2, .when_full = WhenFull::drop_oldest});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue->callback([&ran, i] { ran.push_back(i); }), Why::ready);
  EXPECT_EQ(queue->dropped(), 3u);
  EXPECT_EQ(queue->size(), 2u);
  queue.let_go();
  yield_until_idle();
  EXPECT_THAT(ran, ElementsAre(3, 4));
  EXPECT_THAT(lines.with("the queue \"updates\" of callbacks is full with 2"), SizeIs(1));
}

TEST(CallbackQueueTest, ACallbackThatWouldWaitForItselfIsMisuse) {
  std::string message;
  CallbackQueue queue(Scheduler::current(), {.max = 1});
  EXPECT_TRUE(queue.callback([&] {
    EXPECT_TRUE(queue.callback([] {}));
    try {
      static_cast<void>(queue.callback([] { FAIL() << "there was no room"; }));
    } catch (const Misuse& misuse) {
      message = misuse.what();
    }
  }));
  yield_until_idle();
  EXPECT_THAT(message, HasSubstr("would wait for itself"));
}

// What overflows the default may have more, whoever calls it.
TEST(CallbackQueueTest, CallbacksHaveTheStackThatWasAskedFor) {
  const auto deep = [] {
    volatile char bytes[200 * 1024];
    for (std::size_t i = 0; i < sizeof bytes; i += 1024) bytes[i] = 1;
    return static_cast<int>(bytes[1024]);
  };
  Thread::run("host", [&](Signal) {
    const Scheduler here = Scheduler::current();
    here.set_options({.callback_stack_size = 1024 * 1024});
    int sum = 0;
    Event<> done;
    here.callback([&] {
      sum += deep();
      done.signal();
    });
    done.wait();
    CallbackQueue of_the_schedulers(here), larger(here, {.stack_size = 512 * 1024});
    for (CallbackQueue* queue : {&of_the_schedulers, &larger}) {
      static_cast<void>(queue->callback([&] {
        sum += deep();
        done.signal();
      }));
      done.wait();
    }
    auto other = Thread::run("other", [&](Signal) {
      EXPECT_THROW(here.set_options({.callback_stack_size = 0}), Misuse);
      return here.callback_result(deep);
    });
    sum += other.join();
    EXPECT_EQ(sum, 4);
  }).join();
}

TEST(CallbackQueueTest, AnEmptyFunctionAndNoRoomAreMisuse) {
  CallbackQueue queue(Scheduler::current());
  void (*nothing)() = nullptr;
  EXPECT_THROW(static_cast<void>(queue.callback(nothing)), Misuse);
  EXPECT_THROW(static_cast<void>(CallbackQueue(Scheduler::current(), {.max = 0})), Misuse);
}

TEST(CallbackQueueTest, WhatOneThrowsIsLoggedAndTheNextRuns) {
  LogLines lines;
  bool ran = false;
  CallbackQueue queue(Scheduler::current());
  EXPECT_TRUE(queue.callback([] { throw std::runtime_error("spilled"); }));
  EXPECT_TRUE(queue.callback([&] { ran = true; }));
  yield_until_idle();
  EXPECT_TRUE(ran);
  EXPECT_THAT(lines.with("Asynchronous callback raised uncaught exception"), SizeIs(1));
}

TEST(CallbackQueueTest, ItsEndDropsThoseThatHaveNotBegunAndWaitsForTheOneThatRuns) {
  LogLines lines;
  const auto kept = std::make_shared<int>(1);
  Event<> go_on;
  bool first_ended = false;
  std::optional<CallbackQueue> queue;
  queue.emplace(Scheduler::current(), CallbackQueueOptions{.name = "updates"});
  EXPECT_TRUE(queue->callback([&] {
    go_on.wait();
    first_ended = true;
  }));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue->callback([kept] { FAIL() << "it was dropped"; }));
  yield_until_idle();
  auto destroyer = spawn("destroyer", [&] { queue.reset(); });
  yield_until_idle();
  EXPECT_TRUE(destroyer.is_alive());
  EXPECT_EQ(kept.use_count(), 1);
  EXPECT_THAT(lines.with("3 callbacks of the queue \"updates\" were withdrawn"), SizeIs(1));
  go_on.signal();
  destroyer.join();
  EXPECT_TRUE(first_ended);
}

TEST(CallbackQueueTest, ACallbackMayDestroyItsQueue) {
  auto queue = std::make_unique<CallbackQueue>(Scheduler::current());
  bool went_on = false;
  EXPECT_TRUE(queue->callback([&] {
    queue.reset();
    went_on = true;
  }));
  yield_until_idle();
  EXPECT_TRUE(went_on);
  EXPECT_EQ(queue, nullptr);
}

TEST(CallbackQueueTest, TheEndOfTheSchedulerWithdrawsThemAndWakesWhoPosts) {
  LogLines lines;
  const auto kept = std::make_shared<int>(1);
  std::optional<CallbackQueue> queue;
  Signal full;
  Signal go_on;
  auto host = Thread::run("host", [&](Signal) {
    queue.emplace(Scheduler::current(), CallbackQueueOptions{.name = "updates", .max = 2});
    EXPECT_TRUE(queue->callback([] { sleep(absl::InfiniteDuration()); }));
    yield_until_idle();
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(queue->callback([kept] { FAIL() << "it was withdrawn"; }));
    full.go();
    go_on.wait();
  });
  full.wait();
  auto poster = Thread::run("poster", [&](Signal) { return queue->callback([kept] { FAIL() << "it was withdrawn"; }).why(); });
  mothreads::testing::await_sleeping(poster.thread(), "waits for room in the queue of callbacks updates");
  go_on.go();
  host.join();
  EXPECT_EQ(poster.join(), Why::closed);
  EXPECT_EQ(kept.use_count(), 1);
  EXPECT_THAT(lines.with("2 callbacks of the queue \"updates\" were withdrawn"), SizeIs(1));
  EXPECT_EQ(queue->callback([] {}), Why::closed);
  EXPECT_THROW(queue->callback_result([] {}), Closed);
}

TEST(CallbackQueueTest, OneThatIsCancelledLeavesTheLaterOnesTheirTurn) {
  Signal posted;
  Signal second_ran;
  auto host = Thread::run("host", [&](Signal please_stop) {
    Event<> never;
    CallbackQueue queue(Scheduler::current());
    EXPECT_TRUE(queue.callback([&] { never.wait(); }));
    EXPECT_TRUE(queue.callback([&] { second_ran.go(); }));
    yield_until_idle();
    posted.go();
    please_stop.wait();
    second_ran.wait();
  });
  posted.wait();
  EXPECT_FALSE(second_ran);
  host.stop().join();
  EXPECT_TRUE(second_ran);
}

// --- callback_result -------------------------------------------------------------------------------------------------------------

class CallbackQueueResultTest : public ::testing::Test {
 protected:
  ~CallbackQueueResultTest() override { host_.end(); }
  const Scheduler& scheduler() const { return host_.scheduler(); }

 private:
  Host host_;
};

TEST_F(CallbackQueueResultTest, GivesTheValueOrThrowsWhatItThrew) {
  CallbackQueue queue(scheduler());
  EXPECT_EQ(queue.callback_result([] { return std::make_unique<int>(5); }).operator*(), 5);
  EXPECT_EQ(queue.callback_result([] { return 6; }, RunIn::callbacks), 6);
  EXPECT_THROW(queue.callback_result([] { throw std::out_of_range("too far"); }), std::out_of_range);
  EXPECT_THROW(queue.callback_result([] { throw std::out_of_range("too far"); }, RunIn::callbacks), std::out_of_range);
}

TEST_F(CallbackQueueResultTest, InAFiberOfItsOwnItDoesNotKeepTheLaterOnesWaiting) {
  Signal begun;
  Signal go_on;
  CallbackQueue queue(scheduler());
  auto first = Thread::run("first", [&](Signal) {
    return queue.callback_result([&] {
      begun.go();
      go_on.wait();
      return 1;
    });
  });
  begun.wait();
  EXPECT_EQ(queue.callback_result([] { return 2; }), 2);
  go_on.go();
  EXPECT_EQ(first.join(), 1);
}

TEST_F(CallbackQueueResultTest, AmongTheCallbacksItDoes) {
  Signal begun;
  CallbackQueue queue(scheduler());
  auto first = Thread::run("first", [&](Signal please_stop) {
    const auto endless = [&] {
      begun.go();
      sleep(absl::InfiniteDuration());
    };
    EXPECT_THROW(queue.callback_result(endless, RunIn::callbacks, please_stop), Stopped);
  });
  begun.wait();
  EXPECT_THROW(queue.callback_result([] { FAIL() << "it was withdrawn"; }, RunIn::callbacks, absl::ZeroDuration()), Timedout);
  first.stop().join();  // cancels it, and with it the fiber that runs them
  EXPECT_EQ(queue.callback_result([] { return 2; }, RunIn::callbacks), 2);
}

TEST_F(CallbackQueueResultTest, TheLimitIsForTheWaitForRoomToo) {
  Signal begun;
  Signal go_on;
  CallbackQueue queue(scheduler(), {.max = 1});
  EXPECT_TRUE(queue.callback([&] {
    begun.go();
    go_on.wait();
  }));
  begun.wait();
  EXPECT_TRUE(queue.callback([] {}));
  EXPECT_THROW(queue.callback_result([] { FAIL() << "there was no room"; }, absl::ZeroDuration()), Timedout);
  go_on.go();
}

TEST_F(CallbackQueueResultTest, OneThatIsDroppedSaysSo) {
  Signal begun;
  Signal go_on;
  CallbackQueue queue(scheduler(), {.max = 1, .when_full = WhenFull::drop_oldest});
  EXPECT_TRUE(queue.callback([&] {
    begun.go();
    go_on.wait();
  }));
  begun.wait();
  auto asker = Thread::run("asker", [&](Signal) { EXPECT_THROW(queue.callback_result([] {}), Closed); });
  mothreads::testing::await([&] { return queue.size() == 1; });
  EXPECT_TRUE(queue.callback([] {}));
  asker.join();
  go_on.go();
}

TEST_F(CallbackQueueResultTest, ManyThreadsThatWaitForRoomLoseNothing) {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  std::vector<std::vector<int>> seen(kThreads);
  CallbackQueue queue(scheduler(), {.max = 3});
  std::vector<mothreads::ThreadHandle<void>> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.push_back(Thread::run("poster", [&, t](Signal) {
      for (int i = 0; i < kEach; ++i) ASSERT_TRUE(queue.callback([&seen, t, i] { seen[t].push_back(i); }));
    }));
  }
  mothreads::join_all(threads);
  queue.callback_result([] {});
  for (const auto& of_thread : seen) {
    ASSERT_THAT(of_thread, SizeIs(kEach));
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(of_thread[i], i);
  }
}

// --- on the scheduler's own thread ---------------------------------------------------------------------------------------------------

TEST(CallbackQueueResultHereTest, WaitsForItsTurnBehindWhatIsQueued) {
  std::vector<std::string> order;
  CallbackQueue queue(Scheduler::current());
  for (const RunIn run_in : {RunIn::own_fiber, RunIn::callbacks}) {
    order.clear();
    queue.callback([&] {
      yield();
      order.push_back("queued");
    });
    const auto asked = [&] {
      order.push_back("asked");
      return 5;
    };
    EXPECT_EQ(queue.callback_result(asked, run_in), 5);
    EXPECT_THAT(order, ElementsAre("queued", "asked"));
  }
}

TEST(CallbackQueueResultHereTest, KeepsItsLimit) {
  for (const RunIn run_in : {RunIn::own_fiber, RunIn::callbacks}) {
    HeldQueue held({.max = 1});
    EXPECT_THROW(held->callback_result([] { FAIL() << "it was withdrawn"; }, run_in, absl::ZeroDuration()), Timedout);
    held.let_go();
    yield_until_idle();
    Event<> never;
    Signal enough;
    const auto endless = [&] {
      enough.go();
      never.wait();
    };
    EXPECT_THROW(held->callback_result(endless, run_in, enough), Stopped);
  }
}

TEST(CallbackQueueResultHereTest, OfItsOwnQueueIsMisuseInACallback) {
  CallbackQueue queue(Scheduler::current());
  CallbackQueue other(Scheduler::current());
  std::string what;
  int result = 0;
  queue.callback([&] {
    try {
      queue.callback_result([] {});
    } catch (const Misuse& misuse) {
      what = misuse.what();
    }
    result = other.callback_result([] { return 5; });
  });
  yield_until_idle();
  EXPECT_THAT(what, HasSubstr("would wait for its own end"));
  EXPECT_EQ(result, 5);
}

// --- what is refused is untouched ----------------------------------------------------------------------------------------------------

TEST(CallbackQueueTest, AFunctionThatIsRefusedIsUntouched) {
  std::optional<CallbackQueue> ended;
  Thread::run("host", [&](Signal) { ended.emplace(Scheduler::current()); }).join();
  HeldQueue full({.max = 1});
  HeldQueue refuses({.max = 1, .when_full = WhenFull::refuse});
  EXPECT_TRUE(full->callback([] {}));
  EXPECT_TRUE(refuses->callback([] {}));
  const auto stays = [&](auto function, auto is_there) {
    EXPECT_EQ(ended->callback(std::move(function)).why(), Why::closed);
    EXPECT_EQ(refuses->callback(std::move(function)).why(), Why::full);
    EXPECT_EQ(full->callback(std::move(function), absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_EQ(full->callback(std::move(function), mothreads::DONE).why(), Why::stopped);
    auto cancelled = spawn("cancelled", [&] { full->callback(std::move(function)); });
    yield();
    EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
    EXPECT_TRUE(is_there(function));  // NOLINT(bugprone-use-after-move): whether it was moved is the question
  };
  stays([value = std::make_unique<int>(5)] { static_cast<void>(value); }, [](auto& function) {
    return sizeof function == sizeof(std::unique_ptr<int>) && *reinterpret_cast<int* const*>(&function) != nullptr;
  });
  stays(std::function<void()>([] {}), [](auto& function) { return static_cast<bool>(function); });
  struct Large {  // too large for the place of a call
    void operator()() const {}
    std::unique_ptr<int> value = std::make_unique<int>(5);
    char more[1000] = {};
  };
  stays(Large(), [](auto& function) { return function.value != nullptr; });
  full.let_go();
  refuses.let_go();
  yield_until_idle();
}

}  // namespace
}  // namespace cooperative
