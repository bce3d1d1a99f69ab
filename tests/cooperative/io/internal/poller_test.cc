// What a scheduler does while its fibers wait for descriptors: cooperative/internal/scheduler/poller.h.

#include "cooperative/internal/scheduler/poller.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/descriptors.h"
#include "tests/support/io.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

#ifndef MOTHREADS_TESTS_SANITIZED

// Instead of the C library's, to be counted. The sanitizers have theirs.
namespace {
std::atomic<int> epoll_waits{0};
}

extern "C" int epoll_wait(int epoll, epoll_event* events, int room, int timeout) {
  ++epoll_waits;
  return static_cast<int>(syscall(SYS_epoll_wait, epoll, events, room, timeout));
}

extern "C" int epoll_pwait2(int epoll, epoll_event* events, int room, const timespec* timeout, const sigset_t* mask) {
  ++epoll_waits;
  return static_cast<int>(syscall(SYS_epoll_pwait2, epoll, events, room, timeout, mask, 8));
}

#endif

namespace cooperative::inline v0 {
namespace {

using internal::SchedulerCore;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::is_readable;
using mothreads::testing::VirtualClock;
using testing::take;
using ::testing::ElementsAre;

class PollerTest : public testing::IoTest {};
class PollerDeathTest : public testing::IoTest {};

// On a thread without fibers.
void write_byte(Socket& socket) { EXPECT_EQ(::write(socket.native(), "x", 1), 1); }

TEST_F(PollerTest, EventsComeBeforeDescriptorsThenTimersThenWhoYieldedThenWhoWaitsForIdleness) {
  on_virtual_time([](VirtualClock& clock) {
    std::vector<std::string> order;
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Event<> event;
    auto idle = spawn("idle", [&] {
      yield_until_idle();
      order.push_back("idle");
    });
    auto timer = spawn("timer", [&] {
      sleep(absl::Seconds(1));
      order.push_back("timer");
    });
    auto reader = spawn("reader", [&] {
      take(here, 1);
      order.push_back("descriptor");
    });
    auto waiter = spawn("waiter", [&] {
      event.wait();
      order.push_back("event");
    });
    for (int i = 0; i < 3; ++i) yield();  // all wait
    clock.advance(absl::Seconds(1));
    there.write_all("x");
    event.signal();
    auto yielder = spawn({.name = "yielder", .start = Start::at_once}, [&] {
      yield();
      order.push_back("yielder");
    });
    idle.join();
    EXPECT_THAT(order, ElementsAre("event", "descriptor", "timer", "yielder", "idle"));
  });
}

TEST_F(PollerTest, WhatIsReadyWinsOverALimitThatIsDueInTheSameLook) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { return take(here, 10, absl::Seconds(1)); });
    yield_until_idle();
    there.write_all("x");
    clock.advance(absl::Hours(1));
    EXPECT_EQ(reader.join(), "x");
  });
}

TEST_F(PollerTest, WhatIsReadyWinsOverADueLimitAlsoJustAfterASleep) {
  on_thread([] {
    for (int i = 0; i < 100; ++i) {
      auto ends = Socket::pair();
      Socket& here = ends.first;
      Socket& there = ends.second;
      auto ends_of_limited = Socket::pair();
      Socket& limited = ends_of_limited.first;
      Socket& other = ends_of_limited.second;
      std::string got;
      auto first = spawn("first", [&] {
        take(here, 1);  // the sleep in the poller ends
        auto second = spawn({.name = "second", .start = Start::at_once}, [&] { got = take(limited, 1, absl::Nanoseconds(1)); });
        other.write_all("x");
        second.join();
      });
      yield_until_idle();
      there.write_all("x");
      first.join();
      EXPECT_EQ(got, "x");
    }
  });
}

TEST_F(PollerTest, TheKernelIsAskedWhileFibersYieldWithoutEnd) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    for (int i = 0; i < 10; ++i) {
      auto reader = spawn("reader", [&] { take(here, 1); });
      yield_until_idle();
      there.write_all("x");
      int rounds = 0;
      for (; reader.is_alive(); ++rounds) yield();
      EXPECT_LE(rounds, 64 + 2);  // and that which finds it, and that in which it runs
    }
  });
}

#ifndef MOTHREADS_TESTS_SANITIZED

TEST_F(PollerTest, OneCallOfTheSystemForEachTimeThatNothingIsReady) {
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  auto echo = Thread::run("echo", [&](Signal) {
    const std::uint64_t sleeps = Scheduler::current().statistics().sleeps;
    take(here, 1);  // makes what is made at the first wait
    here.write_all("x");
    const int waits = epoll_waits;
    const std::uint64_t sleeps_before = Scheduler::current().statistics().sleeps;
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(take(here, 1), "x");
      here.write_all("x");
    }
    EXPECT_EQ(static_cast<std::uint64_t>(epoll_waits - waits), Scheduler::current().statistics().sleeps - sleeps_before);
    EXPECT_LE(Scheduler::current().statistics().sleeps - sleeps, 101u);
  });
  // A peer without a scheduler.
  for (int i = 0; i < 101; ++i) {
    char byte = 0;
    write_byte(there);
    pollfd watched{there.native(), POLLIN, 0};
    ASSERT_EQ(::poll(&watched, 1, -1), 1);
    ASSERT_EQ(::read(there.native(), &byte, 1), 1);
  }
  echo.join();
}

TEST_F(PollerTest, NoCallOfTheSystemWhileNobodyWaitsForADescriptor) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { take(here, 1); });
    yield_until_idle();
    there.write_all("xx");
    reader.join();
    const int waits = epoll_waits;
    Event<> event;
    auto signaller = spawn("signaller", [&] {
      for (int i = 0; i < 200; ++i) {
        event.signal();
        yield();
      }
    });
    for (int i = 0; i < 200; ++i) event.wait();
    signaller.join();
    sleep(absl::Nanoseconds(1));
    EXPECT_EQ(take(here, 1), "x");  // it is there
    EXPECT_EQ(epoll_waits, waits);
  });
}

TEST_F(PollerTest, WhatIsPostedComesBeforeWhatTheKernelSays) {
  for (int i = 0; i < 20; ++i) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Signal go;
    const int waits = epoll_waits;
    std::vector<std::string> order;
    auto host = Thread::run("host", [&](Signal) {
      auto reader = spawn("reader", [&] {
        take(here, 1);
        order.push_back("descriptor");
      });
      auto waiter = spawn("waiter", [&] {
        go.wait();
        order.push_back("posted");
      });
      reader.join();
      waiter.join();
    });
    mothreads::testing::await([&] { return epoll_waits != waits; });
    go.go();
    write_byte(there);
    host.join();
    EXPECT_THAT(order, ElementsAre("posted", "descriptor"));
  }
}

#endif

TEST_F(PollerTest, APostWakesItFromItsSleep) {
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  std::optional<Scheduler> scheduler;
  Signal ready;
  auto host = Thread::run("host", [&](Signal) {
    auto reader = spawn("reader", [&] { return take(here, 1); });
    scheduler.emplace(Scheduler::current());
    ready.go();
    EXPECT_EQ(reader.join(), "x");
  });
  ready.wait();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(scheduler->callback_result([i] { return i; }), i);
  write_byte(there);
  host.join();
}

std::atomic<const HandlerCallback*> of_handler{nullptr};
std::atomic<int> handled{0};

TEST_F(PollerTest, ASignalHandlerOfItsOwnThreadWakesIt) {
  Signal has_waited, is_done;
  pthread_t thread{};
  struct sigaction action {}, before {};
  action.sa_handler = [](int) {
    if (const HandlerCallback* callback = of_handler.load()) callback->post();
    ++handled;
  };
  sigaction(SIGUSR1, &action, &before);
  auto host = Thread::run("host", [&](Signal) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Event<> called;
    const HandlerCallback callback(Scheduler::current(), [&] { called.signal(); });
    of_handler = &callback;
    thread = pthread_self();
    auto reader = spawn("reader", [&] { take(here, 1); });
    yield();
    for (int i = 0; i < 20; ++i) {
      has_waited.go();
      called.wait();
    }
    reader.cancel();
    is_done.go();
    // One more signal may come after the callback's own end.
    of_handler = nullptr;
  });
  has_waited.wait();
  // Whatever it is at: one that comes too early, or twice before it ran, is one call.
  // A storm of signals would keep the thread from its own work, so the next one leaves the last one time to be handled.
  // The limit is for ThreadSanitizer: it keeps a signal that comes to a fiber until that fiber runs again.
  for (int turns = 0, seen = -1; !is_done.wait(absl::ZeroDuration()); mothreads::testing::give_way()) {
    if (seen == handled && ++turns < 1000) continue;
    seen = handled;
    turns = 0;
    pthread_kill(thread, SIGUSR1);
  }
  host.join();
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(PollerTest, AForeignLoopSleepsForDescriptorsToo) {
  on_thread([] {
    ForeignLoop loop;
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::string got;
    auto reader = spawn("reader", [&] {
      for (int i = 0; i < 3; ++i) got += take(here, 1);
    });
    EXPECT_EQ(loop.run_due(), std::nullopt);
    for (const char* const text : {"a", "b", "c"}) {
      EXPECT_FALSE(is_readable(loop.descriptor()));
      there.write_all(text);
      EXPECT_TRUE(is_readable(loop.descriptor()));
      EXPECT_EQ(loop.run_due(), std::nullopt);
    }
    EXPECT_EQ(got, "abc");
    EXPECT_FALSE(reader.is_alive());
  });
}

TEST_F(PollerTest, AForeignLoopIsNotKeptAwakeByWhatNobodyWaitsFor) {
  on_thread([] {
    ForeignLoop loop;
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Event<> event;
    std::string got;
    auto reader = spawn("reader", [&] {
      got += take(here, 1);
      event.wait();
      got += take(here, 1);
    });
    loop.run_due();
    there.write_all("a");
    loop.run_due();
    there.write_all("b");  // an edge, while the reader waits for something else
    loop.run_due();
    EXPECT_FALSE(is_readable(loop.descriptor()));
    event.signal();
    loop.run_due();
    EXPECT_EQ(got, "ab");
  });
}

TEST_F(PollerTest, AForeignLoopIsNotKeptAwakeByALentDescriptorThatSomebodyHasBeenToldOf) {
  on_thread([] {
    ForeignLoop loop;
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto poller = spawn("poller", [&] { return poll_list({{here.native(), Ready::in}}).size(); });
    loop.run_due();
    there.write_all("a");
    EXPECT_TRUE(is_readable(loop.descriptor()));
    loop.run_due();
    EXPECT_FALSE(poller.is_alive());
    EXPECT_FALSE(is_readable(loop.descriptor()));  // though the byte is there still
  });
}

TEST_F(PollerTest, ASocketOutlivesItsSchedulerAndServesAnother) {
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  for (int i = 0; i < 3; ++i) {
    on_thread([&] {
      auto reader = spawn("reader", [&] { return take(here, 1); });
      yield_until_idle();
      there.write_all("x");
      EXPECT_EQ(reader.join(), "x");
      auto late = spawn("late", [&] { return take(here, 1, absl::ZeroDuration()); });
      EXPECT_EQ(late.join(), "");
      EXPECT_EQ(SchedulerCore::current().poller().descriptor() >= 0, true);
    });
  }
}

TEST_F(PollerDeathTest, WhoClosesItsDescriptorEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Socket silent = Socket::udp();
        silent.bind(Address::loopback(0));
        auto reader = spawn("reader", [&] { take(silent, 1); });
        yield();  // it waits
        ::close(SchedulerCore::current().poller().descriptor());
        reader.join();
      },
      "a scheduler cannot wait for its descriptors any more");
}

TEST_F(PollerTest, MoreAreReadyAtOnceThanOneCallTells) {
  on_thread([] {
    constexpr int kPairs = 400;
    std::vector<std::pair<Socket, Socket>> pairs;
    std::vector<Fiber<void>> readers;
    int woken = 0;
    for (int i = 0; i < kPairs; ++i) pairs.push_back(Socket::pair());
    for (auto& pair : pairs) {
      readers.push_back(spawn("reader", [&] {
        take(pair.first, 1);
        ++woken;
      }));
    }
    yield_until_idle();
    for (auto& pair : pairs) pair.second.write_all("x");
    for (auto& reader : readers) reader.join();
    EXPECT_EQ(woken, kPairs);
  });
}

}  // namespace
}  // namespace cooperative
