#include "mothreads/thread.h"

#include <pthread.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"
#include "tests/support/virtual_time.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::advance_once_awaited;
using testing::Refused;
using testing::until_stopped;
using testing::what_of;

using ThreadTest = testing::NothingLeft;

// --- join -----------------------------------------------------------------------------------------------------------------

TEST_F(ThreadTest, JoinGivesTheResult) {
  auto thread = Thread::run("adder", [](int a, int b, Signal) { return a + b; }, 2, 3);
  static_assert(std::is_same_v<decltype(thread.join()), int>);
  EXPECT_EQ(thread.join(), 5);
  EXPECT_FALSE(thread.owns());
}

TEST_F(ThreadTest, JoinOfVoidWaits) {
  bool ran = false;
  auto thread = Thread::run("writer", [&](Signal) { ran = true; });
  static_assert(std::is_void_v<decltype(thread.join())>);
  thread.join();
  EXPECT_TRUE(ran);
}

TEST_F(ThreadTest, JoinMovesOutAMoveOnlyResult) {
  auto thread = Thread::run("maker", [](Signal) { return std::make_unique<std::string>("made"); });
  const std::unique_ptr<std::string> result = thread.join();
  EXPECT_EQ(*result, "made");
}

TEST_F(ThreadTest, JoinGivesAResultThatCannotBeDefaultConstructed) {
  struct Point {
    explicit Point(int x_, int y_) : x(x_), y(y_) {}
    int x, y;
  };
  auto thread = Thread::run("maker", [](Signal) { return Point(1, 2); });
  const Point point = thread.join();
  EXPECT_EQ(point.x, 1);
  EXPECT_EQ(point.y, 2);
}

TEST_F(ThreadTest, JoinThrowsTheOriginalException) {
  auto thread = Thread::run("caller", [](Signal) -> int { throw Refused("connection refused", 5064); });
  try {
    thread.join();
    FAIL() << "join() did not throw";
  } catch (const Refused& refused) {
    EXPECT_STREQ(refused.what(), "connection refused");
    EXPECT_EQ(refused.port, 5064);
  }
  EXPECT_FALSE(thread.owns());
}

// Defect T5: what is no std::exception left no result, and crashed who joined.
TEST_F(ThreadTest, JoinThrowsAlsoWhatIsNoStdException) {
  auto number = Thread::run("throws a number", [](Signal) { throw 42; });
  auto text = Thread::run("throws a text", [](Signal) { throw "out of paper"; });
  try {
    number.join();
    FAIL() << "join() did not throw";
  } catch (int thrown) {
    EXPECT_EQ(thrown, 42);
  }
  try {
    text.join();
    FAIL() << "join() did not throw";
  } catch (const char* thrown) {
    EXPECT_STREQ(thrown, "out of paper");
  }
}

// Defect T5, too: a thread that is left by pthread_exit() has no result, and who joins learns it.
TEST_F(ThreadTest, JoinOfAThreadThatLeftByPthreadExitThrows) {
  bool child_stopped = false;
  auto thread = Thread::run("leaver", [&](Signal) -> int {
    Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      child_stopped = true;
    }).release();
    pthread_exit(nullptr);
  });
  try {
    thread.join();
    FAIL() << "join() did not throw";
  } catch (const std::runtime_error& left) {
    EXPECT_THAT(left.what(), HasSubstr("\"leaver\""));
    EXPECT_THAT(left.what(), HasSubstr("pthread_exit"));
  }
  EXPECT_TRUE(child_stopped);
}

TEST_F(ThreadTest, JoinTwiceIsMisuse) {
  auto thread = Thread::run("once", [](Signal) { return 1; });
  EXPECT_EQ(thread.join(), 1);
  EXPECT_THAT(what_of<Misuse>([&] { thread.join(); }), HasSubstr("owns no thread"));
}

TEST_F(ThreadTest, AFailureIsThrownOnce) {
  auto thread = Thread::run("fails", [](Signal) { throw Refused("no", 1); });
  EXPECT_THROW(thread.join(), Refused);
  EXPECT_THROW(thread.join(), Misuse);
}

TEST_F(ThreadTest, JoinWaitsForTheChildren) {
  Signal let_child_end;
  bool child_ended = false;
  auto parent = Thread::run("parent", [&](Signal) {
    Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      let_child_end.wait();
      child_ended = true;
    }).release();
  });
  EXPECT_EQ(what_of<ThreadTimeout>([&] { parent.join(absl::ZeroDuration()); }),
            "Thread parent timeout: the join timed out before the thread had stopped");
  EXPECT_FALSE(parent.stopped());
  let_child_end.go();
  parent.join();
  EXPECT_TRUE(child_ended);
}

// Defect T4: a child's failure ended the join before the thread itself had ended.
TEST_F(ThreadTest, JoinWaitsForTheThreadAlsoWhenAChildFails) {
  Signal let_parent_end;
  auto parent = Thread::run("parent", [&](Signal) {
    auto child = Thread::run("child", [](Signal) { throw Refused("child", 1); });
    child.stopped().wait();
    let_parent_end.wait();
    EXPECT_THROW(child.join(), Refused);
    return 7;
  });
  EXPECT_THROW(parent.join(absl::ZeroDuration()), ThreadTimeout);
  let_parent_end.go();
  EXPECT_EQ(parent.join(), 7);
}

TEST_F(ThreadTest, JoinTimesOutAndTheHandleStillOwns) {
  testing::VirtualClock clock;
  UseClock use(clock);
  Signal let_end;
  auto sleeper = Thread::run("sleeper", [&](Signal) {
    let_end.wait();
    return 3;
  });
  auto advancer = advance_once_awaited(clock, absl::Hours(1));
  EXPECT_EQ(what_of<ThreadTimeout>([&] { sleeper.join(absl::Hours(1)); }),
            "Thread sleeper timeout: the join timed out before the thread had stopped");
  EXPECT_TRUE(sleeper.owns());
  EXPECT_TRUE(sleeper.is_alive());
  let_end.go();
  EXPECT_EQ(sleeper.join(), 3);
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(ThreadTest, JoinEndsByASignal) {
  auto thread = Thread::run("waiter", until_stopped);
  Signal enough;
  auto impatient = Thread::run("impatient", [&](Signal) { enough.go(); });
  EXPECT_EQ(what_of<Stopped>([&] { thread.join(enough); }),
            "Thread waiter timeout: the join was stopped before the thread had stopped");
  EXPECT_TRUE(thread.owns());
  thread.stop().join();
}

TEST_F(ThreadTest, JoinOfAStoppedThreadNeedsNoTime) {
  auto thread = Thread::run("quick", [](Signal) { return 1; });
  thread.stopped().wait();
  EXPECT_EQ(thread.join(absl::ZeroDuration()), 1);
}

// Joining yourself waited for ever.
TEST_F(ThreadTest, JoinOfItselfIsMisuse) {
  ThreadHandle<void> handle;
  Signal handle_is_set;
  std::string misuse;
  handle = Thread::run("narcissus", [&](Signal) {
    handle_is_set.wait();
    misuse = what_of<Misuse>([&] { handle.join(); });
  });
  handle_is_set.go();
  handle.stopped().wait();
  EXPECT_THAT(misuse, HasSubstr("thread \"narcissus\" waits for itself"));
  EXPECT_TRUE(handle.owns());
  handle.join();
}

TEST_F(ThreadTest, JoinOfAnAncestorIsMisuse) {
  ThreadHandle<void> handle;
  Signal handle_is_set;
  std::string misuse;
  handle = Thread::run("grandparent", [&](Signal) {
    Thread::run("parent", [&](Signal) {
      Thread::run("child", [&](Signal) {
        handle_is_set.wait();
        misuse = what_of<Misuse>([&] { handle.join(absl::Hours(1)); });
      }).join();
    }).join();
  });
  handle_is_set.go();
  handle.stopped().wait();
  EXPECT_THAT(misuse, HasSubstr("thread \"child\" waits for \"grandparent\", which it runs under"));
  handle.join();
}

TEST_F(ThreadTest, AnyThreadMayJoin) {
  auto first = Thread::run("first", [](Signal) { return 11; });
  auto second = Thread::run("second", [](ThreadHandle<int> handle, Signal) { return handle.join() + 1; }, std::move(first));
  EXPECT_EQ(second.join(), 12);
}

TEST_F(ThreadTest, WhatTheThreadDidIsSeenAfterStopped) {
  // ThreadSanitizer proves it.
  int plain = 0;
  auto thread = Thread::run("writer", [&](Signal) { plain = 1; });
  thread.stopped().wait();
  EXPECT_EQ(plain, 1);
  plain = 2;
  thread.join();
}

TEST_F(ThreadTest, ArgumentsAreDestroyedByTheThreadBeforeItHasStopped) {
  struct Observer {
    std::uint64_t* destroyed_by;
    bool* stopped_then;
    Observer(std::uint64_t* by, bool* then) : destroyed_by(by), stopped_then(then) {}
    Observer(Observer&& other) noexcept
        : destroyed_by(std::exchange(other.destroyed_by, nullptr)), stopped_then(other.stopped_then) {}
    ~Observer() {
      if (destroyed_by == nullptr) return;
      *destroyed_by = Thread::current().id();
      *stopped_then = !Thread::current().is_alive();
    }
  };
  std::uint64_t destroyed_by = 0;
  bool stopped_then = true;
  auto thread = Thread::run("owner", [](const Observer&, Signal) {}, Observer(&destroyed_by, &stopped_then));
  const std::uint64_t id = thread.thread().id();
  thread.join();
  EXPECT_EQ(destroyed_by, id);
  EXPECT_FALSE(stopped_then);
}

// --- join_all -------------------------------------------------------------------------------------------------------------

// Theirs: test_join_all_threads.
TEST_F(ThreadTest, JoinAllGivesTheResultsInTheOrderOfTheHandles) {
  std::vector<Signal> turn(101);
  for (Signal& signal : turn) signal = Signal();
  std::vector<ThreadHandle<int>> threads;
  for (int i = 0; i < 100; ++i) {
    const auto at = static_cast<std::size_t>(i);
    // They end in the opposite order.
    threads.push_back(Thread::run("counter", [&turn, at, i](Signal) {
      turn[at + 1].wait();
      turn[at].go();
      return i;
    }));
  }
  turn[100].go();
  const std::vector<int> results = join_all(threads);
  ASSERT_THAT(results, SizeIs(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i);
  for (const auto& thread : threads) EXPECT_FALSE(thread.owns());
}

TEST_F(ThreadTest, JoinAllTakesMoveOnlyResults) {
  std::vector<ThreadHandle<std::unique_ptr<int>>> threads;
  for (int i = 0; i < 3; ++i) threads.push_back(Thread::run("maker", [i](Signal) { return std::make_unique<int>(i); }));
  const auto results = join_all(threads);
  ASSERT_THAT(results, SizeIs(3));
  EXPECT_EQ(*results[2], 2);
}

TEST_F(ThreadTest, JoinAllOfNothing) {
  std::vector<ThreadHandle<int>> none;
  EXPECT_THAT(join_all(none), IsEmpty());
}

TEST_F(ThreadTest, JoinAllJoinsEveryOneAlsoWhenSomeFail) {
  Signal end;
  std::vector<ThreadHandle<int>> threads;
  threads.push_back(Thread::run("bad", [](Signal) -> int { throw Refused("first refused", 1); }));
  threads.push_back(Thread::run("good", [&](Signal) {
    end.wait();
    return 1;
  }));
  threads.push_back(Thread::run("worse", [](Signal) -> int { throw 3; }));
  const Signal good_stopped = threads[1].stopped();
  Signal::any_of(std::vector{threads[0].stopped()}).wait();
  end.go();
  try {
    join_all(threads);
    FAIL() << "join_all() did not throw";
  } catch (const ThreadsFailed& failed) {
    EXPECT_STREQ(failed.what(), "2 threads failed: \"bad\": first refused; \"worse\": an exception of type int");
    ASSERT_THAT(failed.ends(), SizeIs(2));
    EXPECT_EQ(failed.ends()[0].name, "bad");
    EXPECT_THROW(std::rethrow_exception(failed.ends()[0].exception), Refused);
    EXPECT_EQ(failed.ends()[1].name, "worse");
    EXPECT_THROW(std::rethrow_exception(failed.ends()[1].exception), int);
    EXPECT_THAT(failed.late(), SizeIs(0));
  }
  EXPECT_TRUE(good_stopped);
  for (const auto& thread : threads) EXPECT_FALSE(thread.owns());
}

// Defect T14: each thread got the whole limit, one after the other.
TEST_F(ThreadTest, JoinAllHasOneLimitForAll) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 3; ++i) threads.push_back(Thread::run("sleeper", until_stopped));
  const Instant start = clock.now();
  auto advancer = advance_once_awaited(clock, absl::Minutes(1));
  try {
    join_all(threads, absl::Minutes(1));  // would wait for ever for a second minute
    FAIL() << "join_all() did not throw";
  } catch (const ThreadsFailed& failed) {
    EXPECT_THAT(failed.late(), SizeIs(3));
    EXPECT_THAT(failed.ends(), SizeIs(0));
  }
  advancer.join();
  EXPECT_EQ(clock.now() - start, std::chrono::minutes(1));
  for (auto& thread : threads) {
    EXPECT_TRUE(thread.is_alive());
    thread.stop();
  }
  join_all(threads);
}

TEST_F(ThreadTest, JoinAllWithAnEmptyHandleChangesNothing) {
  std::vector<ThreadHandle<int>> threads;
  threads.push_back(Thread::run("one", [](Signal) { return 1; }));
  threads.emplace_back();
  EXPECT_THROW(join_all(threads), Misuse);
  EXPECT_TRUE(threads[0].owns());
  EXPECT_EQ(threads[0].join(), 1);
}

}  // namespace
}  // namespace mothreads
