// Signals that say what has become of something: only the library lets them go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal_of(const Signal& signal) {
  try {
    signal.go();
  } catch (const Misuse& misuse) {
    return misuse.what();
  }
  return "none";
}

TEST(SignalOwnedTest, TheEndOfAThreadCannotBeForged) {
  const Signal may_end;
  auto thread = Thread::run("reader", [&](const Signal&) { may_end.wait(); });
  EXPECT_THAT(refusal_of(thread.stopped()), AllOf(HasSubstr("stopped of reader"), HasSubstr("stop()")));
  EXPECT_THAT(refusal_of(thread.thread().stopped()), HasSubstr("stopped of reader"));
  EXPECT_FALSE(thread.stopped());
  may_end.go();
  const Signal stopped = thread.stopped();
  thread.join();
  EXPECT_TRUE(stopped);
  EXPECT_NE(refusal_of(stopped), "none");
}

TEST(SignalOwnedTest, TheEndOfAQueueCannotBeForged) {
  Queue<int> queue("jobs");
  EXPECT_THAT(refusal_of(queue.closed()), AllOf(HasSubstr("queue jobs closed"), HasSubstr("close()")));
  EXPECT_FALSE(queue.closed());
  queue.add(1);
  queue.close();
  EXPECT_TRUE(queue.closed());
}

TEST(SignalOwnedTest, WhatIsMadeOfItIsTheUsers) {
  const Signal may_end;
  auto thread = Thread::run("reader", [&](const Signal&) { may_end.wait(); });
  const Signal either = thread.stopped() | Signal();
  EXPECT_TRUE(either.go());
  EXPECT_FALSE(thread.stopped());
  may_end.go();
}

// Theirs: a please_stop is raised by whoever wants the end, the thread itself as well, and may be shared.
TEST(SignalOwnedTest, APleaseStopIsARequestThatAnybodyMayMake) {
  auto worker = Thread::run("worker", [](const Signal& please_stop) { return please_stop.go(); });
  EXPECT_TRUE(worker.join());
  auto sleeper = Thread::run("sleeper", [](const Signal& please_stop) { please_stop.wait(); });
  EXPECT_TRUE(sleeper.please_stop().go());
  sleeper.join();
}

// --- what then() takes ---------------------------------------------------------------------------------------------------

TEST(SignalThenTest, TakesFunctionsThatCanOnlyBeMovedInEveryForm) {
  int got = 0;
  const auto function = [&got] { return [value = std::make_unique<int>(1), &got] { got += *value; }; };
  const auto fails = [] { return [value = std::make_unique<int>(1)] { throw std::runtime_error("failed"); }; };
  const auto on_error = [&got] { return [value = std::make_unique<int>(10), &got](const std::exception_ptr&) { got += *value; }; };
  const Signal signal;
  signal.then(function());
  signal.then(function(), on_error());
  signal.then(fails(), on_error());
  auto named = function();
  signal.then(std::move(named));
  auto named_error = on_error();
  signal.then(fails(), std::move(named_error));
  signal.go();
  EXPECT_EQ(got, 23);
  signal.then(function());
  signal.then(fails(), on_error());
  EXPECT_EQ(got, 34);
}

}  // namespace
}  // namespace mothreads
