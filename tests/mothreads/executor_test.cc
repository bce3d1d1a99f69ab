#include "mothreads/executor.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "mothreads/misuse.h"
#include "mothreads/posted.h"
#include "tests/support/allocations.h"
#include "tests/support/user_loop.h"

namespace mothreads::inline v0 {
namespace {

using Function = absl::AnyInvocable<void()>;
using testing::UserLoop;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ExecutorTest, RunsInOrderWhatWasPostedWhenItsLoopDoes) {
  UserLoop loop;
  const Executor executor = loop.executor();
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(executor.post([&order, i] { order.push_back(i); }));
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(loop.run_all(), 3);
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST(ExecutorTest, TakesAFunctionThatCanOnlyBeMoved) {
  UserLoop loop;
  int got = 0;
  loop.executor().post([value = std::make_unique<int>(7), &got] { got = *value; });
  loop.run_all();
  EXPECT_EQ(got, 7);
}

TEST(ExecutorTest, WhatItRefusesIsStillTheCallers) {
  UserLoop loop;
  const Executor executor = loop.executor();
  loop.close();
  int runs = 0;
  Function function = [&runs, held = std::make_unique<int>(1)] { runs += *held; };
  const Posted posted = executor.post(std::move(function));
  EXPECT_EQ(posted.why(), Why::closed);
  ASSERT_TRUE(function);
  function();
  EXPECT_EQ(runs, 1);
}

TEST(ExecutorTest, ALoopSaysByABoolAPostedOrNothingWhetherItHasTakenIt) {
  const auto keep = std::make_shared<std::vector<Function>>();
  const auto add = [keep](Function function) { keep->push_back(std::move(function)); };
  EXPECT_EQ(Executor::of(add).post([] {}).why(), Why::ready);
  EXPECT_EQ(Executor::of([add](Function f) { return add(std::move(f)), true; }).post([] {}).why(), Why::ready);
  EXPECT_EQ(Executor::of([](Function) { return false; }).post([] {}).why(), Why::closed);
  EXPECT_EQ(Executor::of([](Function) { return Posted(Why::full); }).post([] {}).why(), Why::full);
  EXPECT_EQ(Executor::of([](Function&&) { return Posted(Why::full); }).post([] {}).why(), Why::full);
  EXPECT_EQ(keep->size(), 2U);
}

TEST(ExecutorTest, WhatTheLoopThrowsLeavesPostAndTheFunctionStays) {
  const Executor executor = Executor::of([](Function) { throw std::runtime_error("no window"); });
  Function function = [] {};
  EXPECT_THROW(executor.post(std::move(function)), std::runtime_error);
  EXPECT_TRUE(function);
}

TEST(ExecutorTest, ALoopMayRunItAtOnce) {
  int runs = 0;
  EXPECT_TRUE(Executor::of([](Function f) { f(); }).post([&] { ++runs; }));
  EXPECT_EQ(runs, 1);
}

// So nothing of the function's runs on the thread that has posted it.
TEST(ExecutorTest, TheFunctionIsDestroyedWhereItWasRun) {
  struct Watch {
    ~Watch() {
      if (where != nullptr) *where = std::this_thread::get_id();
    }
    Watch(std::thread::id& id) : where(&id) {}
    Watch(Watch&& other) noexcept : where(std::exchange(other.where, nullptr)) {}
    std::thread::id* where;
  };
  std::thread::id destroyed_in;
  std::thread::id loops_thread;
  // Its thread runs it before post() returns.
  const Executor executor = Executor::of([&](Function function) {
    std::thread loop([&] { function(); });
    loops_thread = loop.get_id();
    loop.join();
  });
  executor.post([watch = Watch(destroyed_in)] { static_cast<void>(watch); });
  EXPECT_EQ(destroyed_in, loops_thread);
}

TEST(ExecutorTest, CopiesShareATargetAndOneThatWasMovedAwayIsClosed) {
  UserLoop loop;
  Executor first = loop.executor("window");
  const Executor second = first;
  const Executor third = std::move(first);
  EXPECT_TRUE(second.post([] {}));
  EXPECT_TRUE(third.post([] {}));
  EXPECT_EQ(third.name(), "window");
  EXPECT_EQ(first.post([] {}).why(), Why::closed);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.name(), "an Executor that was moved away");
  first = third;
  EXPECT_TRUE(first.post([] {}));
  EXPECT_EQ(loop.run_all(), 3);
}

TEST(ExecutorTest, NothingIsLeftOfOneThatIsGone) {
  const auto before = testing::live_allocations();
  {
    UserLoop loop;
    const Executor executor = loop.executor();
    const Executor copy = executor;
    copy.post([big = std::vector<int>(100)] { static_cast<void>(big); });
    executor.post([big = std::vector<int>(100)] { static_cast<void>(big); });
    loop.run_one();
  }
  EXPECT_EQ(testing::live_allocations(), before);
}

TEST(ExecutorTest, AnEmptyFunctionIsMisuse) {
  UserLoop loop;
  EXPECT_THROW(loop.executor().post(Function()), Misuse);
  EXPECT_THROW(loop.executor().post(static_cast<void (*)()>(nullptr)), Misuse);
  try {
    static_cast<void>(Executor::of("window", std::function<void(Function)>()));
    ADD_FAILURE() << "there is nothing to post with";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("window"));
  }
  EXPECT_THROW(static_cast<void>(Executor::of(static_cast<void (*)(Function)>(nullptr))), Misuse);
}

TEST(ExecutorTest, ManyThreadsMayPostAtATime) {
  UserLoop loop;
  const Executor executor = loop.executor();
  int runs = 0;
  {
    std::vector<std::jthread> posters;
    for (int i = 0; i < 4; ++i) {
      posters.emplace_back([executor, &runs] {
        for (int posted = 0; posted < 1000; ++posted) executor.post([&runs] { ++runs; });
      });
    }
  }
  EXPECT_EQ(loop.run_all(), 4000);
  EXPECT_EQ(runs, 4000);
}

}  // namespace
}  // namespace mothreads
