#include "mothreads/thread.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/till.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;
using testing::names_of;
using testing::Refused;
using testing::until_stopped;
using testing::what_of;

using Names = std::vector<std::string>;

using ThreadTest = testing::NothingLeft;

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
  EXPECT_THAT(what_of<Misuse>([&] {
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
  view.stop().stop();
  thread.join();
  view.stop().stop();
  EXPECT_EQ(told, 1);
}

TEST_F(ThreadTest, AThreadMayStopItself) {
  auto thread = Thread::run("self", [](Signal please_stop) {
    Thread::current().stop();
    return static_cast<bool>(please_stop);
  });
  EXPECT_TRUE(thread.join());
}

// --- deep trees -------------------------------------------------------------------------------------------------------------

constexpr int kLevels = 1000;

void descend(int levels, Signal& deepest, std::atomic<int>& ended, Signal please_stop) {
  if (levels > 0) {
    Thread::run(ThreadOptions{.name = "level", .stack_size = kLeastThreadStack}, descend, levels - 1, std::ref(deepest), std::ref(ended)).release();
  } else {
    deepest.go();
  }
  please_stop.wait();
  ++ended;
}

// It was told by calls inside calls, on stacks that this overflowed.
TEST_F(ThreadTest, ADeepTreeOfThreadsWithTheLeastStacksStops) {
  Signal deepest;
  std::atomic<int> ended{0};
  auto top = Thread::run(ThreadOptions{.name = "top", .stack_size = kLeastThreadStack}, descend, kLevels, std::ref(deepest), std::ref(ended));
  deepest.wait();
  top.stop().join();
  EXPECT_EQ(ended, kLevels + 1);
}

TEST_F(ThreadTest, ADeepTreeOfThreadsThatEndByThemselvesStops) {
  Signal deepest;
  std::atomic<int> ended{0};
  Thread::run(ThreadOptions{.name = "top", .stack_size = kLeastThreadStack}, [&](Signal) {
    Thread::run(ThreadOptions{.name = "level", .stack_size = kLeastThreadStack}, descend, kLevels, std::ref(deepest), std::ref(ended)).release();
    deepest.wait();
  }).join();
  EXPECT_EQ(ended, kLevels + 1);
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
