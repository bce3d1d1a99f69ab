#include "mothreads/thread.h"

#include <pthread.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/till.h"
#include "tests/support/log_lines.h"
#include "tests/support/nothing_left.h"

namespace mothreads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::LogLines;

using Names = std::vector<std::string>;

void until_stopped(Signal please_stop) { please_stop.wait(); }

Names names_of(const std::vector<Thread>& threads) {
  Names names;
  for (const Thread& thread : threads) names.push_back(thread.name());
  return names;
}

// What `action` throws as Misuse says; empty when it throws none.
template <typename F>
std::string misuse_of(F&& action) {
  try {
    action();
  } catch (const Misuse& misuse) {
    return misuse.what();
  }
  return "";
}

template <typename F>
std::string timeout_of(F&& action) {
  try {
    action();
  } catch (const ThreadTimeout& timeout) {
    return timeout.what();
  }
  return "";
}

class ThreadTest : public testing::NothingLeft {};

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

class Refused : public std::runtime_error {
 public:
  Refused(const std::string& text, int port_) : std::runtime_error(text), port(port_) {}
  int port;
};

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
  EXPECT_THAT(misuse_of([&] { thread.join(); }), HasSubstr("owns no thread"));
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
  EXPECT_EQ(timeout_of([&] { parent.join(absl::ZeroDuration()); }),
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
  auto advancer = Thread::run("advancer", [&](Signal) {
    clock.await_timers(1);
    clock.advance(absl::Hours(1));
  });
  EXPECT_EQ(timeout_of([&] { sleeper.join(absl::Hours(1)); }),
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
  EXPECT_EQ(timeout_of([&] { thread.join(enough); }),
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
    misuse = misuse_of([&] { handle.join(); });
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
        misuse = misuse_of([&] { handle.join(absl::Hours(1)); });
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

// --- handles --------------------------------------------------------------------------------------------------------------

// Defect T7: a thread that was made but never started made the shutdown hang. There is no such thread here.
TEST_F(ThreadTest, AThreadThatExistsHasBeenStarted) {
  static_assert(!std::is_default_constructible_v<Thread>);
  static_assert(!std::is_copy_constructible_v<ThreadHandle<int>>);
  const ThreadHandle<int> nothing;
  EXPECT_FALSE(nothing.owns());
  EXPECT_FALSE(nothing.is_alive());
}

TEST_F(ThreadTest, AnEmptyHandleSaysSo) {
  ThreadHandle<int> nothing;
  EXPECT_THROW(nothing.join(), Misuse);
  EXPECT_THROW(nothing.stop(), Misuse);
  EXPECT_THROW(nothing.release(), Misuse);
  EXPECT_THROW(static_cast<void>(nothing.stopped()), Misuse);
  EXPECT_THROW(static_cast<void>(nothing.please_stop()), Misuse);
  EXPECT_THROW(static_cast<void>(nothing.name()), Misuse);
}

TEST_F(ThreadTest, TheDestructorStopsAndWaits) {
  bool was_told = false;
  {
    const auto thread = Thread::run("worker", [&](Signal please_stop) {
      please_stop.wait();
      was_told = true;
    });
  }
  EXPECT_TRUE(was_told);
}

// Defect T6: an exception in the scope that owned a thread did not tell it to stop.
TEST_F(ThreadTest, AnExceptionThatLeavesTheScopeStopsAndWaits) {
  bool was_told = false;
  EXPECT_THROW(
      {
        const auto thread = Thread::run("worker", [&](Signal please_stop) {
          please_stop.wait();
          was_told = true;
        });
        throw Refused("scope", 1);
      },
      Refused);
  EXPECT_TRUE(was_told);
}

TEST_F(ThreadTest, TheDestructorLogsAndCountsAFailure) {
  LogLines log;
  {
    const auto thread = Thread::run("fails", [](Signal) { throw Refused("connection refused", 1); });
  }
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  const auto lines = log.with("connection refused");
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].level, log::Level::error);
  EXPECT_THAT(lines[0].text, HasSubstr("\"fails\""));
}

TEST_F(ThreadTest, AJoinedFailureIsNeitherLoggedNorCounted) {
  LogLines log;
  EXPECT_THROW(Thread::run("fails", [](Signal) { throw Refused("connection refused", 1); }).join(), Refused);
  EXPECT_THAT(log.take(), IsEmpty());
  EXPECT_EQ(unclaimed_failures(), 0);
}

TEST_F(ThreadTest, MoveAssignmentStopsWhatItHeld) {
  auto thread = Thread::run("first", until_stopped);
  const Signal first_stopped = thread.stopped();
  thread = Thread::run("second", until_stopped);
  EXPECT_TRUE(first_stopped);
  EXPECT_EQ(thread.name(), "second");
  EXPECT_TRUE(thread.is_alive());
  ThreadHandle<void> moved = std::move(thread);
  EXPECT_FALSE(thread.owns());  // NOLINT: a moved-from handle owns nothing
  EXPECT_TRUE(moved.is_alive());
  moved.stop().join();
}

TEST_F(ThreadTest, MoveAssignmentToItselfChangesNothing) {
  auto thread = Thread::run("same", until_stopped);
  auto& same = thread;
  thread = std::move(same);
  EXPECT_TRUE(thread.is_alive());
  EXPECT_FALSE(thread.please_stop());
}

using ThreadDeathTest = ThreadTest;

TEST_F(ThreadDeathTest, AHandleDestroyedByItsOwnThreadIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto handle = std::make_unique<ThreadHandle<void>>();
        Signal handle_is_set;
        *handle = Thread::run("narcissus", [&](Signal) {
          handle_is_set.wait();
          handle.reset();
        });
        const Signal stopped = handle->stopped();
        handle_is_set.go();
        stopped.wait();
      },
      "handle of a thread was destroyed.*\"narcissus\" waits for itself");
}

// --- release --------------------------------------------------------------------------------------------------------------

TEST_F(ThreadTest, AReleasedThreadIsStoppedWhenItsParentEnds) {
  Signal told("told");
  Signal let_end;
  auto parent = Thread::run("parent", [&](Signal) {
    auto child = Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      told.go();
      let_end.wait();
    });
    child.release();
    EXPECT_FALSE(child.owns());
    EXPECT_THROW(child.join(), Misuse);
  });
  told.wait();
  EXPECT_FALSE(parent.stopped());
  EXPECT_EQ(names_of(parent.thread().children()), Names{"child"});
  let_end.go();
  parent.join();
}

// Defect T1: released threads never left their parent's list. Defect T3: each kept an OS thread for a minute.
TEST_F(ThreadTest, ReleasedThreadsLeaveNothingBehind) {
  const std::size_t threads = testing::count_threads();
  std::vector<Signal> stopped;
  for (int i = 0; i < 100; ++i) {
    auto thread = Thread::run("released", [](Signal) {});
    stopped.push_back(thread.stopped());
    thread.release();
  }
  Signal::all_of(stopped).wait();
  // A thread leaves the list just after `stopped`, and before its OS thread ends.
  while (!Thread::current().children().empty()) std::this_thread::yield();
  EXPECT_TRUE(testing::await_thread_count(threads));
}

// Defect T1: the failure of a released thread was never logged.
TEST_F(ThreadTest, AReleasedFailureIsLoggedAsItHappens) {
  LogLines log;
  Signal fail;
  auto thread = Thread::run("released", [&](Signal) {
    fail.wait();
    throw Refused("connection refused", 1);
  });
  const Signal stopped = thread.stopped();
  thread.release();
  fail.go();
  stopped.wait();
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"released\", which nobody joined: connection refused"), SizeIs(1));
}

TEST_F(ThreadTest, AFailureBeforeTheReleaseIsLoggedAtTheRelease) {
  LogLines log;
  auto thread = Thread::run("released", [](Signal) { throw Refused("connection refused", 1); });
  thread.stopped().wait();
  EXPECT_EQ(unclaimed_failures(), 0);
  thread.release();
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("connection refused"), SizeIs(1));
  EXPECT_THAT(Thread::current().children(), IsEmpty());
}

// Defect T2: the failure of a child was swallowed when its parent ended.
TEST_F(ThreadTest, AReleasedChildThatFailsWhileItsParentEndsIsLogged) {
  LogLines log;
  auto parent = Thread::run("parent", [](Signal) {
    Thread::run("child", [](Signal please_stop) {
      please_stop.wait();
      throw Refused("could not save", 1);
    }).release();
    return 5;
  });
  EXPECT_EQ(parent.join(), 5);
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("could not save"), SizeIs(1));
}

TEST_F(ThreadTest, TheResultOfAReleasedThreadIsDropped) {
  auto value = std::make_shared<int>(1);
  auto thread = Thread::run("released", [](std::shared_ptr<int> result, Signal) { return result; }, value);
  const Signal stopped = thread.stopped();
  thread.release();
  stopped.wait();
  // The thread's own reference goes last, after it has left the tree and before its OS thread ends.
  while (value.use_count() != 1) std::this_thread::yield();
  EXPECT_EQ(*value, 1);
}

// --- the tree -------------------------------------------------------------------------------------------------------------

TEST_F(ThreadTest, TheParentIsTheMaker) {
  auto parent = Thread::run("parent", [](Signal) {
    auto child = Thread::run("child", [](Signal) { return Thread::current().parent(); });
    const std::optional<Thread> seen_by_child = child.join();
    return seen_by_child && *seen_by_child == Thread::current();
  });
  EXPECT_EQ(parent.thread().parent(), Thread::current());
  EXPECT_TRUE(parent.join());
}

TEST_F(ThreadTest, TheParentMayBeAnother) {
  auto other = Thread::run("other", until_stopped);
  auto child = Thread::run(ThreadOptions{.name = "child", .parent = other.thread()}, until_stopped);
  EXPECT_EQ(child.thread().parent(), other.thread());
  EXPECT_EQ(names_of(other.thread().children()), Names{"child"});
  EXPECT_EQ(names_of(Thread::current().children()), Names{"other"});
  other.stop().join();
  EXPECT_TRUE(child.stopped());
  child.join();
}

TEST_F(ThreadTest, WhoHasLeftTheTreeHasNoParent) {
  auto thread = Thread::run("leaf", [](Signal) {});
  const Thread view = thread.thread();
  thread.join();
  EXPECT_FALSE(view.parent().has_value());
  EXPECT_FALSE(view.is_alive());
  EXPECT_EQ(view.name(), "leaf");
}

TEST_F(ThreadTest, ChildrenAreInTheOrderTheyWereMade) {
  auto a = Thread::run("a", until_stopped);
  auto b = Thread::run("b", until_stopped);
  auto c = Thread::run("c", until_stopped);
  EXPECT_THAT(names_of(Thread::current().children()), ElementsAre("a", "b", "c"));
  b.stop().join();
  EXPECT_THAT(names_of(Thread::current().children()), ElementsAre("a", "c"));
  c.stop().join();
  auto d = Thread::run("d", until_stopped);
  EXPECT_THAT(names_of(Thread::current().children()), ElementsAre("a", "d"));
}

// A thread that starts two threads, which start one each, all of which wait to be stopped. `told` gets their names as they
// are told: then() functions run in the caller of stop(), so that it needs no lock.
class Family {
 public:
  explicit Family(Names& told)
      : top_(Thread::run("top", [this](Signal please_stop) {
          auto left = Thread::run("left", [this](Signal stop) { with_a_child("left.child", stop); });
          left_made_.wait();
          auto right = Thread::run("right", [this](Signal stop) { with_a_child("right.child", stop); });
          right_made_.wait();
          made_.go();
          please_stop.wait();
        })) {
    made_.wait();
    note(told, top_.thread());
  }

  ThreadHandle<void>& top() { return top_; }

 private:
  void with_a_child(const char* name, const Signal& please_stop) {
    const auto child = Thread::run(name, until_stopped);
    (std::string(name) == "left.child" ? left_made_ : right_made_).go();
    please_stop.wait();
  }

  static void note(Names& told, const Thread& thread) {
    thread.please_stop().then([&told, name = thread.name()] { told.push_back(name); });
    for (const Thread& child : thread.children()) note(told, child);
  }

  Signal left_made_, right_made_, made_;
  ThreadHandle<void> top_;
};

TEST_F(ThreadTest, StopTellsLeavesFirstAndTheNewestFirst) {
  Names told;
  Family family(told);
  family.top().stop();
  EXPECT_THAT(told, ElementsAre("right.child", "right", "left.child", "left", "top"));
  family.top().join();
}

TEST_F(ThreadTest, WhoEndsTellsTheNewestChildFirstAndWaits) {
  Names told;
  bool first_ended = false;
  bool second_ended = false;
  Signal end;
  auto parent = Thread::run("parent", [&](Signal) {
    auto first = Thread::run("first", [&](Signal please_stop) {
      please_stop.wait();
      first_ended = true;
    });
    first.please_stop().then([&] { told.push_back("first"); });
    auto second = Thread::run("second", [&](Signal please_stop) {
      please_stop.wait();
      second_ended = true;
    });
    second.please_stop().then([&] { told.push_back("second"); });
    first.release();
    second.release();
    end.wait();
  });
  EXPECT_THAT(told, IsEmpty());
  end.go();
  parent.join();
  EXPECT_THAT(told, ElementsAre("second", "first"));
  EXPECT_TRUE(first_ended);
  EXPECT_TRUE(second_ended);
}

// Defect S9: threads made after the stop had begun ran as if nothing had happened.
TEST_F(ThreadTest, AChildOfAStoppedParentIsToldAtOnce) {
  auto parent = Thread::run("parent", [](Signal please_stop) {
    please_stop.wait();
    auto child = Thread::run("late", [](Signal stop) { return static_cast<bool>(stop); });
    EXPECT_TRUE(child.please_stop());
    return child.join();
  });
  parent.stop();
  EXPECT_TRUE(parent.join());
}

// Defect T9: a child that was added while its parent ended was not stopped by it.
TEST_F(ThreadTest, AChildAddedWhileItsParentEndsIsToldAtOnce) {
  bool late_was_told = false;
  auto parent = Thread::run("parent", [&](Signal) {
    Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      // The parent's function has ended, and the parent waits for this thread.
      auto late = Thread::run(ThreadOptions{.name = "late", .parent = Thread::current().parent()}, until_stopped);
      late_was_told = static_cast<bool>(late.please_stop());
      late.stop().join();
    }).release();
  });
  parent.join();
  EXPECT_TRUE(late_was_told);
}

// Defect T9: a child that was added after its parent had ended was nobody's.
TEST_F(ThreadTest, AChildOfAnEndedParentIsMisuse) {
  auto parent = Thread::run("parent", [](Signal) {});
  const Thread ended = parent.thread();
  parent.join();
  const std::size_t threads = testing::count_threads();
  bool ran = false;
  auto argument = std::make_shared<int>(1);
  EXPECT_THAT(misuse_of([&] {
                static_cast<void>(Thread::run(ThreadOptions{.name = "late", .parent = ended},
                                              [&](const std::shared_ptr<int>&, Signal) { ran = true; }, argument));
              }),
              HasSubstr("\"late\" cannot be started under \"parent\", which has ended"));
  EXPECT_FALSE(ran);
  EXPECT_THAT(ended.children(), IsEmpty());
  EXPECT_EQ(argument.use_count(), 1);
  EXPECT_TRUE(testing::await_thread_count(threads));
}

// Trap T10: one please_stop for several threads stops all of them, on purpose.
TEST_F(ThreadTest, ASharedPleaseStopStopsAllThatHaveIt) {
  const Signal shared("shift ends");
  auto a = Thread::run(ThreadOptions{.name = "a", .please_stop = shared}, until_stopped);
  auto b = Thread::run(ThreadOptions{.name = "b", .please_stop = shared}, until_stopped);
  EXPECT_EQ(a.please_stop(), shared);
  a.stop();
  a.join();
  b.join();
}

// Theirs: test_start_stopped_thread.
TEST_F(ThreadTest, AThreadThatIsToldBeforeItStartsRunsItsBody) {
  auto thread = Thread::run(ThreadOptions{.name = "stopped", .please_stop = DONE}, [](Signal please_stop) {
    return please_stop ? 1 : 2;
  });
  EXPECT_EQ(thread.join(), 1);
}

TEST_F(ThreadTest, EachThreadHasItsOwnPleaseStop) {
  auto a = Thread::run("a", until_stopped);
  auto b = Thread::run("b", until_stopped);
  EXPECT_EQ(a.please_stop().name(), "please_stop for a");
  a.stop().join();
  EXPECT_FALSE(b.please_stop());
  EXPECT_TRUE(b.is_alive());
}

// Theirs: test_timeout, where a stop of a sleeping thread had to return within a second.
TEST_F(ThreadTest, StopDoesNotBlock) {
  Signal let_end;
  auto thread = Thread::run("slow", [&](Signal please_stop) {
    please_stop.wait();
    let_end.wait();
  });
  thread.stop();  // would wait for ever if it waited
  EXPECT_TRUE(thread.please_stop());
  EXPECT_FALSE(thread.stopped());
  let_end.go();
  thread.join();
}

TEST_F(ThreadTest, StopMayBeRepeated) {
  int told = 0;
  auto thread = Thread::run("told", until_stopped);
  thread.please_stop().then([&] { ++told; });
  thread.stop().stop();
  const Thread view = thread.thread();
  view.stop();
  thread.join();
  view.stop();
  EXPECT_EQ(told, 1);
}

TEST_F(ThreadTest, AThreadMayStopItself) {
  auto thread = Thread::run("self", [](Signal please_stop) {
    Thread::current().stop();
    return static_cast<bool>(please_stop);
  });
  EXPECT_TRUE(thread.join());
}

// --- starting -------------------------------------------------------------------------------------------------------------

// Defect T8: a thread that could not be started stayed in its parent's list.
TEST_F(ThreadTest, AThreadThatCannotBeStartedLeavesNothing) {
  const std::size_t threads = testing::count_threads();
  const std::size_t too_small = 1;
  const std::size_t too_large = std::size_t{1} << 60;
  for (const std::size_t stack_size : {too_small, too_large}) {
    auto argument = std::make_shared<int>(1);
    try {
      static_cast<void>(Thread::run(ThreadOptions{.name = "monster", .stack_size = stack_size},
                                    [](const std::shared_ptr<int>&, Signal) {}, argument));
      FAIL() << "a stack of " << stack_size << " bytes was granted";
    } catch (const std::system_error& refused) {
      EXPECT_THAT(refused.what(), HasSubstr("cannot start thread \"monster\""));
      EXPECT_NE(refused.code().value(), 0);
    }
    EXPECT_EQ(argument.use_count(), 1);
  }
  EXPECT_THAT(Thread::current().children(), IsEmpty());
  EXPECT_TRUE(testing::await_thread_count(threads));
}

TEST_F(ThreadTest, TheStackIsAsLargeAsWasAskedFor) {
  const auto stack_size = [](Signal) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    std::size_t size = 0;
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
    return size;
  };
  constexpr std::size_t kAsked = std::size_t{48} << 20;  // more than the default
  EXPECT_GE(Thread::run(ThreadOptions{.name = "deep", .stack_size = kAsked}, stack_size).join(), kAsked);
}

TEST_F(ThreadTest, ANameIsMandatory) {
  EXPECT_THAT(misuse_of([] { static_cast<void>(Thread::run("", until_stopped)); }), HasSubstr("a thread needs a name"));
  EXPECT_THAT(Thread::current().children(), IsEmpty());
}

TEST_F(ThreadTest, ALongNameIsCutForTheKernelOnly) {
  const std::string name = "a name of more than fifteen bytes";
  auto thread = Thread::run(name, [](Signal) {
    char os_name[32] = "";
    pthread_getname_np(pthread_self(), os_name, sizeof os_name);
    return std::pair(Thread::current().name(), std::string(os_name));
  });
  EXPECT_EQ(thread.name(), name);
  const auto [seen, os_name] = thread.join();
  EXPECT_EQ(seen, name);
  EXPECT_EQ(os_name, "a name of more ");
}

int free_function(int number, Signal please_stop) { return please_stop ? -1 : number + 1; }

struct Functor {
  int operator()(int number, Signal) const { return number * 2; }
};

struct Account {
  int balance = 40;
  int add(int amount, Signal) { return balance += amount; }
};

TEST_F(ThreadTest, AnythingThatCanBeCalledRuns) {
  EXPECT_EQ(Thread::run("function", free_function, 1).join(), 2);
  EXPECT_EQ(Thread::run("function pointer", &free_function, 2).join(), 3);
  EXPECT_EQ(Thread::run("functor", Functor{}, 4).join(), 8);
  const auto generic = [](auto text, const auto& please_stop) { return please_stop ? "" : text; };
  EXPECT_EQ(Thread::run("generic lambda", generic, "text").join(), std::string("text"));
  EXPECT_EQ(Thread::run("mutable lambda", [count = 1](Signal) mutable { return ++count; }).join(), 2);
  EXPECT_EQ(Thread::run("bind", std::bind(free_function, 5, std::placeholders::_1)).join(), 6);
  EXPECT_EQ(Thread::run("std::function", std::function<int(int, Signal)>(free_function), 6).join(), 7);
  EXPECT_EQ(Thread::run("by const reference", [](const Signal& please_stop) { return please_stop ? 1 : 0; }).join(), 0);
}

TEST_F(ThreadTest, AMemberFunctionRunsOnAPointerAReferenceOrACopy) {
  Account account;
  EXPECT_EQ(Thread::run("pointer", &Account::add, &account, 1).join(), 41);
  EXPECT_EQ(Thread::run("reference", &Account::add, std::ref(account), 1).join(), 42);
  EXPECT_EQ(account.balance, 42);
  EXPECT_EQ(Thread::run("copy", &Account::add, account, 1).join(), 43);
  EXPECT_EQ(account.balance, 42);
}

TEST_F(ThreadTest, ArgumentsAreMovedOrCopiedIn) {
  const auto value_of = [](std::unique_ptr<int> number, Signal) { return *number; };
  auto moved = Thread::run("move-only", value_of, std::make_unique<int>(3));
  EXPECT_EQ(moved.join(), 3);
  auto capture = Thread::run("move-only capture", [number = std::make_unique<int>(4)](Signal) { return *number; });
  EXPECT_EQ(capture.join(), 4);

  std::string text = "before";
  Signal go;
  auto copied = Thread::run(
      "copy",
      [&go](const std::string& its, Signal) {
        go.wait();
        return its;
      },
      text);
  auto referred = Thread::run("reference", [](std::string& its, Signal) { its += " and after"; }, std::ref(text));
  referred.join();
  go.go();
  EXPECT_EQ(text, "before and after");
  EXPECT_EQ(copied.join(), "before");
}

// Theirs: test_thread_create_speed; how fast it is, is for the benchmark thread.run_join.
TEST_F(ThreadTest, AHundredThreadsAtATime) {
  std::vector<Signal> signals(100);
  for (Signal& signal : signals) signal = Signal();
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 100; ++i) {
    threads.push_back(Thread::run("signaller " + std::to_string(i), [](const Signal& signal, Signal) { signal.go(); },
                                  signals[static_cast<std::size_t>(i)]));
  }
  Signal::all_of(signals).wait();
  join_all(threads);
  for (const Signal& signal : signals) EXPECT_TRUE(signal);
}

// --- who am I -------------------------------------------------------------------------------------------------------------

TEST_F(ThreadTest, CurrentIsTheThreadThatRuns) {
  auto thread = Thread::run("me", [](Signal please_stop) {
    EXPECT_EQ(Thread::current().please_stop(), please_stop);
    return Thread::current();
  });
  const Thread view = thread.thread();
  EXPECT_EQ(thread.join(), view);
  EXPECT_EQ(Thread::current().name(), "main");
  EXPECT_FALSE(Thread::current() == view);
}

// Theirs: test_threading_thread.
TEST_F(ThreadTest, AForeignThreadIsKnownByItsOwnName) {
  LogLines log;
  std::string name;
  std::thread([&] {
    pthread_setname_np(pthread_self(), "camera driver");
    name = Thread::current().name();
    EXPECT_EQ(Thread::current().name(), name);
    EXPECT_FALSE(Thread::current().parent().has_value());
  }).join();
  EXPECT_EQ(name, "camera driver");
  // Said once.
  const auto lines = log.with("is not known");
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].level, log::Level::warning);
  EXPECT_THAT(lines[0].text, HasSubstr("\"camera driver\""));
  EXPECT_THAT(lines[0].text, HasSubstr("RegisterThread"));
}

// Theirs: test_alien_thread.
TEST_F(ThreadTest, AForeignThreadWithoutANameGetsOne) {
  LogLines log;
  std::string name;
  std::thread([&] { name = Thread::current().name(); }).join();
  EXPECT_THAT(name, StartsWith("Unknown Thread "));
}

// Defect T11: a new thread was taken for a dead one, whose number the system had given it.
TEST_F(ThreadTest, IdentitiesAreNotUsedAgain) {
  LogLines log;
  std::set<std::uint64_t> ids;
  Names names;
  for (int i = 0; i < 5; ++i) {
    std::thread([&] {
      pthread_setname_np(pthread_self(), ("foreign " + std::to_string(i)).c_str());
      ids.insert(Thread::current().id());
      names.push_back(Thread::current().name());
    }).join();
    ids.insert(Thread::run("ours", [](Signal) { return Thread::current().id(); }).join());
  }
  EXPECT_EQ(ids.size(), 10u);
  EXPECT_THAT(names, ElementsAre("foreign 0", "foreign 1", "foreign 2", "foreign 3", "foreign 4"));
}

TEST_F(ThreadTest, WhatAForeignThreadStartsBelongsToTheMainThread) {
  LogLines log;
  ThreadHandle<void> child;
  std::thread([&] { child = Thread::run("child", until_stopped); }).join();
  EXPECT_EQ(child.thread().parent(), MainThread::thread());
  EXPECT_TRUE(child.is_alive());
  child.stop().join();
}

// Theirs: test_logging_extras.
TEST_F(ThreadTest, LogExtrasAreInheritedAsACopy) {
  LogLines log;
  {
    const log::Extra extra("request", "7");
    auto child = Thread::run("child", [](Signal) {
      const log::Extra own("part", "a");
      log::info("in the child");
    });
    child.join();
    log::info("in the parent");
    Thread::run("second", [](Signal) { log::info("in the second child"); }).join();
  }
  Thread::run("third", [](Signal) { log::info("in the third child"); }).join();
  // Lines of different threads come in any order.
  const auto line = [&](std::string_view text) {
    const auto lines = log.with(text);
    EXPECT_THAT(lines, SizeIs(1)) << text;
    return lines.empty() ? std::string() : lines[0].context + ": " + lines[0].extras;
  };
  EXPECT_EQ(line("in the child"), "child: request=7 part=a");
  EXPECT_EQ(line("in the parent"), "main: request=7");
  EXPECT_EQ(line("in the second child"), "second: request=7");
  EXPECT_EQ(line("in the third child"), "third: ");
}

TEST_F(ThreadTest, TheClockIsInherited) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  const bool inherited = Thread::run("child", [&](Signal) {
    return Thread::run("grandchild", [&](Signal) { return &Clock::current() == &clock; }).join();
  }).join();
  EXPECT_TRUE(inherited);
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
    ASSERT_THAT(failed.failures(), SizeIs(2));
    EXPECT_EQ(failed.failures()[0].thread, "bad");
    EXPECT_THROW(std::rethrow_exception(failed.failures()[0].exception), Refused);
    EXPECT_EQ(failed.failures()[1].thread, "worse");
    EXPECT_THROW(std::rethrow_exception(failed.failures()[1].exception), int);
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
  auto advancer = Thread::run("advancer", [&](Signal) {
    clock.await_timers(1);
    clock.advance(absl::Minutes(1));
  });
  try {
    join_all(threads, absl::Minutes(1));  // would wait for ever for a second minute
    FAIL() << "join_all() did not throw";
  } catch (const ThreadsFailed& failed) {
    ASSERT_THAT(failed.failures(), SizeIs(3));
    EXPECT_THROW(std::rethrow_exception(failed.failures()[2].exception), ThreadTimeout);
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

// --- with Tills and Signals -----------------------------------------------------------------------------------------------

// Theirs: test_loop.
TEST_F(ThreadTest, ALoopOverTillsTicksUntilItIsStopped) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  int ticks = 0;
  auto ticker = Thread::run("ticker", [&](Signal please_stop) {
    while (!please_stop) {
      ++ticks;
      (please_stop | Till(absl::Milliseconds(100))).wait();
    }
  });
  for (int i = 0; i < 10; ++i) {
    clock.await_timers(1);
    clock.advance(absl::Milliseconds(100));
  }
  clock.await_timers(1);
  ticker.stop().join();
  EXPECT_EQ(ticks, 11);
}

// Theirs: test_or_signal_timeout.
TEST_F(ThreadTest, AWaitForTimeOrStopEndsByTime) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  auto worker = Thread::run("worker", [](Signal please_stop) {
    (Till(absl::Milliseconds(300)) | please_stop).wait();
    return static_cast<bool>(please_stop);
  });
  clock.await_timers(1);
  clock.advance(absl::Milliseconds(300));
  EXPECT_FALSE(worker.join());
}

// Theirs: test_or_signal_stop, and test_or_signal_stop2 where the Till is made outside.
TEST_F(ThreadTest, AWaitForTimeOrStopEndsByStop) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  auto inside = Thread::run("inside", [](Signal please_stop) {
    (Till(absl::Milliseconds(300)) | please_stop).wait();
    return static_cast<bool>(please_stop);
  });
  clock.await_timers(1);
  EXPECT_TRUE(inside.stop().join());

  const Till outside(absl::Milliseconds(300));
  auto other = Thread::run("outside", [](const Signal& till, Signal please_stop) {
    (till | please_stop).wait();
    return static_cast<bool>(please_stop) && !till;
  }, Signal(outside));
  EXPECT_TRUE(other.stop().join());
}

// Theirs: test_and_signals.
TEST_F(ThreadTest, AllOfSeveralStopped) {
  std::vector<ThreadHandle<void>> threads;
  int ran[3] = {};
  for (int& its : ran) threads.push_back(Thread::run("worker", [&its](Signal) { its = 1; }));
  const Signal all = threads[0].stopped() & threads[1].stopped() & threads[2].stopped();
  for (auto& thread : threads) thread.release();
  all.wait();
  EXPECT_THAT(ran, ElementsAre(1, 1, 1));
}

}  // namespace
}  // namespace mothreads
