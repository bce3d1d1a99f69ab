// Scheduler::look(), and Member::waits_on() of fibers: what a thread sees of another's fibers, which know nothing of it.

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/instant.h"
#include "mothreads/lock.h"
#include "mothreads/member.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/host.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Instant;
using mothreads::Lock;
using mothreads::Member;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::WaitReport;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::Host;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// The name of each fiber, and its wait with the name of the object.
std::map<std::string, std::string> waits_of(const Scheduler& scheduler) {
  std::map<std::string, std::string> found;
  scheduler.look([&](const FiberLook& fiber) {
    std::string wait(fiber.wait);
    if (!fiber.object.empty()) wait.append(" ").append(fiber.object);
    EXPECT_TRUE(found.emplace(fiber.name, wait).second) << fiber.name << " was seen twice";
    EXPECT_EQ(fiber.since.has_value(), !fiber.wait.empty());
  });
  return found;
}

TEST(FiberLookTest, AnotherThreadSeesWhatFibersWaitFor) {
  Host host;
  Signal saved("saved");
  Signal unnamed;
  Queue<int> numbers("numbers");
  Lock table("table");
  host.scheduler().callback_result([&] {
    Event<> event;
    const Lock::Held held = table.enter();
    FiberGroup group("group");
    auto signal = spawn("signal", [&] { saved.wait(); });
    auto any = spawn("unnamed", [&] { unnamed.wait(); });
    auto either = spawn("either", [&] { (saved | unnamed).wait(); });
    auto queue = spawn("queue", [&] { static_cast<void>(numbers.pop()); });
    auto limited = spawn("limited", [&] { static_cast<void>(numbers.pop(absl::Hours(1))); });
    auto lock = spawn("lock", [&] { const Lock::Held inside = table.enter(); });
    group.spawn("event", [&] { event.wait(); });
    auto joins = spawn("joins", [&] { signal.join(); });
    auto joins_all = spawn("joins all", [&] { group.join(); });
    auto ended = spawn("ended", [] {});
    ended.join();
    const Scheduler here = Scheduler::current();
    // Until the one that made it waits for its end, too.
    const auto look = [&](Signal) {
      while (true) {
        auto waits = waits_of(here);
        if (!waits["callback_result"].empty()) return waits;
        std::this_thread::yield();
      }
    };
    EXPECT_THAT(Thread::run("looks", look).join(),
                UnorderedElementsAre(Pair("signal", "waits for signal saved"), Pair("unnamed", "waits for signal"),
                                     Pair("either", "waits for signal"), Pair("queue", "pops from queue numbers"),
                                     Pair("limited", "pops from queue numbers"), Pair("lock", "enters lock table"), Pair("event", "waits for event"),
                                     Pair("joins", "waits for the end of fiber signal"), Pair("joins all", "waits for the end of group group"),
                                     Pair("callback_result", "waits for signal stopped of looks")));
    saved.go();
    unnamed.go();
    numbers.add(1);
    numbers.add(2);
    event.signal();
  });
}

TEST(FiberLookTest, OfAFiberThatHasGoneOnOrEndedNothingIsLeft) {
  Event<> event;
  auto fiber = spawn("fiber", [&] {
    event.wait();
    yield();
  });
  yield();
  const Scheduler here = Scheduler::current();
  EXPECT_THAT(waits_of(here), ElementsAre(Pair("fiber", "waits for event")));
  event.signal();
  EXPECT_THAT(waits_of(here), ElementsAre(Pair("fiber", "")));
  fiber.join();
  EXPECT_THAT(waits_of(here), IsEmpty());
  auto next = spawn("next", [] {});
  EXPECT_THAT(waits_of(here), ElementsAre(Pair("next", "")));
}

TEST(FiberLookTest, AWaitHasTheTimeOfItsBeginning) {
  on_virtual_time([](VirtualClock& clock) {
    const Instant start = clock.now();
    Event<> event;
    auto early = spawn("early", [&] { event.wait(); });
    yield();
    clock.advance(absl::Hours(24 * 365) + absl::Milliseconds(3));
    for (int i = 0; i < 600; ++i) yield();
    auto late = spawn("late", [&] { event.wait(); });
    yield();
    std::map<std::string, absl::Duration> since;
    Scheduler::current().look([&](const FiberLook& fiber) { since[std::string(fiber.name)] = absl::FromChrono(fiber.since.value() - start); });
    EXPECT_THAT(since["early"], AllOf(Le(absl::ZeroDuration()), Gt(-absl::Milliseconds(2))));
    EXPECT_THAT(since["late"] - absl::Hours(24 * 365), AllOf(Le(absl::Milliseconds(3)), Gt(absl::Milliseconds(1))));
    event.signal();
    event.signal();
    early.join();
    late.join();
  });
}

TEST(FiberLookTest, WhereNoTimerMakesTheSchedulerLookAtItsClockItDoesSoNowAndThen) {
  on_virtual_time([](VirtualClock& clock) {
    const Instant start = clock.now();
    clock.advance(absl::Minutes(1));
    for (int i = 0; i < 600; ++i) yield();
    Event<> event;
    auto fiber = spawn("fiber", [&] { event.wait(); });
    yield();
    const std::optional<WaitReport> report = Member(fiber).waits_on();
    ASSERT_TRUE(report && report->since);
    EXPECT_GT(absl::FromChrono(*report->since - start), absl::Seconds(59));
    event.signal();
    fiber.join();
  });
}

TEST(FiberLookTest, ALongNameIsCut) {
  const std::string name(100, 'n');
  Signal signal(std::string(100, 's'));
  auto fiber = spawn(name, [&] { signal.wait(); });
  yield();
  EXPECT_THAT(waits_of(Scheduler::current()), ElementsAre(Pair(name.substr(0, 55), "waits for signal " + std::string(55, 's'))));
  signal.go();
}

TEST(FiberLookTest, AnEndedSchedulerHasNoneAlsoWhenItsPlaceIsAnothers) {
  std::optional<Scheduler> ended;
  Thread::run("first", [&](Signal) { ended = Scheduler::current(); }).join();
  EXPECT_THAT(waits_of(*ended), IsEmpty());
  Thread::run("second", [&](Signal) {
    auto fiber = spawn("fiber", [] {});
    EXPECT_THAT(waits_of(*ended), IsEmpty());
    EXPECT_THAT(waits_of(Scheduler::current()), SizeIs(1));
  }).join();
}

TEST(FiberLookTest, AMemberSaysWhatItsFiberWaitsOn) {
  Signal saved("saved");
  Signal parked;
  Member member;
  auto thread = Thread::run("host", [&](Signal) {
    auto fiber = spawn("fiber", [&] { saved.wait(); });
    member = fiber;
    auto tells = spawn("tells", [&] { parked.go(); });
    fiber.join();
    EXPECT_FALSE(member.waits_on());
    Event<> event;
    auto next = spawn("next", [&] { event.wait(); });
    yield();
    EXPECT_FALSE(member.waits_on());
    event.signal();
  });
  parked.wait();
  const std::optional<WaitReport> report = member.waits_on();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->what, "waits for signal saved");
  EXPECT_TRUE(report->since);
  saved.go();
  thread.join();
  EXPECT_FALSE(member.waits_on());
}

// Every fiber waits for its own Signal only, so what is seen must belong together, whenever it is seen.
TEST(FiberLookTest, WhatIsSeenBelongsTogetherWhileFibersComeAndGo) {
  constexpr int kNames = 5;
  std::atomic<bool> is_over{false};
  Signal begun;
  std::optional<Scheduler> scheduler;
  auto host = Thread::run("host", [&](Signal) {
    scheduler = Scheduler::current();
    begun.go();
    for (int round = 0; !is_over; ++round) {
      std::vector<Fiber<void>> fibers;
      std::vector<Signal> signals;
      for (int i = 0; i < kNames; ++i) {
        const std::string name(static_cast<std::size_t>(i + round) % 40 + 1, static_cast<char>('a' + i));
        signals.emplace_back(name);
        fibers.push_back(spawn(name, [signal = signals.back()] { signal.wait(); }));
      }
      yield();
      for (const Signal& signal : signals) signal.go();
      for (auto& fiber : fibers) fiber.join();
    }
  });
  begun.wait();
  int seen = 0;
  while (seen < 3000) {
    scheduler->look([&](const FiberLook& fiber) {
      if (fiber.wait.empty()) return;
      ++seen;
      EXPECT_EQ(fiber.wait, "waits for signal");
      EXPECT_EQ(fiber.object, fiber.name);
    });
  }
  is_over = true;
  host.join();
}

// Cores serve one thread after the other: a handle of an ended scheduler never shows fibers of the next.
TEST(FiberLookTest, WhoLooksSeesNoFiberOfALaterScheduler) {
  constexpr int kRounds = 100;
  Queue<Scheduler> schedulers("schedulers");
  auto looker = Thread::run("looker", [&](Signal) {
    std::string own = "0";
    while (const auto scheduler = schedulers.pop()) {
      for (int i = 0; i < 20; ++i) scheduler->look([&](const FiberLook& fiber) { EXPECT_EQ(fiber.name, own); });
      own = std::to_string(std::stoi(own) + 1);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    Thread::run("host", [&](Signal) {
      const std::string name = std::to_string(i);
      std::vector<Fiber<void>> fibers;
      for (int k = 0; k < 5; ++k) fibers.push_back(spawn(name, [] { yield(); }));
      schedulers.add(Scheduler::current());
    }).join();
  }
  schedulers.close();
  looker.join();
}

}  // namespace
}  // namespace cooperative
