// Signal::then() on an Executor.

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/executor.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/sleeping.h"
#include "tests/support/user_loop.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::await_sleeping;
using testing::live_allocations;
using testing::LogLines;
using testing::UserLoop;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Order = std::vector<std::string>;

TEST(SignalThenOnTest, GoOnlyPostsIt) {
  UserLoop loop;
  const Signal signal;
  std::thread::id ran_in;
  signal.then(loop, [&] { ran_in = std::this_thread::get_id(); });
  EXPECT_EQ(loop.run_all(), 0);
  EXPECT_TRUE(signal.go());
  EXPECT_EQ(ran_in, std::thread::id());
  std::thread([&] {
    EXPECT_EQ(loop.run_all(), 1);
    EXPECT_EQ(ran_in, std::this_thread::get_id());
  }).join();
  EXPECT_FALSE(signal.go());
  EXPECT_EQ(loop.run_all(), 0);
}

TEST(SignalThenOnTest, OnASignalThatHasGoneItIsPostedAtOnce) {
  UserLoop loop;
  const Signal signal;
  signal.go();
  Order order;
  signal.then(loop, [&] { order.push_back("signal"); });
  DONE.then(loop, [&] { order.push_back("DONE"); });
  EXPECT_THAT(order, IsEmpty());
  EXPECT_EQ(loop.run_all(), 2);
  EXPECT_THAT(order, ElementsAre("signal", "DONE"));
}

TEST(SignalThenOnTest, NeverDropsItAtOnce) {
  UserLoop loop;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  EXPECT_EQ(NEVER.then(loop, [held = std::move(held)] { ADD_FAILURE() << *held; }), ThenId());
  EXPECT_TRUE(watched.expired());
}

TEST(SignalThenOnTest, InTheOrderGivenAlsoBesideThoseInLine) {
  UserLoop loop;
  const Signal signal;
  Order order;
  signal.then([&] { order.push_back("in line 1"); });
  signal.then(loop, [&] { order.push_back("posted 1"); });
  signal.then([&] { order.push_back("in line 2"); });
  signal.then(loop, [&] { order.push_back("posted 2"); });
  signal.go();
  loop.run_all();
  EXPECT_THAT(order, ElementsAre("in line 1", "in line 2", "posted 1", "posted 2"));
}

TEST(SignalThenOnTest, TakesFunctionsThatCanOnlyBeMoved) {
  UserLoop loop;
  const Signal signal;
  int got = 0;
  signal.then(loop, [value = std::make_unique<int>(7), &got] { got += *value; });
  signal.then(loop, [] { throw std::runtime_error("no bread"); },
              [value = std::make_unique<int>(70), &got](const std::exception_ptr&) { got += *value; });
  signal.go();
  loop.run_all();
  EXPECT_EQ(got, 77);
}

TEST(SignalThenOnTest, AnEmptyFunctionIsMisuse) {
  UserLoop loop;
  void (*const nothing)() = nullptr;
  void (*const no_handler)(std::exception_ptr) = nullptr;
  EXPECT_THROW(Signal().then(loop, nothing), Misuse);
  EXPECT_THROW(Signal().then(loop, nothing, [](const std::exception_ptr&) {}), Misuse);
  EXPECT_THROW(Signal().then(loop, [] {}, no_handler), Misuse);
}

// --- what it throws ------------------------------------------------------------------------------------------------------

TEST(SignalThenOnTest, WhatItThrowsIsTheExecutors) {
  LogLines lines;
  UserLoop loop;
  const Signal signal;
  signal.then(loop, [] { throw std::runtime_error("no bread"); });
  signal.go();
  EXPECT_THROW(loop.run_one(), std::runtime_error);
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST(SignalThenOnTest, OrTheErrorFunctionsOnTheExecutor) {
  LogLines lines;
  UserLoop loop;
  const Signal signal;
  Order order;
  const auto note = [&](const std::exception_ptr& e) { order.push_back(log::describe(e)); };
  signal.then(loop, [] { throw std::runtime_error("no bread"); }, note);
  signal.then(loop, [] { throw 5; }, note);
  signal.then(loop, [] {}, note);
  signal.go();
  EXPECT_THAT(order, IsEmpty());
  EXPECT_EQ(loop.run_all(), 3);
  EXPECT_THAT(order, ElementsAre("no bread", HasSubstr("int")));
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST(SignalThenOnTest, WhatTheErrorFunctionThrowsIsTheExecutorsToo) {
  UserLoop loop;
  const Signal signal;
  const ThenId id = signal.then(loop, [] { throw std::runtime_error("first"); },
                                [](const std::exception_ptr&) { throw std::logic_error("the handler failed too"); });
  signal.go();
  EXPECT_THROW(loop.run_one(), std::logic_error);
  EXPECT_FALSE(signal.remove_then(id));  // it is over
}

// --- an executor that does not take it -----------------------------------------------------------------------------------

TEST(SignalThenOnTest, AClosedExecutorIsReportedAndTheFunctionDestroyed) {
  LogLines lines;
  UserLoop loop;
  const Signal signal("lunch");
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  bool other_ran = false;
  const ThenId id = signal.then(loop.executor("kitchen"), [held = std::move(held)] { ADD_FAILURE() << *held; });
  signal.then([&] { other_ran = true; });
  loop.close();
  EXPECT_FALSE(watched.expired());
  EXPECT_TRUE(signal.go());
  EXPECT_TRUE(other_ran);
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_EQ(logged[0].level, log::Level::warning);
  EXPECT_EQ(logged[0].text, "The Signal \"lunch\" has gone, but kitchen is closed: a then() function for it is lost");

  signal.then(loop.executor("kitchen"), [] { ADD_FAILURE(); });  // also when it has gone already
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("kitchen is closed")));
}

TEST(SignalThenOnTest, AFullExecutorIsReported) {
  LogLines lines;
  const Signal signal("lunch");
  signal.then(Executor::of("kitchen", [](const absl::AnyInvocable<void()>&) { return Posted(Why::full); }), [] { ADD_FAILURE(); });
  signal.go();
  EXPECT_THAT(lines.take_texts(), ElementsAre(AllOf(HasSubstr("lunch"), HasSubstr("kitchen is full"))));
}

TEST(SignalThenOnTest, AnExecutorThatThrowsIsReported) {
  LogLines lines;
  const Signal signal("lunch");
  const auto throws = Executor::of([](const absl::AnyInvocable<void()>&) { throw std::runtime_error("no window"); });
  signal.then(throws, [] { ADD_FAILURE(); });
  EXPECT_NO_THROW(signal.go());
  EXPECT_NO_THROW(signal.then(throws, [] { ADD_FAILURE(); }));
  EXPECT_THAT(lines.take_texts(), ElementsAre(AllOf(HasSubstr("lunch"), HasSubstr("no window")), HasSubstr("no window")));
}

TEST(SignalThenOnTest, AnExecutorMayDropItUncalled) {
  UserLoop loop;
  const Signal signal;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const ThenId id = signal.then(loop, [held = std::move(held)] { ADD_FAILURE() << *held; });
  signal.go();
  EXPECT_FALSE(watched.expired());
  loop.drop_all();
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
}

// --- remove_then() -------------------------------------------------------------------------------------------------------

TEST(SignalThenOnTest, TakenBackBeforeGoItIsDestroyedAndNeverPosted) {
  UserLoop loop;
  const Signal signal;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const ThenId id = signal.then(loop, [held = std::move(held)] { ADD_FAILURE() << *held; });
  EXPECT_TRUE(signal.remove_then(id));
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(signal.remove_then(id));
  signal.go();
  EXPECT_EQ(loop.run_all(), 0);
}

TEST(SignalThenOnTest, TakenBackAfterGoItDoesNotRun) {
  UserLoop loop;
  const Signal signal;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const ThenId early = signal.then(loop, [held = std::move(held)] { ADD_FAILURE() << *held; });
  signal.go();
  const ThenId late = signal.then(loop, [] { ADD_FAILURE(); });
  EXPECT_TRUE(signal.remove_then(early));
  EXPECT_TRUE(watched.expired());
  EXPECT_TRUE(signal.remove_then(late));
  EXPECT_FALSE(signal.remove_then(late));
  loop.run_all();
}

TEST(SignalThenOnTest, RemovingItInsideReturnsAtOnceAndAfterItIsFalse) {
  UserLoop loop;
  const Signal signal;
  std::optional<bool> inside;
  ThenId id;
  id = signal.then(loop, [&] { inside = signal.remove_then(id); });
  signal.go();
  loop.run_all();
  EXPECT_EQ(inside, false);
  EXPECT_FALSE(signal.remove_then(id));
  EXPECT_FALSE(Signal().remove_then(id));
}

TEST(SignalThenOnTest, RemovingItWhileItRunsWaitsForIt) {
  UserLoop loop;
  const Signal signal("lunch");
  const Signal go_on;
  const Signal runs;
  bool ended = false;
  const ThenId id = signal.then(loop, [&] {
    runs.go();
    go_on.wait();
    ended = true;
  });
  signal.go();
  auto runner = Thread::run("runner", [&](Signal) { loop.run_all(); });
  runs.wait();
  auto remover = Thread::run("remover", [&](Signal) {
    EXPECT_FALSE(signal.remove_then(id));
    EXPECT_TRUE(ended);
  });
  await_sleeping(remover.thread(), "lunch");
  go_on.go();
  remover.join();
  runner.join();
}

TEST(SignalThenOnTest, NothingIsLeftOfManyThatWereTakenBack) {
  UserLoop loop;
  const Executor executor = loop.executor();
  const Signal signal;
  const ThenId first = signal.then(executor, [] {});
  const auto before = live_allocations();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(signal.remove_then(signal.then(executor, [big = std::vector<int>(10)] {})));
  EXPECT_EQ(live_allocations(), before);
  EXPECT_TRUE(signal.remove_then(first));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(signal.remove_then(signal.then(executor, [big = std::vector<int>(10)] {})));
  EXPECT_LE(live_allocations(), before);
}

// --- memory --------------------------------------------------------------------------------------------------------------

// A target that has room for a few.
class FixedTarget final : public internal::ExecutorTarget {
 public:
  explicit FixedTarget(std::vector<absl::AnyInvocable<void()>>& room) : room_(room) { room_.reserve(10); }
  Posted post(absl::AnyInvocable<void()>& function) const override {
    room_.push_back(std::move(function));
    return Why::ready;
  }
  std::string name() const override { return "fixed"; }

 private:
  std::vector<absl::AnyInvocable<void()>>& room_;
};

TEST(SignalThenOnTest, GoAllocatesNothing) {
  std::vector<absl::AnyInvocable<void()>> room;
  const Executor executor(new FixedTarget(room), internal::kAccess);
  const Signal signal;
  int runs = 0;
  std::vector<ThenId> ids;  // of some: without one the function is posted as it is
  for (int i = 0; i < 6; ++i) {
    const ThenId id = signal.then(executor, [&runs, big = std::vector<int>(100)] { ++runs; });
    if (i % 2 == 0) ids.push_back(id);
  }
  const auto before = allocations_here();
  signal.go();
  EXPECT_EQ(allocations_here(), before);
  for (auto& function : room) function();
  EXPECT_EQ(allocations_here(), before);
  EXPECT_EQ(runs, 6);
}

TEST(SignalThenOnTest, TheFunctionIsDestroyedWithASignalThatCanNoLongerGo) {
  const auto before = live_allocations();
  {
    UserLoop loop;
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = held;
    ThenId id;
    {
      const Signal signal;
      signal.then([] {});
      id = signal.then(loop, [held = std::move(held)] { ADD_FAILURE() << *held; });
      EXPECT_FALSE(watched.expired());
    }
    EXPECT_TRUE(watched.expired());
    EXPECT_FALSE(Signal().remove_then(id));
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalThenOnTest, WhatWasPostedNeedsNoHandleToTheSignal) {
  UserLoop loop;
  bool ran = false;
  ThenId id;
  {
    const Signal signal("short-lived");
    id = signal.then(loop, [&] { ran = true; });
    signal.go();
  }
  loop.run_all();
  EXPECT_TRUE(ran);
}

// --- all kinds of Signals ------------------------------------------------------------------------------------------------

TEST(SignalThenOnTest, WorksOnCombinationsThatNobodyHolds) {
  UserLoop loop;
  const Signal a("a"), b("b"), c("c");
  Order order;
  (a | b).then(loop, [&] { order.push_back("a | b"); });
  (a & c).then(loop, [&] { order.push_back("a & c"); });
  b.go();
  loop.run_all();
  EXPECT_THAT(order, ElementsAre("a | b"));
  a.go();
  c.go();
  loop.run_all();
  EXPECT_THAT(order, ElementsAre("a | b", "a & c"));
}

TEST(SignalThenOnTest, ACombinationThatIsTakenBackIsKeptNoMore) {
  UserLoop loop;
  const Executor executor = loop.executor();
  const Signal a, b;
  const auto before = live_allocations();
  {
    const Signal either = a | b;
    const ThenId id = either.then(executor, [] { ADD_FAILURE(); });
    EXPECT_TRUE(either.remove_then(id));
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalThenOnTest, WorksOnATill) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  UserLoop loop;
  int runs = 0;
  Till(absl::Seconds(1)).then(loop, [&] { ++runs; });
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(loop.run_all(), 1);
  EXPECT_EQ(runs, 1);
}

// So a thread that ends runs no code of whoever wants to hear of it, not even a destructor.
TEST(SignalThenOnTest, AThreadThatEndsRunsNothingOfAFunctionOnAnExecutor) {
  struct Places {
    std::vector<std::thread::id> seen;
  };
  struct Watch {
    explicit Watch(Places& its_places) : places(&its_places) {}
    Watch(Watch&& other) noexcept : places(std::exchange(other.places, nullptr)) {}
    ~Watch() {
      if (places != nullptr) places->seen.push_back(std::this_thread::get_id());
    }
    Places* places;
  };
  std::vector<absl::AnyInvocable<void()>> room;
  Places places;
  const Signal may_end;
  auto thread = Thread::run("ends", [&](Signal) { may_end.wait(); });
  const Signal stopped = thread.stopped();
  const Executor executor(new FixedTarget(room), internal::kAccess);
  const auto function = [&places] { return [watch = Watch(places)] { watch.places->seen.push_back(std::this_thread::get_id()); }; };
  stopped.then(executor, function());
  const ThenId id = stopped.then(executor, function());
  places.seen.clear();
  may_end.go();
  thread.join();
  ASSERT_EQ(room.size(), 2U);
  EXPECT_THAT(places.seen, IsEmpty());
  for (auto& posted : room) std::exchange(posted, nullptr)();
  EXPECT_THAT(places.seen, ::testing::AllOf(::testing::SizeIs(4), ::testing::Each(std::this_thread::get_id())));
}

}  // namespace
}  // namespace mothreads
