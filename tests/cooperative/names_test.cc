// The names that users give to what fibers wait for: in reports, looks and errors.

#include <map>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/pulse.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "mothreads/member.h"
#include "mothreads/misuse.h"
#include "mothreads/result.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Closed;
using mothreads::EndedEarly;
using mothreads::Member;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Timedout;
using mothreads::testing::LogLines;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

template <typename F>
std::string object_of(F&& wait) {
  try {
    wait();
  } catch (const EndedEarly& ended) {
    return ended.object();
  }
  return "nothing";
}

std::map<std::string, std::string> waits() {
  std::map<std::string, std::string> all;
  Scheduler::current().look([&](const FiberLook& fiber) {
    if (!fiber.wait.empty()) all.emplace(fiber.name, std::string(fiber.wait) + (fiber.object.empty() ? "" : " ") + std::string(fiber.object));
  });
  return all;
}

TEST(NamesTest, EveryWaitSaysWhatItWaitsFor) {
  Event<int> event("temperature");
  Event<> manual("begun", Reset::manual);
  EventQueue<int> queue("readings");
  EventQueue<int> bounded("few", 2);
  ThreadedEventQueue<int> from_threads("letters");
  Pulse pulse("beat");
  RLock lock("table");
  const RLock::Guard guard = lock.enter();
  auto a = spawn("a", [&] { event.wait(); });
  auto b = spawn("b", [&] { manual.wait(absl::Hours(1)); });
  auto c = spawn("c", [&] { queue.wait(); });
  auto d = spawn("d", [&] { static_cast<void>(bounded.next()); });
  auto e = spawn("e", [&] { from_threads.wait(); });
  auto f = spawn("f", [&] { pulse.wait(); });
  auto g = spawn("g", [&] { lock.acquire(); });
  yield();
  EXPECT_EQ(Member(a).waits_on()->what, "waits for event temperature");
  EXPECT_THAT(waits(), UnorderedElementsAre(Pair("a", "waits for event temperature"), Pair("b", "waits for event begun"),
                                            Pair("c", "waits for a value of EventQueue readings"), Pair("d", "waits for a value of EventQueue few"),
                                            Pair("e", "waits for a value of ThreadedEventQueue letters"), Pair("f", "waits for pulse beat"),
                                            Pair("g", "waits for RLock table")));
}

TEST(NamesTest, AThreadWithoutFibersSaysIt) {
  ThreadedEventQueue<int> letters("letters");
  auto thread = Thread::run("reader", [&](const Signal&) { return letters.wait(); });
  const Member member = thread;
  while (!member.waits_on()) yield();
  EXPECT_EQ(member.waits_on()->what, "waits for a value of ThreadedEventQueue letters");
  letters.signal(3);
  EXPECT_EQ(thread.join(), 3);
}

TEST(NamesTest, AWaitForWhatHasNoNameSaysNoMoreThanItsKind) {
  ThreadedEventQueue<int> letters;
  auto fiber = spawn("fiber", [&] { return letters.wait(); });
  yield();
  EXPECT_EQ(Member(fiber).waits_on()->what, "waits for a value of ThreadedEventQueue");
  auto thread = Thread::run("reader", [&](const Signal&) { return letters.wait(); });
  const Member member = thread;
  while (!member.waits_on()) yield();
  EXPECT_EQ(member.waits_on()->what, "waits for a value of ThreadedEventQueue");
  letters.signal(3);
  letters.signal(4);
  EXPECT_EQ(fiber.join() + thread.join(), 7);
}

TEST(NamesTest, ErrorsNameTheObject) {
  const auto now = absl::ZeroDuration();
  Event<int> event("temperature");
  EventQueue<int> queue("readings");
  ThreadedEventQueue<int> from_threads("letters");
  Pulse pulse("beat");
  RLock lock("table");
  EXPECT_EQ(object_of([&] { event.wait(now); }), "event \"temperature\"");
  EXPECT_EQ(object_of([&] { queue.wait(now); }), "event queue \"readings\"");
  EXPECT_EQ(object_of([&] { static_cast<void>(queue.next(now).value()); }), "event queue \"readings\"");
  EXPECT_EQ(object_of([&] { from_threads.wait(now); }), "event queue \"letters\"");
  EXPECT_EQ(object_of([&] { static_cast<void>(from_threads.next(now).value()); }), "event queue \"letters\"");
  EXPECT_EQ(object_of([&] { pulse.wait(now); }), "pulse \"beat\"");
  EXPECT_EQ(object_of([&] { wait_for_any(std::tie(event), now); }), "event \"temperature\"");
  EXPECT_EQ(object_of([&] { wait_for_all(std::tie(queue), now); }), "event queue \"readings\"");
  Event<> end;
  auto holder = spawn("holder", [&] {
    const auto held = lock.enter();
    end.wait();
  });
  yield();
  EXPECT_EQ(object_of([&] { lock.acquire(now); }), "RLock \"table\"");
  EXPECT_THAT(what_of<Misuse>([&] { lock.release(); }), HasSubstr("RLock \"table\""));
  end.signal();
  holder.join();
  queue.close();
  from_threads.close();
  EXPECT_EQ(object_of([&] { queue.wait(); }), "event queue \"readings\"");
  EXPECT_EQ(object_of([&] { from_threads.wait(); }), "event queue \"letters\"");
  EXPECT_EQ(object_of([&] { static_cast<void>(from_threads.next().value()); }), "event queue \"letters\"");
}

TEST(NamesTest, WhatHasNoNameIsCalledByItsKind) {
  Event<int> event;
  Event<int> empty("");
  EXPECT_EQ(object_of([&] { event.wait(absl::ZeroDuration()); }), "event");
  EXPECT_EQ(object_of([&] { empty.wait(absl::ZeroDuration()); }), "event");
}

// Whoever is told of the end may destroy the queue at once; the error still has its name.
TEST(NamesTest, TheNameOutlivesTheQueue) {
  auto queue = std::make_unique<ThreadedEventQueue<int>>("letters");
  auto reader = spawn("reader", [&] { return object_of([&] { queue->wait(); }); });
  yield();
  queue->close();
  queue.reset();
  EXPECT_EQ(reader.join(), "event queue \"letters\"");
}

TEST(NamesTest, AZeroByteIsRefused) {
  const std::string bad("a\0b", 3);
  EXPECT_THAT(what_of<Misuse>([&] { Event<int> event(bad); }), HasSubstr("name of an Event"));
  EXPECT_THAT(what_of<Misuse>([&] { EventQueue<int> queue(bad); }), HasSubstr("name of an EventQueue"));
  EXPECT_THAT(what_of<Misuse>([&] { ThreadedEventQueue<int> queue(bad); }), HasSubstr("name of a ThreadedEventQueue"));
  EXPECT_THAT(what_of<Misuse>([&] { Pulse pulse(bad); }), HasSubstr("name of a Pulse"));
  EXPECT_THAT(what_of<Misuse>([&] { RLock lock(bad); }), HasSubstr("name of an RLock"));
  EXPECT_THAT(what_of<Misuse>([&] { Timer timer(bad, absl::Hours(1), [] {}); }), HasSubstr("name of a Timer"));
}

TEST(NamesTest, ATimersCallsHaveItsName) {
  const LogLines lines;
  Event<> called("called");
  Event<> end("end");
  Timer timer("sampler", absl::ZeroDuration(), [&] {
    called.signal();
    end.wait();
  });
  called.wait();
  yield();
  EXPECT_THAT(waits(), ElementsAre(Pair("sampler", "waits for event end")));
  end.signal();
}

TEST(NamesDeathTest, WhatIsDestroyedWhileAFiberWaitsIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto event = std::make_unique<Event<int>>("temperature");
        auto waiter = spawn("waiter", [&] { event->wait(); });
        yield();
        event.reset();
      },
      "Event \"temperature\" was destroyed while a fiber waits for it");
}

}  // namespace
}  // namespace cooperative
