// Stops of fibers that take their time: the deadline, the cancellation, the report.

#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/rlock.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {

// With C's names, so that the stacks in a report have them plain.
extern "C" {
void waits_for_what_never_comes(const mothreads::Signal& never);
void blocks_its_thread(int empty_epoll);

__attribute__((noinline)) void waits_for_what_never_comes(const mothreads::Signal& never) {
  never.wait();
  never.wait();  // no tail call
}
// In a system call in which ThreadSanitizer, too, lets handlers of signals run.
__attribute__((noinline)) void blocks_its_thread(int empty_epoll) {
  epoll_event event;
  while (epoll_wait(empty_epoll, &event, 1, -1) != 1) {
  }
}
}

namespace {

using mothreads::kDefaultStopDeadline;
using mothreads::kExitDidNotStop;
using mothreads::kUnwindGrace;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::UseClock;
using mothreads::internal::HostedContext;
using mothreads::internal::HostedContexts;
using mothreads::testing::VirtualClock;
using testing::says_its_name;
using ::testing::ElementsAre;
using ::testing::ExitedWithCode;

using Names = std::vector<std::string>;

// What a report says of the fibers of a thread; none when it has no scheduler, or none any more.
std::optional<HostedContexts> look_inside(const Thread& host) {
  for (const auto& child : host.node(mothreads::internal::kAccess).children()) {
    if (child->is_part_of_parent()) return child->look_inside();
  }
  return std::nullopt;
}

// Blocks until the report says so of that fiber.
void await(const Thread& host, const std::string& name, const std::function<bool(const HostedContext&)>& condition) {
  mothreads::testing::await([&] {
    const auto contexts = look_inside(host);
    return contexts && std::any_of(contexts->shown.begin(), contexts->shown.end(),
                                   [&](const HostedContext& context) { return context.name == name && condition(context); });
  });
}

bool is_waiting(const HostedContext& context) { return context.state.find("waits for") != std::string::npos; }

class FiberStoppingTest : public ::testing::Test {
 protected:
  ~FiberStoppingTest() override { mothreads::set_stop_deadline(kDefaultStopDeadline); }

  // All on this clock's time.
  VirtualClock clock;
  const UseClock use{clock};
  const Signal never{"the answer that never comes"};
};

// --- the stop of a thread ----------------------------------------------------------------------------------------------------------

TEST_F(FiberStoppingTest, OneThatTakesPleaseStopIsCancelledAtTheDeadline) {
  bool was_told = false;
  auto host = Thread::run("host", [&](Signal) {
    auto deaf = spawn("deaf", [&](const Signal& please_stop) {
      struct AtEnd {
        const std::function<void()> function;
        ~AtEnd() { function(); }
      } at_end{[&] { was_told = static_cast<bool>(please_stop); }};
      waits_for_what_never_comes(never);
    });
    EXPECT_THROW(deaf.join(), WasCancelled);
  });
  await(host.thread(), "deaf", is_waiting);
  host.stop();
  clock.await_timers(2);  // the thread's deadline, and the scheduler's sleep until then
  clock.advance(kDefaultStopDeadline - absl::Nanoseconds(1));
  await(host.thread(), "deaf", [](const HostedContext& context) { return context.told_to_stop && !context.is_cancelled; });
  EXPECT_FALSE(host.stopped());
  clock.advance(absl::Nanoseconds(1));
  host.join();
  EXPECT_TRUE(was_told);
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(FiberStoppingTest, OneThatTakesNoneIsCancelledAtOnce) {
  auto host = Thread::run("host", [&](Signal) {
    auto deaf = spawn("deaf", [&] { waits_for_what_never_comes(never); });
    EXPECT_THROW(deaf.join(), WasCancelled);
  });
  await(host.thread(), "deaf", is_waiting);
  host.stop().join();
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(FiberStoppingTest, TheDeadlineCancelsTheNewestFirstAndChildrenBeforeTheirParents) {
  Names order;
  const auto unwinds = [&](const char* name, const std::function<void()>& first) {
    return [&order, name, first, this](const Signal&) {
      struct AtEnd {
        Names& order;
        const char* name;
        ~AtEnd() { order.push_back(name); }
      } at_end{order, name};
      Fiber<void> child;
      first();
      waits_for_what_never_comes(never);
    };
  };
  auto host = Thread::run("host", [&](Signal) {
    Fiber<void> child;
    auto parent = spawn("parent", unwinds("parent", [&] { child = spawn("child", unwinds("child", [] {})); }));
    auto other = spawn("other", unwinds("other", [] {}));
    for (Fiber<void>* fiber : {&parent, &other, &child}) EXPECT_THROW(fiber->join(), WasCancelled);
  });
  await(host.thread(), "child", is_waiting);
  host.stop();
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
  EXPECT_THAT(order, ElementsAre("other", "child", "parent"));
}

TEST_F(FiberStoppingTest, WhatIsSpawnedAfterTheStopIsCancelledAtItsDeadline) {
  auto host = Thread::run("host", [&](const Signal& please_stop) {
    spawn("helper", [] {}).join();  // the scheduler is told, too
    please_stop.wait();
    clock.advance(absl::Seconds(10));
    auto late = spawn("late", [&](const Signal&) { waits_for_what_never_comes(never); });
    EXPECT_THROW(late.join(), WasCancelled);
  });
  host.stop();
  await(host.thread(), "late", is_waiting);
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline - absl::Seconds(10));
  host.join();
}

TEST_F(FiberStoppingTest, TheThreadsOwnEndHasADeadlineForWhatIsLeft) {
  auto host = Thread::run("host", [&](Signal) {
    spawn("deaf", [&](const Signal&) { waits_for_what_never_comes(never); }).release();
    yield();
  });
  await(host.thread(), "deaf", [](const HostedContext& context) { return context.told_to_stop; });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
}

TEST_F(FiberStoppingTest, ARootIsNotCancelledWhateverItWaitsIn) {
  const auto ends_in_order = [&](const std::function<void(const Signal& please_stop)>& waits) {
    Names order;
    auto host = Thread::run("host", [&](const Signal& please_stop) {
      for (const char* name : {"old", "new"}) spawn(name, says_its_name(order, name)).release();
      waits(please_stop);
      order.push_back("root");
    });
    await(host.thread(), "new", is_waiting);
    host.stop().join();
    return order;
  };
  mothreads::Queue<int> queue("numbers");
  mothreads::Lock lock("table");
  const auto in_order = ElementsAre("new", "old", "root");
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) { please_stop.wait(); yield_until_idle(); }), in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) { static_cast<void>(queue.pop(please_stop)); yield_until_idle(); }), in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) {
                {
                  auto held = lock.enter();
                  static_cast<void>(held.wait(please_stop));
                }
                yield_until_idle();
              }),
              in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) {
                Event<int> event;
                EXPECT_THROW(event.wait(please_stop), Stopped);
                yield_until_idle();
              }),
              in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) { sleep(please_stop | absl::Hours(1)); yield_until_idle(); }), in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) { static_cast<void>(yield_until_idle(please_stop)), please_stop.wait(); yield_until_idle(); }), in_order);
  EXPECT_THAT(ends_in_order([&](const Signal& please_stop) {
                auto child = Thread::run("child", [](const Signal& stop) { stop.wait(); });
                child.join();
                please_stop.wait();
                yield_until_idle();
              }),
              in_order);
}

// --- the stop of a fiber -----------------------------------------------------------------------------------------------------------

TEST_F(FiberStoppingTest, AFibersOwnStopHasTheSameDeadline) {
  Signal told;
  auto host = Thread::run("host", [&](Signal) {
    auto deaf = spawn("deaf", [&](const Signal&) { waits_for_what_never_comes(never); });
    yield();
    deaf.stop();
    told.go();
    EXPECT_THROW(deaf.join(), WasCancelled);
    EXPECT_EQ(clock.timers(), 0u);
  });
  told.wait();
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline - absl::Nanoseconds(1));
  EXPECT_FALSE(host.stopped());
  clock.advance(absl::Nanoseconds(1));
  host.join();
}

TEST_F(FiberStoppingTest, SoHasADestructor) {
  auto host = Thread::run("host", [&](Signal) {
    {
      auto deaf = spawn("deaf", [&](const Signal&) { waits_for_what_never_comes(never); });
      yield();
    }
    EXPECT_EQ(clock.timers(), 0u);
  });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
}

TEST_F(FiberStoppingTest, AnotherRequestDoesNotPutTheDeadlineOff) {
  Signal told;
  auto host = Thread::run("host", [&](Signal) {
    auto deaf = spawn("deaf", [&](const Signal&) { waits_for_what_never_comes(never); });
    yield();
    deaf.stop();
    clock.advance(absl::Seconds(20));
    deaf.stop();
    told.go();
    EXPECT_THROW(deaf.join(), WasCancelled);
  });
  told.wait();
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline - absl::Seconds(20));
  host.join();
}

TEST_F(FiberStoppingTest, AStopInTimeLeavesNoTimer) {
  Thread::run("host", [&](Signal) {
    auto slow = spawn("slow", [&](const Signal& please_stop) {
      please_stop.wait();
      yield();
    });
    yield();
    slow.stop();
    EXPECT_EQ(clock.timers(), 1u);
    slow.join();
    EXPECT_EQ(clock.timers(), 0u);
    clock.advance(absl::Hours(1));
  }).join();
}

TEST_F(FiberStoppingTest, WithoutADeadlineAStopMayTakeAnyTime) {
  mothreads::set_stop_deadline(absl::InfiniteDuration());
  Thread::run("host", [&](Signal) {
    Event<> end;
    auto slow = spawn("slow", [&](const Signal&) { end.wait(); });
    yield();
    slow.stop();
    EXPECT_EQ(clock.timers(), 0u);
    clock.advance(absl::Hours(24 * 365));
    yield();
    EXPECT_TRUE(slow.is_alive());
    end.signal();
    slow.join();
  }).join();
}

TEST_F(FiberStoppingTest, OneTimerWatchesOverAFiberAndAllBelow) {
  auto host = Thread::run("host", [&](Signal) {
    auto top = spawn("top", [&](const Signal& please_stop) {
      std::vector<Fiber<void>> children;
      for (int i = 0; i < 5; ++i) children.push_back(spawn("child", [&](const Signal&) { waits_for_what_never_comes(never); }));
      please_stop.wait();
      // These were told with it, and inherit its deadline; leaving waits for each.
    });
    yield();
    yield();
    top.stop();
    EXPECT_EQ(clock.timers(), 1u);
    top.join();
    EXPECT_EQ(clock.timers(), 0u);
  });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
}

TEST_F(FiberStoppingTest, AFunctionThatHasEndedWaitsForItsChildrenUntilTheDeadline) {
  auto host = Thread::run("host", [&](Signal) {
    Fiber<void> child;
    auto parent = spawn("parent", [&] {
      child = spawn("child", [&](const Signal&) { waits_for_what_never_comes(never); });
      yield();
    });
    parent.join();
    EXPECT_FALSE(child.is_alive());
    EXPECT_THROW(child.join(), WasCancelled);
  });
  await(host.thread(), "parent", [](const HostedContext& context) {
    return context.state == "has ended its function and waits for the end of fiber child";
  });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
}

TEST_F(FiberStoppingTest, OneThatIsReleasedKeepsItsDeadline) {
  auto host = Thread::run("host", [&](Signal) {
    Signal stopped;
    auto parent = spawn("parent", [&](const Signal& please_stop) {
      auto child = spawn("child", [&](const Signal&) { waits_for_what_never_comes(never); });
      stopped = child.stopped();
      please_stop.wait();
      child.release();
    });
    yield();
    yield();
    parent.stop().join();
    EXPECT_FALSE(stopped);
    stopped.wait();
  });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
}

// cothread has no order of ends: there is no end of all tasks there.
TEST_F(FiberStoppingTest, ReleasedOnesAreToldByTheirAgeWhereverTheyComeFrom) {
  Names order;
  Thread::run("host", [&](Signal) {
    Signal release_it;
    auto parent = spawn("parent", [&] {
      auto child = spawn("first", says_its_name(order, "first"));
      release_it.wait();
      child.release();
    });
    yield();
    spawn("second", says_its_name(order, "second")).release();
    spawn("third", says_its_name(order, "third")).release();
    release_it.go();
    parent.join();
  }).join();
  EXPECT_THAT(order, ElementsAre("third", "second", "first"));
}

TEST_F(FiberStoppingTest, AStopOfVeryManyTakesTimeForEachOnlyOnce) {
  constexpr int kMany = mothreads::testing::kSanitized ? 1'000 : 30'000;  // a sanitizer's runtime has room for few
  int ended = 0;
  Thread::run("host", [&](Signal) {
    for (int i = 0; i < kMany; ++i) {
      spawn("one of many", [&](const Signal& please_stop) {
        please_stop.wait();
        ++ended;
      }).release();
    }
    yield();
  }).join();
  EXPECT_EQ(ended, kMany);
}

// --- the report --------------------------------------------------------------------------------------------------------------------

class FiberReportDeathTest : public FiberStoppingTest {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FiberReportDeathTest, WhoStillDoesNotEndIsNamedWithItsWaitAndItsStack) {
  EXPECT_EXIT(
      {
        auto host = Thread::run("host", [&](Signal) {
          auto parent = spawn("parent", [&](const Signal&) {
            auto stubborn = spawn("stubborn", [&](const Signal&) {
              const NoCancel whole;
              waits_for_what_never_comes(never);
            });
            stubborn.join();
          });
          parent.join();
        });
        await(host.thread(), "stubborn", is_waiting);
        host.stop();
        clock.await_timers(2);
        clock.advance(kDefaultStopDeadline);
        await(host.thread(), "stubborn", [](const HostedContext& context) { return context.is_cancelled; });
        await(host.thread(), "parent", [](const HostedContext& context) { return context.is_cancelled; });
        clock.advance(kUnwindGrace - absl::Nanoseconds(1));
        std::fputs("not yet\n", stderr);
        clock.advance(absl::Nanoseconds(1));
      },
      ExitedWithCode(kExitDidNotStop),
      "not yet\n(.|\n)*\"host\" was told to stop and did not by its deadline; who did not stop:\n"
      "    \\| thread \"host\" waits for the end of fiber parent; please_stop was given\n"
      "    \\|     #0 (.|\n)*"
      "\n    \\|   scheduler \"scheduler of host\"; please_stop was given\n"
      "    \\|     fiber \"parent\" waits for the end of fiber stubborn; please_stop was given; it was cancelled\n"
      "    \\|         #0 (.|\n)*"
      "\n    \\|       fiber \"stubborn\" waits for signal the answer that never comes; please_stop was given; it was cancelled\n"
      "    \\|           #0 (.|\n)* waits_for_what_never_comes\n");
}

TEST_F(FiberReportDeathTest, AWaitForALockSaysItsOwner) {
  EXPECT_EXIT(
      {
        mothreads::Lock table("table");
        auto host = Thread::run("host", [&](Signal) {
          auto holder = spawn("holder", [&](const Signal&) {
            const NoCancel whole;
            const mothreads::Lock::Held inside = table.enter();
            waits_for_what_never_comes(never);
          });
          yield();
          auto waiter = spawn("waiter", [&](const Signal&) {
            const NoCancel whole;
            const mothreads::Lock::Held inside = table.enter();
          });
          waiter.join();
        });
        await(host.thread(), "waiter", [](const HostedContext& context) { return context.state == "enters lock table"; });
        host.stop();
        clock.await_timers(2);
        clock.advance(kDefaultStopDeadline);
        await(host.thread(), "waiter", [](const HostedContext& context) { return context.is_cancelled; });
        clock.advance(kUnwindGrace);
      },
      ExitedWithCode(kExitDidNotStop),
      "\n    \\|     fiber \"waiter\" enters lock table, which \"holder\" has; please_stop was given; it was cancelled\n");
}

TEST_F(FiberReportDeathTest, AFiberThatBlocksItsThreadIsNamedAndThoseThatItKeepsWaiting) {
  EXPECT_EXIT(
      {
        const int epoll = epoll_create1(EPOLL_CLOEXEC);
        auto host = Thread::run("host", [&](Signal) {
          auto blocks = spawn("blocks", [&](const Signal&) {
            auto unborn = spawn("unborn", [] {});
            blocks_its_thread(epoll);
          });
          auto yields = spawn("yields", [&] {
            while (true) yield();
          });
          blocks.join();
        });
        await(host.thread(), "unborn", [](const HostedContext&) { return true; });
        host.stop();
        clock.advance(kDefaultStopDeadline);
        clock.advance(kUnwindGrace);
      },
      ExitedWithCode(kExitDidNotStop),
      "thread \"host\" waits for the end of fiber blocks; please_stop was given\n"
      "    \\|     #0 (.|\n)*"
      "\n    \\|     fiber \"yields\" (has not begun|is ready to run)(.|\n)*"
      "\n    \\|     fiber \"blocks\" runs; please_stop was not given\n"
      "    \\|         #0 (.|\n)* blocks_its_thread\n(.|\n)*"
      "\n    \\|       fiber \"unborn\" has not begun(.|\n)*The process ends with exit code 113");
}

TEST_F(FiberReportDeathTest, OfManyFibersItNamesSomeAndSaysHowFarTheStopCame) {
  EXPECT_EXIT(
      {
        Signal ready;
        auto host = Thread::run("host", [&](Signal) {
          for (int i = 0; i < 1200; ++i) spawn("polite", [](const Signal& please_stop) { please_stop.wait(); }).release();
          for (int i = 0; i < 150; ++i) {
            spawn("stubborn", [&](const Signal&) {
              const NoCancel whole;
              never.wait();
            }).release();
          }
          yield();
          ready.go();
          never.wait();
        });
        ready.wait();
        host.stop();
        mothreads::testing::await([&] {
          const auto fibers = look_inside(host.thread());
          return fibers && fibers->told == 1350 && fibers->alive == 150;
        });
        clock.advance(kDefaultStopDeadline);
        clock.advance(kUnwindGrace);
      },
      ExitedWithCode(kExitDidNotStop), "\n    \\|     and 51 more fibers\n    \\|     fibers: 1,200 of 1,350 ended\n");
}

TEST_F(FiberReportDeathTest, AFibersOwnStopIsReportedUnderItsName) {
  EXPECT_EXIT(
      {
        auto host = Thread::run("host", [&](Signal) {
          auto stubborn = spawn("stubborn", [&](const Signal&) {
            const NoCancel whole;
            waits_for_what_never_comes(never);
          });
          yield();
          stubborn.stop().join();
        });
        clock.await_timers(2);
        clock.advance(kDefaultStopDeadline);
        clock.advance(kUnwindGrace);
      },
      ExitedWithCode(kExitDidNotStop),
      "\"stubborn\" was told to stop and did not by its deadline; who did not stop:\n"
      "    \\| thread \"host\" waits for the end of fiber stubborn; please_stop was not given\n(.|\n)*"
      "\n    \\|     fiber \"stubborn\" waits for signal the answer that never comes; please_stop was given");
}

TEST_F(FiberReportDeathTest, WhoSwallowsEveryCancellationIsReported) {
  EXPECT_EXIT(
      {
        auto host = Thread::run("host", [&](Signal) {
          auto swallows = spawn("swallows", [&] {
            while (true) {
              try {
                sleep(absl::Hours(1));
              } catch (...) {  // NOLINT: that is what it is about
              }
            }
          });
          yield();
          swallows.stop().join();
        });
        mothreads::testing::await([&] { return clock.timers() > 0; });
        clock.advance(kDefaultStopDeadline);
        clock.advance(kUnwindGrace);
      },
      ExitedWithCode(kExitDidNotStop), "\n    \\|     fiber \"swallows\" runs; it was cancelled\n");
}

TEST_F(FiberReportDeathTest, TheEndOfTheMainThreadHasADeadlineToo) {
  EXPECT_EXIT(
      {
        auto stubborn = spawn("stubborn", [&](const Signal&) {
          const NoCancel whole;
          waits_for_what_never_comes(never);
        });
        stubborn.release();
        yield();
        auto advancer = Thread::run("advancer", [&](Signal) {
          clock.await_timers(2);
          clock.advance(kDefaultStopDeadline);
          clock.advance(kUnwindGrace);
        });
        advancer.release();
        std::exit(0);
      },
      ExitedWithCode(kExitDidNotStop),
      "\"scheduler of main\" was told to stop(.|\n)*"
      "\n    \\|   fiber \"stubborn\" waits for signal the answer that never comes; please_stop was given");
}

TEST_F(FiberStoppingTest, AReportShowsAHundredAndCountsTheRest) {
  constexpr std::size_t kShown = 99;  // and the thread's own stack
  for (const std::size_t count : {kShown, kShown + 1, kShown + 50}) {
    Signal end;
    auto host = Thread::run("host", [&](Signal) {
      std::vector<Fiber<void>> fibers;
      for (std::size_t i = 0; i < count; ++i) fibers.push_back(spawn("fiber " + std::to_string(i), [&] { end.wait(); }));
      for (auto& fiber : fibers) fiber.join();
    });
    await(host.thread(), "fiber " + std::to_string(count - 1), is_waiting);
    const auto contexts = look_inside(host.thread());
    ASSERT_TRUE(contexts);
    EXPECT_EQ(contexts->shown.size(), kShown + 1);
    EXPECT_EQ(contexts->left_out, count - kShown);
    end.go();
    host.join();
  }
}

TEST_F(FiberStoppingTest, AReportNamesWhatEachKindOfWaitIsFor) {
  Signal end("the end");
  mothreads::Queue<int> queue("numbers");
  auto host = Thread::run("host", [&](Signal) {
    Event<int> event;
    auto a = spawn("a", [&] { (end | Signal("other")).wait(); });
    auto b = spawn("b", [&] { static_cast<void>(queue.pop(end)); });
    auto c = spawn("c", [&] { EXPECT_THROW(event.wait(end), Stopped); });
    auto d = spawn("d", [&] { a.join(); });
    auto e = spawn("e", [&] {
      while (!end) yield();
    });
    for (auto* fiber : {&b, &c, &d, &e}) fiber->join();
  });
  const auto waits = [](const char* state) {
    return [state](const HostedContext& context) { return context.state.find(state) != std::string::npos; };
  };
  await(host.thread(), "a", waits("signal the end | other"));
  await(host.thread(), "b", waits("numbers"));
  await(host.thread(), "c", waits("waits for event"));
  await(host.thread(), "d", waits("waits for the end of fiber a"));
  await(host.thread(), "e", waits("runs"));
  end.go();
  host.join();
}

// Whatever the signal interrupts.
TEST_F(FiberStoppingTest, AReportMayBeMadeWhileFibersComeAndGo) {
  std::atomic<bool> enough{false};
  auto host = Thread::run("host", [&](Signal) {
    Event<> event;
    const auto waits = [&] { event.wait(); };
    while (!enough) {
      auto a = spawn("a", waits);
      auto b = spawn("b", [&] {
        auto child = spawn("child", waits);
        yield();
        child.release();
        event.signal();
      });
      spawn("c", [] { yield(); }).release();
      yield();
      b.join();
      event.signal();
      a.join();
      event.reset();
      yield();
      event.signal();
      yield();
    }
    event.signal();
    yield();
  });
  int complete = 0;
  while (complete < (mothreads::testing::kSanitized ? 100 : 1'000)) {
    const auto contexts = look_inside(host.thread());
    if (!contexts) continue;
    ++complete;
    for (const HostedContext& context : contexts->shown) EXPECT_LE(context.name.size(), 5u) << context.name;
  }
  enough = true;
  host.join();
}

}  // namespace
}  // namespace cooperative
