#include "cooperative/wait_for.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/pulse.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/exceptions.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using mothreads::testing::failure;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// --- wait_for_all ------------------------------------------------------------------------------------------------------------------

TEST(WaitForAllTest, GivesTheResultsOfAnyMixInTheirOrder) {
  Event<double> event;
  Event<> plain;
  EventQueue<std::string> queue;
  ThreadedEventQueue<int> from_threads;
  Signal signal;
  auto fiber = spawn("fiber", [] { return 'f'; });
  auto other = spawn("other", [&] {
    signal.go();
    from_threads.signal(4);
    queue.signal("third");
    yield();
    plain.signal();
    yield();
    event.signal(1.5);
  });
  const auto results = wait_for_all(std::tie(event, plain, queue, from_threads, fiber, signal));
  static_assert(std::is_same_v<decltype(results),
                               const std::tuple<double, std::monostate, std::string, int, char, std::monostate>>);
  EXPECT_EQ(results, std::make_tuple(1.5, std::monostate(), std::string("third"), 4, 'f', std::monostate()));
  EXPECT_FALSE(fiber.owns());
  other.join();
}

TEST(WaitForAllTest, TakesAContainer) {
  std::vector<Fiber<int>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(spawn("fiber", [i] {
      for (int turn = i; turn < 3; ++turn) yield();  // the last ends first
      return i;
    }));
  }
  EXPECT_THAT(wait_for_all(fibers), ElementsAre(0, 1, 2));

  Event<std::unique_ptr<int>> a;
  Event<std::unique_ptr<int>> b;
  a.signal(std::make_unique<int>(1));
  b.signal(std::make_unique<int>(2));
  const std::vector<std::reference_wrapper<Event<std::unique_ptr<int>>>> events{b, a};
  const auto numbers = wait_for_all(events);
  EXPECT_EQ(*numbers[0], 2);
  EXPECT_EQ(*numbers[1], 1);

  const std::vector<Signal> signals{DONE, DONE};
  static_assert(std::is_void_v<decltype(wait_for_all(signals))>);
  wait_for_all(signals);
}

// cothread's coco.py.
TEST(WaitForAllTest, TasksThatYieldDifferentlyOftenGiveTheirResultsInOrder) {
  for (int round = 0; round < 20; ++round) {
    std::vector<Fiber<int>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(spawn("task", [i, round] {
        for (int turn = 0; turn < (i * 7 + round) % 10; ++turn) yield();
        return i;
      }));
    }
    EXPECT_THAT(wait_for_all(tasks), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  }
}

TEST(WaitForAllTest, OfNothingAndOfWhatIsReadyDoesNotWait) {
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_EQ(wait_for_all(std::tuple<>()), std::tuple<>());
  std::vector<Fiber<int>> none;
  EXPECT_THAT(wait_for_all(none, absl::ZeroDuration()), IsEmpty());
  Event<int> event;
  event.signal(1);
  EventQueue<int> queue;
  queue.signal(2);
  EXPECT_EQ(wait_for_all(std::tie(event, queue, DONE), DONE), std::make_tuple(1, 2, std::monostate()));
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST(WaitForAllTest, HasOneLimitForAll) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> first;
    Event<int> second;
    auto time = spawn("time", [&] {
      yield();
      clock.advance(absl::Seconds(40));
      first.signal(1);
      yield();
      yield();
      clock.advance(absl::Seconds(20));
    });
    EXPECT_EQ(what_of<Timedout>([&] { wait_for_all(std::tie(first, second), absl::Seconds(60)); }),
              "Timed out waiting for event");  // for ever, if the second began anew
    time.join();
  });
}

// In cothread those behind the one that timed out could not be waited for any more, and the values of those before it were gone.
TEST(WaitForAllTest, ATimeoutLeavesEverythingAsItWas) {
  Event<int> event;
  Event<int> manual(Reset::manual);
  EventQueue<int> queue;
  ThreadedEventQueue<int> from_threads;
  event.signal(1);
  manual.signal(2);
  for (int i = 3; i < 6; ++i) queue.signal(i);
  for (int i = 6; i < 8; ++i) from_threads.signal(i);
  auto ended = spawn("ended", [] { return 8; });
  Event<int> gate;
  auto running = spawn("running", [&] { return gate.wait(); });
  Event<int> later;
  later.signal(10);
  yield();
  EXPECT_EQ(what_of<Timedout>([&] {
              wait_for_all(std::tie(event, manual, queue, queue, from_threads, ended, running, later), absl::ZeroDuration());
            }),
            "Timed out waiting for the end of fiber \"running\"");
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_TRUE(event);
  EXPECT_TRUE(ended.owns());
  gate.signal(9);
  EXPECT_EQ(wait_for_all(std::tie(event, manual, queue, queue, from_threads, ended, running, later)),
            std::make_tuple(1, 2, 3, 4, 6, 8, 9, 10));
  EXPECT_EQ(queue.wait(), 5);
  EXPECT_EQ(from_threads.wait(), 7);
}

TEST(WaitForAllTest, AValueThatIsGivenBackGoesToWhoWaits) {
  Event<int> event;
  EventQueue<int> queue;
  ThreadedEventQueue<int> from_threads;
  Event<int> never;
  auto all = spawn("all", [&] { wait_for_all(std::tie(event, queue, from_threads, never)); });
  yield();
  Names got;
  const auto taker = [&](const char* name, auto& source) {
    return spawn(name, [&got, &source, name] { got.push_back(name + std::to_string(source.wait())); });
  };
  event.signal(1);
  yield();
  queue.signal(2);
  yield();
  from_threads.signal(3);
  yield();
  auto a = taker("event ", event);
  auto b = taker("queue ", queue);
  auto c = taker("threads ", from_threads);
  yield();
  EXPECT_THAT(got, IsEmpty());
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  a.join();
  b.join();
  c.join();
  EXPECT_THAT(got, ::testing::UnorderedElementsAre("event 1", "queue 2", "threads 3"));
}

TEST(WaitForAllTest, AValueThatIsGivenBackDoesNotReplaceALaterOne) {
  Event<int> event;
  Event<int> never;
  event.signal(1);
  auto all = spawn("all", [&] { wait_for_all(std::tie(event, never)); });
  yield();
  EXPECT_FALSE(event);
  event.signal(2);
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  EXPECT_EQ(event.wait(), 2);
  EXPECT_FALSE(event);
}

TEST(WaitForAllTest, ThrowsTheFirstFailureOfTheOrderAndTakesNothingElse) {
  Event<int> event;
  event.signal(1);
  auto good = spawn("good", [] { return 2; });
  auto bad = spawn("bad", []() -> int {
    yield();
    throw std::out_of_range("bad");
  });
  auto worse = spawn("worse", []() -> int { throw std::runtime_error("worse"); });
  EXPECT_EQ(what_of<std::out_of_range>([&] { wait_for_all(std::tie(event, good, bad, worse)); }), "bad");
  EXPECT_FALSE(bad.owns());
  EXPECT_EQ(event.wait(), 1);
  EXPECT_EQ(good.join(), 2);
  EXPECT_EQ(what_of<std::runtime_error>([&] { worse.join(); }), "worse");
}

TEST(WaitForAllTest, ThrowsWhatAnEventWasGivenAndThatAQueueIsClosed) {
  Event<int> good;
  Event<int> bad;
  good.signal(1);
  bad.signal_exception(failure("broken"));
  EXPECT_EQ(what_of<std::runtime_error>([&] { wait_for_all(std::tie(good, bad)); }), "broken");
  EXPECT_TRUE(good);
  EXPECT_FALSE(bad);

  EventQueue<int> queue;
  ThreadedEventQueue<int> from_threads;
  auto closer = spawn("closer", [&] { queue.close(); });
  EXPECT_THROW(wait_for_all(std::tie(good, queue)), Closed);
  from_threads.close();
  EXPECT_THROW(wait_for_all(std::tie(good, from_threads)), Closed);
  EXPECT_EQ(good.wait(), 1);
  closer.join();
}

TEST(WaitForAllTest, WhatWouldWaitForItselfIsMisuse) {
  Event<int> event;
  event.signal(1);
  Fiber<void> self;
  std::string said;
  self = spawn("narcissus", [&] { said = what_of<Misuse>([&] { wait_for_all(std::tie(event, self)); }); });
  yield();
  EXPECT_THAT(said, HasSubstr("fiber \"narcissus\" waits for itself to end"));
  EXPECT_TRUE(event);
  Fiber<void> none;
  EXPECT_THAT(what_of<Misuse>([&] { wait_for_all(std::tie(event, none)); }), HasSubstr("owns no fiber"));
  EXPECT_TRUE(event);
}

// --- wait_for_any ------------------------------------------------------------------------------------------------------------------------

TEST(WaitAnyTest, SaysWhichCameFirst) {
  Event<int> event;
  EventQueue<std::string> queue;
  ThreadedEventQueue<double> from_threads;
  Pulse pulse;
  Signal signal;
  Event<char> gate;
  auto fiber = spawn("fiber", [&] { return gate.wait(); });
  const std::vector<std::function<void()>> causes{[&] { event.signal(1); },          [&] { queue.signal("two"); },
                                                  [&] { from_threads.signal(3.5); }, [&] { pulse.signal(); },
                                                  [&] { signal.go(); },              [&] { gate.signal('f'); }};
  using Result = std::variant<int, std::string, double, std::monostate, std::monostate, char>;
  const std::vector<Result> expected{Result(std::in_place_index<0>, 1), Result(std::in_place_index<1>, "two"),
                                     Result(std::in_place_index<2>, 3.5), Result(std::in_place_index<3>),
                                     Result(std::in_place_index<4>), Result(std::in_place_index<5>, 'f')};
  for (std::size_t i = 0; i < causes.size(); ++i) {
    if (i == 5) signal = Signal();
    yield();
    auto other = spawn("other", [&] {
      yield();
      causes[i]();
    });
    EXPECT_EQ(wait_for_any(std::tie(event, queue, from_threads, pulse, signal, fiber)), expected[i]) << i;
    other.join();
  }
}

TEST(WaitAnyTest, ATimeIsOneOfThem) {
  on_virtual_time([](VirtualClock& clock) {
    Event<int> event;
    const Till till(absl::Seconds(1));
    auto waiter = spawn("waiter", [&] { return wait_for_any(std::tie(event, till)).index(); });
    yield_until_idle();
    EXPECT_TRUE(waiter.is_alive());
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(waiter.join(), 1u);
  });
}

TEST(WaitAnyTest, TakesAContainer) {
  std::vector<Fiber<int>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(spawn("fiber", [i] {
      if (i != 1) sleep(absl::Hours(1));
      return i * 10;
    }));
  }
  const First<int> first = wait_for_any(fibers);
  EXPECT_EQ(first.index, 1u);
  EXPECT_EQ(first.value, 10);
  EXPECT_FALSE(fibers[1].owns());

  const std::vector<Signal> signals{Signal(), DONE, DONE};
  EXPECT_EQ(wait_for_any(signals).index, 1u);
  const std::vector<Signal> none;
  EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(wait_for_any(none)); }), HasSubstr("wait_for_any of an empty container"));
}

TEST(WaitAnyTest, OfThoseThatAreReadyTheFirstInTheOrderAndWithoutWaiting) {
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  Event<int> nothing;
  Event<int> a;
  Event<int> b;
  b.signal(2);
  a.signal(1);
  EXPECT_EQ(wait_for_any(std::tie(nothing, a, b), DONE), (std::variant<int, int, int>(std::in_place_index<1>, 1)));
  EXPECT_EQ(b.wait(), 2);
  EXPECT_FALSE(other_ran);
  other.join();
}

// Whose signal it was that ended the wait, also when all have been signalled before the waiter runs.
TEST(WaitAnyTest, OfThoseSignalledMeanwhileTheEarliest) {
  Signal a;
  Signal b;
  Event<int> c;
  Event<int> d;
  const std::vector<std::function<void()>> causes{[&] { a.go(); }, [&] { b.go(); }, [&] { c.signal(1); }, [&] { d.signal(2); }};
  for (std::size_t first = 0; first < causes.size(); ++first) {
    a = Signal();
    b = Signal();
    c.reset();
    d.reset();
    std::optional<std::size_t> won;
    auto waiter = spawn("waiter", [&] { won = wait_for_any(std::tie(a, b, c, d)).index(); });
    yield();
    causes[first]();
    for (const auto& cause : causes) cause();
    waiter.join();
    EXPECT_EQ(won, first);
    EXPECT_TRUE(c);  // the second of its signals, if it was the first
    EXPECT_TRUE(d);
  }
}

TEST(WaitAnyTest, TheLosersKeepTheirValues) {
  Event<int> event;
  EventQueue<int> queue;
  ThreadedEventQueue<int> from_threads;
  Signal signal;
  auto fiber = spawn("fiber", [] { return 7; });
  auto waiter = spawn("waiter", [&] { return wait_for_any(std::tie(signal, event, queue, from_threads, fiber)).index(); });
  auto other = spawn("other", [&] {
    signal.go();
    event.signal(1);
    queue.signal(2);
    from_threads.signal(3);
  });
  EXPECT_EQ(waiter.join(), 4u);  // the fiber ran first
  EXPECT_EQ(event.wait(), 1);
  EXPECT_EQ(queue.wait(), 2);
  EXPECT_EQ(from_threads.wait(), 3);
  other.join();
}

TEST(WaitAnyTest, WhatItDoesNotTakeGoesToTheNextInLine) {
  Event<int> first;
  Event<int> second;
  auto any = spawn("any", [&] { return wait_for_any(std::tie(first, second)).index(); });
  auto behind = spawn("behind", [&] { return second.wait(); });
  yield();
  first.signal(1);
  second.signal(2);
  EXPECT_EQ(any.join(), 0u);
  EXPECT_EQ(behind.join(), 2);
}

TEST(WaitAnyTest, ItHasItsPlaceInLine) {
  Event<int> event;
  Pulse pulse;
  auto before = spawn("before", [&] { return event.wait(); });
  auto any = spawn("any", [&] { return std::get<1>(wait_for_any(std::tie(pulse, event))); });
  auto behind = spawn("behind", [&] { return event.wait(); });
  yield();
  for (int i = 1; i <= 3; ++i) event.signal(i);
  EXPECT_EQ(before.join(), 1);
  EXPECT_EQ(any.join(), 2);
  EXPECT_EQ(behind.join(), 3);
}

TEST(WaitAnyTest, LeavesNothingBehindHoweverItEnds) {
  Event<int> event;
  EventQueue<int> queue;
  ThreadedEventQueue<int> from_threads;
  Signal signal;
  Event<int> gate;
  auto fiber = spawn("fiber", [&] { return gate.wait(); });
  {
    Pulse pulse;  // its end is fatal while somebody waits
    const auto wait = [&](const auto&... limit) { wait_for_any(std::tie(event, queue, from_threads, signal, pulse, fiber), limit...); };
    EXPECT_EQ(what_of<Timedout>([&] { wait(absl::ZeroDuration()); }), "Timed out waiting for the first of several");
    EXPECT_EQ(what_of<Stopped>([&] { wait(DONE); }), "Stopped waiting for the first of several");
    auto cancelled = spawn("cancelled", [&] { wait(); });
    yield();
    EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
    auto woken = spawn("woken", [&] { wait(); });
    yield();
    pulse.signal();
    woken.join();
  }
  event.signal(1);
  queue.signal(2);
  from_threads.signal(3);
  signal.go();
  gate.signal(4);
  EXPECT_EQ(wait_for_all(std::tie(event, queue, from_threads, signal, fiber)), std::make_tuple(1, 2, 3, std::monostate(), 4));
}

TEST(WaitAnyTest, ThrowsWhatTheFirstThrows) {
  Event<int> event;
  auto bad = spawn("bad", []() -> int { throw std::out_of_range("bad"); });
  auto sleeper = spawn("sleeper", [] { sleep(absl::Hours(1)); });
  EXPECT_EQ(what_of<std::out_of_range>([&] { wait_for_any(std::tie(event, sleeper, bad)); }), "bad");
  EXPECT_TRUE(sleeper.owns());
  EventQueue<int> queue;
  auto closer = spawn("closer", [&] { queue.close(); });
  EXPECT_THROW(wait_for_any(std::tie(event, queue)), Closed);
  closer.join();
}

TEST(WaitAnyTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  Event<int> event;
  Signal signal;
  auto other = Thread::run("other", [&](Signal) { return what_of<Misuse>([&] { wait_for_any(std::tie(signal, event)); }); });
  EXPECT_THAT(other.join(), HasSubstr("an Event was used on another thread"));
}

TEST(WaitAnyTest, AThreadMayEndIt) {
  for (int i = 0; i < 300; ++i) {
    Signal signal;
    ThreadedEventQueue<int> queue;
    Event<int> event;
    auto one = Thread::run("one", [&](Signal) { signal.go(); });
    auto two = Thread::run("two", [&](Signal) { queue.signal(i); });
    const auto first = wait_for_any(std::tie(event, signal, queue));
    if (first.index() == 1) {
      EXPECT_TRUE(signal);
      EXPECT_EQ(queue.wait(), i);
    } else {
      EXPECT_EQ(std::get<2>(first), i);
      EXPECT_EQ(queue.size(), 0u);
    }
    one.join();
    two.join();
  }
}

TEST(WaitAnyTest, AllocatesNothing) {
  Event<int> event;
  EventQueue<int> queue;
  const Signal signal;
  auto other = spawn("other", [&] {
    for (int i = 0; i < 3; ++i) {
      yield();
      event.signal(i);
    }
  });
  wait_for_any(std::tie(queue, event, signal), absl::Hours(1));
  const auto before = mothreads::testing::allocations_here();
  wait_for_any(std::tie(queue, event, signal), absl::Hours(1));
  wait_for_all(std::tie(event), signal | absl::Hours(1));
  EXPECT_EQ(mothreads::testing::allocations_here() - before, 0u);
  other.join();
}

}  // namespace
}  // namespace cooperative
