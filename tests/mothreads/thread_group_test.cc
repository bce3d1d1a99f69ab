#include "mothreads/thread_group.h"

#include <memory>
#include <stdexcept>
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
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"
#include "tests/support/virtual_time.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using testing::advance_once_awaited;
using testing::LogLines;
using testing::names_of;
using testing::until_stopped;

using Names = std::vector<std::string>;

class ThreadGroupTest : public testing::NothingLeft {};
using ThreadGroupDeathTest = ThreadGroupTest;

// --- joining --------------------------------------------------------------------------------------------------------------

TEST_F(ThreadGroupTest, JoinWaitsForAllMembers) {
  int ran[3] = {};
  ThreadGroup group("workers");
  for (int& its : ran) group.run("worker", [&its](Signal) { its = 1; });
  group.join();
  EXPECT_THAT(ran, ElementsAre(1, 1, 1));
  EXPECT_THAT(group.members(), IsEmpty());
  EXPECT_FALSE(group.please_stop());
}

TEST_F(ThreadGroupTest, JoinOfAnEmptyGroupNeedsNoTime) {
  ThreadGroup group("nobody");
  group.join(absl::ZeroDuration());
  EXPECT_THAT(group.members(), IsEmpty());
}

TEST_F(ThreadGroupTest, JoinWaitsForMembersThatAreStartedMeanwhile) {
  Signal go;
  bool second_ran = false;
  ThreadGroup group("workers");
  group.run("first", [&](Signal) {
    go.wait();
    group.run("second", [&](Signal) { second_ran = true; });
  });
  go.go();
  group.join();
  EXPECT_TRUE(second_ran);
}

// 4.4's AllThread raised "Problem in child threads".
TEST_F(ThreadGroupTest, JoinThrowsWhatMembersThrew) {
  ThreadGroup group("workers");
  group.run("good", [](Signal) {});
  group.run("bad", [](Signal) { throw std::runtime_error("connection refused"); });
  group.run("worse", [](Signal) { throw 3; });
  try {
    group.join();
    FAIL() << "join() did not throw";
  } catch (const ThreadsFailed& failed) {
    Names names;
    for (const EndRecord& end : failed.ends()) names.push_back(end.name);
    EXPECT_THAT(names, UnorderedElementsAre("bad", "worse"));
    EXPECT_THAT(failed.what(), HasSubstr("2 threads failed: "));
    EXPECT_THAT(failed.what(), HasSubstr("\"bad\": connection refused"));
    EXPECT_THAT(failed.what(), HasSubstr("\"worse\": an exception of type int"));
  }
  group.join();  // each failure is told once
  EXPECT_EQ(unclaimed_failures(), 0);
}

TEST_F(ThreadGroupTest, AJoinThatGivesUpLeavesTheMembersRunning) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  ThreadGroup group("workers");
  group.run("a", until_stopped);
  const Thread b = group.run("b", until_stopped);
  auto advancer = advance_once_awaited(clock, absl::Minutes(1));
  try {
    group.join(absl::Minutes(1));
    FAIL() << "join() did not throw";
  } catch (const ThreadTimeout& timeout) {
    EXPECT_STREQ(timeout.what(), "ThreadGroup workers timeout: the join timed out before all members had stopped");
  }
  Signal enough;
  enough.go();
  try {
    group.join(enough);
    FAIL() << "join() did not throw";
  } catch (const Stopped& stopped) {
    EXPECT_THAT(stopped.what(), HasSubstr("the join was stopped"));
    EXPECT_EQ(stopped.object(), "workers");
  }
  EXPECT_TRUE(b.is_alive());
  EXPECT_THAT(names_of(group.members()), ElementsAre("a", "b"));
  group.stop();
  group.join();
}

// The limit is one for all members: it does not begin anew with each of them.
TEST_F(ThreadGroupTest, JoinHasOneLimitForAll) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  Signal end_newest;
  ThreadGroup group("workers");
  group.run("stays", until_stopped);
  group.run("ends", [&](Signal) { end_newest.wait(); });
  auto joiner = Thread::run("joiner", [&](Signal) { group.join(absl::Minutes(1)); });
  clock.await_timers(1);
  clock.advance(absl::Seconds(40));
  end_newest.go();
  clock.await_timers(1);
  clock.advance(absl::Seconds(20));
  EXPECT_THROW(joiner.join(), ThreadTimeout);  // would wait for ever for another 40 seconds
}

TEST_F(ThreadGroupTest, JoinByAMemberIsMisuse) {
  std::string misuse;
  ThreadGroup group("workers");
  group.run("member", [&](Signal) {
    try {
      group.join();
    } catch (const Misuse& thrown) {
      misuse = thrown.what();
    }
  });
  group.join();
  EXPECT_THAT(misuse, HasSubstr("ThreadGroup \"workers\" is joined by one of its own members"));
}

// --- owning ---------------------------------------------------------------------------------------------------------------

TEST_F(ThreadGroupTest, TheDestructorStopsAndWaits) {
  int told[2] = {};
  {
    ThreadGroup group("workers");
    for (int& its : told) {
      group.run("worker", [&its](Signal please_stop) {
        please_stop.wait();
        its = 1;
      });
    }
  }
  EXPECT_THAT(told, ElementsAre(1, 1));
}

TEST_F(ThreadGroupTest, FailuresThatNobodyTookAreLoggedByTheDestructor) {
  LogLines log;
  {
    ThreadGroup group("workers");
    const Thread bad = group.run("bad", [](Signal) { throw std::runtime_error("connection refused"); });
    bad.stopped().wait();
    EXPECT_EQ(unclaimed_failures(), 0);
  }
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"bad\", which nobody joined: connection refused"), SizeIs(1));
}

TEST_F(ThreadGroupTest, AMemberThatHasEndedLeavesTheGroup) {
  ThreadGroup group("workers");
  group.run("stays", until_stopped);
  const Thread quick = group.run("quick", [](Signal) {});
  quick.stopped().wait();
  // It leaves the list just after `stopped`, and before its OS thread ends.
  while (quick.parent().has_value()) std::this_thread::yield();
  EXPECT_THAT(names_of(group.members()), ElementsAre("stays"));
}

TEST_F(ThreadGroupTest, TheGroupHasAPlaceInTheTree) {
  ThreadGroup group("workers");
  const Thread member = group.run("member", until_stopped);
  ASSERT_TRUE(member.parent().has_value());
  EXPECT_EQ(member.parent()->name(), "workers");
  EXPECT_EQ(member.parent()->parent(), Thread::current());
  EXPECT_THAT(names_of(Thread::current().children()), ElementsAre("workers"));
}

TEST_F(ThreadGroupTest, StoppingItsMakerStopsTheMembers) {
  Signal running;
  auto maker = Thread::run("maker", [&](Signal please_stop) {
    ThreadGroup group("workers");
    const Thread member = group.run("member", until_stopped);
    running.go();
    please_stop.wait();
    EXPECT_TRUE(group.please_stop());
    EXPECT_TRUE(member.please_stop());
    group.join();
  });
  running.wait();
  maker.stop().join();
}

TEST_F(ThreadGroupTest, AGroupOfAThreadThatHasEndedTakesNoMembers) {
  auto maker = Thread::run("maker", [](Signal) { return std::make_unique<ThreadGroup>("workers"); });
  const std::unique_ptr<ThreadGroup> group = maker.join();
  try {
    group->run("late", until_stopped);
    FAIL() << "run() did not throw";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("\"late\" cannot be started under \"workers\", which has ended"));
  }
  EXPECT_THAT(group->members(), IsEmpty());
  group->join();
}

TEST_F(ThreadGroupTest, ANameIsMandatory) {
  EXPECT_THROW(static_cast<void>(ThreadGroup("")), Misuse);
  ThreadGroup group("workers");
  EXPECT_THROW(group.run("", until_stopped), Misuse);
  EXPECT_THAT(group.members(), IsEmpty());
  EXPECT_THAT(names_of(Thread::current().children()), ElementsAre("workers"));
}

TEST_F(ThreadGroupTest, GroupsMayBeNested) {
  Names ended;
  {
    ThreadGroup outer("outer");
    Signal running;
    outer.run("member", [&](Signal please_stop) {
      ThreadGroup inner("inner");
      inner.run("leaf", [&](Signal stop) {
        stop.wait();
        ended.push_back("leaf");
      });
      running.go();
      please_stop.wait();
      inner.join();
      ended.push_back("member");
    });
    running.wait();
  }
  EXPECT_THAT(ended, ElementsAre("leaf", "member"));
}

TEST_F(ThreadGroupDeathTest, DestroyedByAMemberIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto group = std::make_unique<ThreadGroup>("workers");
        Signal stopped = group->run("member", [&](Signal) { group.reset(); }).stopped();
        stopped.wait();
      },
      "ThreadGroup \"workers\" was destroyed by one of its own members");
}

// --- stopping -------------------------------------------------------------------------------------------------------------

TEST_F(ThreadGroupTest, StopTellsTheNewestFirst) {
  Names told;
  ThreadGroup group("workers");
  for (const char* name : {"a", "b", "c"}) {
    group.run(name, until_stopped).please_stop().then([&told, name] { told.push_back(name); });
  }
  group.please_stop().then([&] { told.push_back("group"); });
  group.stop();
  group.stop();
  EXPECT_THAT(told, ElementsAre("c", "b", "a", "group"));
  group.stop().join();
}

TEST_F(ThreadGroupTest, AMemberOfAStoppedGroupIsToldAtOnce) {
  ThreadGroup group("workers");
  group.stop();
  bool was_told = false;
  group.run("late", [&](Signal please_stop) { was_told = static_cast<bool>(please_stop); });
  group.join();
  EXPECT_TRUE(was_told);
}

// Members that say when they were told, and end when they are let.
struct InTurn {
  explicit InTurn(ThreadGroup& group, int count) {
    for (int i = 0; i < count; ++i) {
      Member& member = *members.emplace_back(std::make_unique<Member>());
      member.thread = std::make_unique<Thread>(group.run(std::to_string(i), [&member](Signal please_stop) {
        please_stop.wait();
        member.told.go();
        member.end.wait();
      }));
    }
  }

  struct Member {
    Signal told, end;
    std::unique_ptr<Thread> thread;
  };
  Member& operator[](std::size_t i) { return *members[i]; }
  bool is_asked(std::size_t i) { return static_cast<bool>(members[i]->thread->please_stop()); }

  std::vector<std::unique_ptr<Member>> members;
};

TEST_F(ThreadGroupTest, InTurnEachIsToldWhenTheOneAfterItHasStopped) {
  ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
  InTurn members(group, 3);
  group.stop();
  for (std::size_t i = 3; i-- > 0;) {
    members[i].told.wait();
    for (std::size_t older = 0; older < i; ++older) {
      EXPECT_FALSE(members.is_asked(older)) << older << " while " << i << " runs";
    }
    members[i].end.go();
  }
  group.join();
}

TEST_F(ThreadGroupTest, InTurnByTheDestructor) {
  Names ended;  // each ends before the next is told: no lock
  {
    ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
    for (const char* name : {"a", "b", "c", "d"}) {
      group.run(name, [&ended, name](Signal please_stop) {
        please_stop.wait();
        ended.push_back(name);
      });
    }
  }
  EXPECT_THAT(ended, ElementsAre("d", "c", "b", "a"));
}

TEST_F(ThreadGroupTest, InTurnGoesOnPastAMemberThatWasStoppedAlone) {
  ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
  InTurn members(group, 3);
  members[2].thread->stop();
  members[2].told.wait();
  group.stop();
  EXPECT_FALSE(members.is_asked(1));
  EXPECT_FALSE(members.is_asked(0));
  members[2].end.go();
  members[1].told.wait();
  EXPECT_FALSE(members.is_asked(0));
  members[1].end.go();
  members[0].end.go();
  group.join();
}

TEST_F(ThreadGroupTest, InTurnGoesOnPastAMemberThatEndsByItself) {
  ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
  InTurn members(group, 1);
  Signal child_told, end_child;
  group.run("ends", [&](Signal) {
    Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      child_told.go();
      end_child.wait();
    }).release();
  });
  child_told.wait();  // the member's function has ended, and it waits for its child
  group.stop();
  EXPECT_FALSE(members.is_asked(0));
  end_child.go();
  members[0].told.wait();
  members[0].end.go();
  group.join();
}

TEST_F(ThreadGroupTest, InTurnWaitsForAMemberThatIsStartedMeanwhile) {
  ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
  InTurn members(group, 2);
  group.stop();
  members[1].told.wait();
  Signal late_told, end_late;
  group.run("late", [&](Signal please_stop) {
    please_stop.wait();
    late_told.go();
    end_late.wait();
  });
  late_told.wait();
  const Signal stopped = members[1].thread->stopped();
  members[1].end.go();
  stopped.wait();
  // then() functions run after the waiters are released: let this one's have run.
  while (members[1].thread->parent().has_value()) std::this_thread::yield();
  EXPECT_FALSE(members.is_asked(0));
  end_late.go();
  members[0].told.wait();
  members[0].end.go();
  group.join();
}

TEST_F(ThreadGroupTest, FailFastStopsTheOthers) {
  ThreadGroup group(ThreadGroupOptions{.name = "workers", .fail_fast = true});
  group.run("patient", until_stopped);
  group.run("bad", [](Signal) { throw std::runtime_error("connection refused"); });
  group.run("patient, too", until_stopped);
  try {
    group.join();  // would wait for ever
    FAIL() << "join() did not throw";
  } catch (const ThreadsFailed& failed) {
    EXPECT_STREQ(failed.what(), "A thread failed: \"bad\": connection refused");
  }
  EXPECT_TRUE(group.please_stop());
}

TEST_F(ThreadGroupTest, WithoutFailFastTheOthersGoOn) {
  ThreadGroup group("workers");
  const Thread good = group.run("good", until_stopped);
  const Thread bad = group.run("bad", [](Signal) { throw std::runtime_error("connection refused"); });
  bad.stopped().wait();
  EXPECT_FALSE(good.please_stop());
  group.stop();
  EXPECT_THROW(group.join(), ThreadsFailed);
}

}  // namespace
}  // namespace mothreads
