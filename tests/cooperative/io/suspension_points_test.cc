// docs/suspension_points.md, row by row.

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/socket.h"
#include "cooperative/pulse.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/memory_stream.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "mothreads/clock.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/retry.h"
#include "mothreads/service_manager.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"
#include "tests/support/io.h"
#include "tests/support/manager_socket.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Lock;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Until;
using testing::IoTest;

// In how many rounds others have a turn while `f` runs; one of them always wants it.
int turns_during(const std::function<void()>& f) {
  bool is_over = false;
  auto other = spawn("other", [&] {
    while (!is_over) yield();
  });
  yield();
  const auto before = Scheduler::current().statistics().rounds;
  f();
  const auto counted = Scheduler::current().statistics().rounds - before;
  is_over = true;
  other.join();
  return static_cast<int>(counted);
}

class SuspensionPointsTest : public IoTest {};

TEST_F(SuspensionPointsTest, SleepAndYieldAlwaysAlsoWhenTheTimeHasCome) {
  on_thread([] {
    EXPECT_EQ(turns_during([] { yield(); }), 1);
    EXPECT_EQ(turns_during([] { sleep(absl::ZeroDuration()); }), 1);
    EXPECT_EQ(turns_during([] { sleep(-absl::Seconds(1)); }), 1);
    EXPECT_EQ(turns_during([] { sleep(DONE); }), 1);
    EXPECT_EQ(turns_during([] { sleep_until(mothreads::Clock::current().now()); }), 1);
    EXPECT_EQ(turns_during([] { yield_until_idle(absl::ZeroDuration()); }), 1);
  });
}

TEST_F(SuspensionPointsTest, EventsQueuesJoinsAndLocksNotWhenTheyAreReady) {
  on_thread([] {
    Event<int> event;
    EventQueue<int> queue;
    Queue<int> shared("queue");
    RLock rlock;
    Lock lock;
    for (const auto limit : {absl::InfiniteDuration(), absl::ZeroDuration(), -absl::Seconds(1)}) {  // ready counts before expired
      event.signal(1);
      queue.signal(2);
      shared.add(3);
      auto ended = spawn("ended", [] { return 4; });
      yield();
      EXPECT_EQ(turns_during([&] {
                  EXPECT_EQ(event.wait(limit), 1);
                  EXPECT_EQ(queue.wait(limit), 2);
                  EXPECT_EQ(*shared.pop(limit), 3);
                  EXPECT_EQ(ended.join(limit), 4);
                  const auto guard = rlock.enter(limit);
                  auto held = lock.enter();
                  EXPECT_EQ(held.wait([] { return true; }, limit).why(), mothreads::Why::ready);
                  EXPECT_TRUE(DONE.wait(limit));
                }),
                0);
    }
  });
}

TEST_F(SuspensionPointsTest, EventsQueuesJoinsAndLocksAlwaysWhenTheyAreNotReady) {
  on_thread([] {
    Event<int> event;
    EventQueue<int> queue;
    Signal end;
    auto running = spawn("running", [&] { end.wait(); });
    RLock rlock;
    auto holder = spawn("holder", [&] {
      const auto guard = rlock.enter();
      end.wait();
    });
    Lock lock;
    yield();
    for (const auto limit : {absl::ZeroDuration(), -absl::Seconds(1)}) {
      EXPECT_EQ(turns_during([&] { EXPECT_THROW(event.wait(limit), Timedout); }), 1);
      EXPECT_EQ(turns_during([&] { EXPECT_THROW(queue.wait(limit), Timedout); }), 1);
      EXPECT_EQ(turns_during([&] { EXPECT_THROW(running.join(limit), Timedout); }), 1);
      EXPECT_EQ(turns_during([&] { EXPECT_THROW(rlock.acquire(limit), Timedout); }), 1);
      EXPECT_EQ(turns_during([&] {
                  auto held = lock.enter();
                  EXPECT_EQ(held.wait(limit), mothreads::Why::timed_out);
                }),
                1);
    }
    end.go();
  });
}

// mothreads' own verbs with a limit that has come only look: on a thread they would not sleep either.
TEST_F(SuspensionPointsTest, SignalsAndSharedQueuesOnlyLookWhenTheLimitHasCome) {
  on_thread([] {
    Signal signal;
    Queue<int> queue("queue");
    EXPECT_EQ(turns_during([&] {
                EXPECT_FALSE(signal.wait(absl::ZeroDuration()));
                EXPECT_FALSE(queue.pop(absl::ZeroDuration()));
              }),
              0);
  });
}

TEST_F(SuspensionPointsTest, APulseAlways) {
  on_thread([] {
    Pulse pulse;
    EXPECT_EQ(turns_during([&] { EXPECT_THROW(pulse.wait(absl::ZeroDuration()), Timedout); }), 1);
  });
}

TEST_F(SuspensionPointsTest, AThreadedEventQueueAlwaysAlsoWithData) {
  on_thread([] {
    ThreadedEventQueue<int> queue;
    for (int i = 0; i < 3; ++i) queue.signal(i);
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(queue.wait(), 0); }), 1);
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(queue.wait(absl::ZeroDuration()), 1); }), 1);
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(queue.next(), 2); }), 1);
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(queue.next(absl::ZeroDuration()).why(), mothreads::Why::timed_out); }), 1);
    queue.close();
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(queue.next().why(), mothreads::Why::closed); }), 1);
  });
}

TEST_F(SuspensionPointsTest, AThreadedEventQueueLosesNothingInThatTurn) {
  on_thread([] {
    ThreadedEventQueue<int> queue;
    queue.signal(1);
    mothreads::Result<int> first = mothreads::Why::timed_out;
    auto taker = spawn("taker", [&] { first = queue.next(absl::ZeroDuration()); });
    auto other = spawn("other", [&] { EXPECT_EQ(queue.next(), 1); });
    yield();
    taker.cancel();  // in the turn that it gives
    EXPECT_THROW(taker.join(), WasCancelled);
    other.join();
    EXPECT_FALSE(first);
  });
}

TEST_F(SuspensionPointsTest, PollListSelectAndPollAlwaysAndReadyCountsBeforeExpired) {
  on_thread([] {
    auto ends = Socket::pair();
    const int descriptor = ends.first.native();
    for (const auto limit : {absl::InfiniteDuration(), absl::ZeroDuration(), -absl::Seconds(1)}) {
      EXPECT_EQ(turns_during([&] { EXPECT_EQ(poll_list({{descriptor, Ready::out}}, limit).size(), 1u); }), 1);
      EXPECT_EQ(turns_during([&] { EXPECT_EQ(select({}, std::vector{descriptor}, {}, limit).writable.size(), 1u); }), 1);
      Poll poll;
      poll.add(descriptor, Ready::out);
      EXPECT_EQ(turns_during([&] { EXPECT_EQ(poll.poll(limit).size(), 1u); }), 1);
    }
    EXPECT_GE(turns_during([&] { EXPECT_TRUE(poll_list({{descriptor, Ready::in}}, absl::ZeroDuration()).empty()); }), 1);
    EXPECT_EQ(turns_during([&] { EXPECT_TRUE(poll_list({}, absl::ZeroDuration()).empty()); }), 1);
  });
}

TEST_F(SuspensionPointsTest, WhatNeverWaitsNever) {
  on_thread([] {
    Event<int> event;
    EventQueue<int> queue;
    ThreadedEventQueue<int> threaded;
    Pulse pulse;
    EXPECT_EQ(turns_during([&] {
                auto fiber = spawn("fiber", [] {});
                fiber.release();
                event.signal(1);
                event.signal_exception(nullptr);
                event.reset();
                queue.signal(1);
                queue.reset();
                queue.close();
                threaded.signal(1);
                threaded.close();
                pulse.signal();
                Signal().go();
                Scheduler::current().callback([] {});
                const Timer timer(absl::ZeroDuration(), [] {});
              }),
              0);
  });
}

TEST_F(SuspensionPointsTest, WaitForAllWhenOneOfThemDoesAndNotForNone) {
  on_thread([] {
    Event<int> ready;
    Event<int> late;
    ready.signal(1);
    EXPECT_EQ(turns_during([&] { static_cast<void>(wait_for_all(std::tie(ready))); }), 0);
    EXPECT_EQ(turns_during([&] { static_cast<void>(wait_for_all(std::tuple<>())); }), 0);
    ready.signal(1);
    EXPECT_EQ(turns_during([&] { EXPECT_THROW(static_cast<void>(wait_for_all(std::tie(ready, late), absl::ZeroDuration())), Timedout); }), 1);
  });
}

TEST_F(SuspensionPointsTest, ASocketOnlyWhenItWouldBlock) {
  on_thread([] {
    auto ends = Socket::pair();
    EXPECT_EQ(turns_during([&] {
                ends.first.write_all("x");
                EXPECT_EQ(testing::take(ends.second, 1), "x");
              }),
              0);
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(testing::take(ends.second, 1, absl::ZeroDuration()), ""); }), 1);  // it would
  });
}

TEST_F(SuspensionPointsTest, AMemoryStreamOnlyWhenItMustWait) {
  on_thread([] {
    auto link = testing::MemoryStream::pair({.room = 4});
    EXPECT_EQ(turns_during([&] {
                link.first.write_all("abcd");
                EXPECT_EQ(*link.second.read_exact(4), "abcd");
              }),
              0);
    for (const auto limit : {absl::ZeroDuration(), -absl::Seconds(1)}) {
      EXPECT_EQ(turns_during([&] { EXPECT_EQ(link.second.read_line(limit).why(), mothreads::Why::timed_out); }), 1);
    }
    link.first.write_all("abcd");
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(link.first.write_some("e", absl::ZeroDuration()).why(), mothreads::Why::timed_out); }), 1);
    link.first.close();
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(*link.second.read_all(10), "abcd"); }), 0);
  });
}

TEST_F(SuspensionPointsTest, RetryOnlyInItsPauses) {
  on_thread([] {
    EXPECT_EQ(turns_during([] { EXPECT_EQ(mothreads::retry({}, [] { return 1; }), 1); }), 0);
    int attempts = 0;
    const auto third_time = [&] {
      if (++attempts < 3) throw std::runtime_error("not yet");
      return attempts;
    };
    EXPECT_GE(turns_during([&] { EXPECT_EQ(mothreads::retry({.first_pause = absl::Nanoseconds(1)}, third_time), 3); }), 2);
    attempts = 0;
    EXPECT_EQ(turns_during([&] { EXPECT_EQ(mothreads::retry({.first_pause = absl::ZeroDuration()}, third_time), 3); }), 0)
        << "no pause is no wait: a Signal with a limit that has come is only looked at";
  });
}

TEST_F(SuspensionPointsTest, ReadyOnlyWhileTheServiceManagerDoesNotRead) {
  using mothreads::ServiceManager;
  const mothreads::testing::ManagerSocket there(mothreads::testing::ManagerSocket::Kind::abstract);
  on_virtual_time([&](mothreads::testing::VirtualClock& clock) {
    EXPECT_EQ(turns_during([] { EXPECT_EQ(ServiceManager().ready().why(), mothreads::Why::closed); }), 0) << "nobody is there";
    const mothreads::testing::SetVariable variable("NOTIFY_SOCKET", there.variable());
    ServiceManager manager;
    EXPECT_EQ(turns_during([&] { EXPECT_TRUE(manager.ready()); }), 0);
    while (manager.status("more")) {
    }
    EXPECT_EQ(turns_during([&] { EXPECT_THROW(manager.ready(absl::ZeroDuration()), Timedout); }), 0);
    EXPECT_GE(turns_during([&] {
                auto reader = spawn("reader", [&] {
                  static_cast<void>(there.take());
                  clock.advance(absl::Seconds(1));
                });
                EXPECT_TRUE(manager.ready());
                reader.join();
              }),
              1);
  });
}

// --- what is due at its call goes in the next round, on the real clock, too ------------------------------------------------------------

class DueTimersTest : public IoTest {};

// In how many rounds the timer goes, while another fiber yields without end.
int rounds_of(absl::Duration time) {
  int rounds = 0;
  bool has_gone = false;
  Timer timer(time, [&] { has_gone = true; });
  while (!has_gone) {
    yield();
    ++rounds;
  }
  return rounds;
}

TEST_F(DueTimersTest, ATimerThatIsDueGoesInTheNextRoundHoweverOthersYield) {
  on_thread([] {
    turns_during([] {
      for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(rounds_of(absl::ZeroDuration()), 1);
        ASSERT_EQ(rounds_of(-absl::Seconds(1)), 1);
      }
    });
  });
}

TEST_F(DueTimersTest, AShortSleepEndsInTheFirstRoundAfterItsTime) {
  on_thread([] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(turns_during([] { sleep(absl::Nanoseconds(1)); }), 1);
    }
  });
}

TEST_F(DueTimersTest, TheyGoInTheOrderOfTheirTimesBeforeWhoYields) {
  on_thread([] {
    std::string order;
    Timer second(absl::ZeroDuration(), [&] { order += "2"; });
    Timer first(-absl::Seconds(1), [&] { order += "1"; });
    yield();
    order += "yielded";
    EXPECT_EQ(order, "12yielded");
  });
}

// Nothing goes before its time for that.
TEST_F(DueTimersTest, NoneIsEarly) {
  on_thread([] {
    turns_during([] {
      for (int microseconds = 0; microseconds < 100; ++microseconds) {
        const auto start = mothreads::Clock::current().now();
        sleep(absl::Microseconds(microseconds));
        ASSERT_GE(absl::FromChrono(mothreads::Clock::current().now() - start), absl::Microseconds(microseconds));
      }
    });
  });
}

}  // namespace
}  // namespace cooperative
