#include "mothreads/main_thread.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;
using testing::until_stopped;

using Names = std::vector<std::string>;

// The names of all OS threads of the process, the library's too.
Names os_thread_names() {
  Names names;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    if (std::getline(std::ifstream(task.path() / "comm"), name)) names.push_back(name);
  }
  return names;
}

bool has_os_thread(const std::string& name) {
  const Names names = os_thread_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

class MainThreadTest : public testing::NothingLeft {
 protected:
  void TearDown() override {
    set_stop_deadline(kDefaultStopDeadline);
    NothingLeft::TearDown();
  }
};

// --- what run() returns ---------------------------------------------------------------------------------------------------

TEST_F(MainThreadTest, RunReturnsWhatTheFunctionReturned) {
  EXPECT_EQ(MainThread::run([](Signal) { return 42; }), 42);
  EXPECT_EQ(MainThread::run([](const Signal&) { return 0; }), 0);
  EXPECT_EQ(MainThread::run([](Signal) {}), 0);
  EXPECT_EQ(MainThread::run([number = std::make_unique<int>(5)](Signal) { return *number; }), 5);
}

TEST_F(MainThreadTest, AFunctionThatThrowsIsLoggedAndGivesOne) {
  LogLines log;
  EXPECT_EQ(MainThread::run([](Signal) -> int { throw std::runtime_error("out of paper"); }), 1);
  EXPECT_EQ(MainThread::run([](Signal) { throw 7; }), 1);
  EXPECT_THAT(log.with("the main thread failed: out of paper"), SizeIs(1));
  EXPECT_THAT(log.with("the main thread failed: an exception of type int"), SizeIs(1));
}

// Defect T15.
TEST_F(MainThreadTest, AFailureThatNobodyJoinedTurnsZeroIntoItsOwnCode) {
  LogLines log;
  const auto fails = [](int code) {
    return [code](Signal) {
      Thread::run("child", [](Signal) { throw std::runtime_error("connection refused"); }).release();
      return code;
    };
  };
  EXPECT_EQ(MainThread::run(fails(0)), kExitUnclaimedFailure);
  EXPECT_EQ(unclaimed_failures(), 1);
  EXPECT_EQ(MainThread::run(fails(3)), 3);
  EXPECT_EQ(testing::take_unclaimed_failures(), 2);
  EXPECT_THAT(log.with("connection refused"), SizeIs(2));
}

TEST_F(MainThreadTest, AFailureThatSomebodyJoinedDoesNot) {
  const int code = MainThread::run([](Signal) {
    auto child = Thread::run("child", [](Signal) { throw std::runtime_error("connection refused"); });
    EXPECT_THROW(child.join(), std::runtime_error);
    ThreadGroup group("workers");
    group.run("member", [](Signal) { throw 3; });
    EXPECT_THROW(group.join(), ThreadsFailed);
  });
  EXPECT_EQ(code, 0);
}

// --- where it may be called -----------------------------------------------------------------------------------------------

TEST_F(MainThreadTest, ItMayRunAgain) {
  std::uint64_t ids[2] = {};
  for (std::uint64_t& id : ids) {
    const int code = MainThread::run([&](Signal please_stop) {
      EXPECT_FALSE(please_stop);
      EXPECT_EQ(MainThread::please_stop(), please_stop);
      id = MainThread::thread().id();
      Signal fired;
      Till(absl::Nanoseconds(1)).then([fired] { fired.go(); });  // the timers work again
      fired.wait();
      auto child = Thread::run("child", until_stopped);
      child.release();
      MainThread::stop();
      EXPECT_TRUE(please_stop);
      return 6;
    });
    EXPECT_EQ(code, 6);
  }
  EXPECT_NE(ids[0], ids[1]);
}

TEST_F(MainThreadTest, InsideAnotherRunItIsMisuse) {
  const int code = MainThread::run([](Signal please_stop) {
    EXPECT_THROW(MainThread::run([](Signal) { return 1; }), Misuse);
    EXPECT_FALSE(please_stop);
    EXPECT_EQ(Thread::current(), MainThread::thread());
    return 2;
  });
  EXPECT_EQ(code, 2);
}

TEST_F(MainThreadTest, OnAnotherThreadItIsMisuse) {
  auto child = Thread::run("child", [](Signal) { return MainThread::run([](Signal) { return 1; }); });
  EXPECT_THROW(child.join(), Misuse);
  std::thread([] { EXPECT_THROW(MainThread::run([](Signal) { return 1; }), Misuse); }).join();
}

TEST_F(MainThreadTest, ItIsTheCurrentThreadAndTheParentOfWhatItStarts) {
  MainThread::run([](Signal please_stop) {
    EXPECT_EQ(Thread::current(), MainThread::thread());
    EXPECT_EQ(Thread::current().name(), "main");
    EXPECT_EQ(Thread::current().please_stop(), please_stop);
    const auto child = Thread::run("child", until_stopped);
    EXPECT_EQ(child.thread().parent(), MainThread::thread());
    EXPECT_THAT(MainThread::thread().children(), ElementsAre(child.thread()));
  });
}

// --- its end --------------------------------------------------------------------------------------------------------------

TEST_F(MainThreadTest, WhenTheFunctionHasEndedTheChildrenAreToldNewestFirstAndAwaited) {
  Names told;
  bool ended[2] = {};
  MainThread::run([&](Signal please_stop) {
    for (int i = 0; i < 2; ++i) {
      auto child = Thread::run("child " + std::to_string(i), [&ended, i](Signal stop) {
        stop.wait();
        ended[i] = true;
      });
      child.please_stop().then([&told, name = child.name()] { told.push_back(name); });
      child.release();
    }
    please_stop.then([&] { told.push_back("main"); });
  });
  EXPECT_THAT(told, ElementsAre("child 1", "child 0", "main"));
  EXPECT_THAT(ended, ElementsAre(true, true));
}

// Defect S6: the main thread's `stopped` never went.
TEST_F(MainThreadTest, StoppedGoesAtTheEnd) {
  Signal stopped;
  MainThread::run([&](Signal) {
    stopped = MainThread::thread().stopped();
    EXPECT_FALSE(stopped);
  });
  EXPECT_TRUE(stopped);
}

TEST_F(MainThreadTest, TheLibrarysOwnThreadsEndWithIt) {
  MainThread::run([](Signal) {
    Signal fired;
    Till(absl::Nanoseconds(1)).then([fired] { fired.go(); });
    fired.wait();
    log::debug("not written, but the thread is there for what follows");
    log::info("written");
    log::flush();
    // Each gives itself its name, once it runs.
    for (const char* name : {"timers", "log", "signals"}) {
      while (!has_os_thread(name)) std::this_thread::yield();
    }
  });
  // The kernel shows a joined thread for a moment longer.
  for (const char* name : {"timers", "stop watch", "log", "signals"}) {
    while (has_os_thread(name)) std::this_thread::yield();
  }
}

// Theirs: test_failure_during_wait_for_shutdown, the log's part: nothing that is logged before the end is lost.
TEST_F(MainThreadTest, WhatIsLoggedBeforeTheEndIsWrittenByTheEnd) {
  std::vector<std::string> texts;
  log::set_sink([&](const log::Line& line) { texts.push_back(line.text); });
  MainThread::run([&](Signal) {
    Thread::run("child", [](Signal please_stop) {
      please_stop.wait();
      log::info("last words");
    }).release();
  });
  EXPECT_THAT(texts, ElementsAre("last words"));  // without a flush: run() has done it
  log::info("afterwards");
  EXPECT_THAT(texts, ElementsAre("last words", "afterwards"));  // written by who logs
  log::set_sink({});
}

// Theirs: test_disabled_till.
TEST_F(MainThreadTest, AfterItTillsAreDone) {
  MainThread::run([](Signal) { EXPECT_FALSE(Till(absl::Hours(1))); });
  EXPECT_EQ(Till(absl::Hours(1)), DONE);
  Till(absl::Seconds(10'000'000)).wait();
  MainThread::run([](Signal) { EXPECT_FALSE(Till(absl::Hours(1))); });
}

TEST_F(MainThreadTest, TheStopDeadlineIsAnOption) {
  MainThread::run([](Signal) { EXPECT_EQ(stop_deadline(), absl::Seconds(7)); }, {.stop_deadline = absl::Seconds(7)});
  MainThread::run([](Signal) { EXPECT_EQ(stop_deadline(), kDefaultStopDeadline); });
}

// --- asking it to stop ----------------------------------------------------------------------------------------------------

// Defect S4: a stop that another thread asked for told nobody but the main thread.
TEST_F(MainThreadTest, AStopByAnyThreadTellsEverybody) {
  MainThread::run([](Signal please_stop) {
    const auto sibling = Thread::run("sibling", until_stopped);
    const auto asker = Thread::run("asker", [](Signal) { MainThread::stop(); });
    please_stop.wait();
    EXPECT_TRUE(sibling.please_stop());
    sibling.stopped().wait();
  });
}

// Defect S9.
TEST_F(MainThreadTest, WhatIsStartedAfterTheStopIsToldAtOnce) {
  MainThread::run([](Signal) {
    MainThread::stop();
    auto late = Thread::run("late", [](Signal please_stop) { return static_cast<bool>(please_stop); });
    EXPECT_TRUE(late.join());
    ThreadGroup group("late group");
    EXPECT_TRUE(group.please_stop());
  });
}

// Defect S3: Tills held up the stop until all threads had been joined.
TEST_F(MainThreadTest, TillsThatExistGoEarlyAndLaterOnesRun) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  MainThread::run([&](Signal) {
    const Till mine(absl::Hours(6));
    auto sleeper = Thread::run("sleeper", [](Signal) { Till(absl::Hours(6)).wait(); });
    clock.await_timers(2);
    EXPECT_FALSE(mine);
    MainThread::stop();
    EXPECT_TRUE(mine);
    sleeper.join();
    const Till grace(absl::Seconds(5));
    EXPECT_FALSE(grace);
    clock.advance(absl::Seconds(5));
    EXPECT_TRUE(grace);
  });
}

TEST_F(MainThreadTest, DurationsDoNotGoEarly) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  MainThread::run([&](Signal) {
    auto waiter = Thread::run("waiter", [](Signal) { return NEVER.wait(absl::Seconds(10)).why(); });
    clock.await_timers(1);
    MainThread::stop();
    EXPECT_THROW(waiter.join(absl::ZeroDuration()), ThreadTimeout);
    clock.advance(absl::Seconds(10));
    EXPECT_EQ(waiter.join(), Why::timed_out);
  });
}

TEST_F(MainThreadTest, SignalsAskItToStop) {
  for (const int number : {SIGTERM, SIGINT}) {
    const int code = MainThread::run([&](Signal please_stop) {
      EXPECT_EQ(MainThread::stop_signal(), 0);
      const auto child = Thread::run("child", until_stopped);
      kill(getpid(), number);
      please_stop.wait();
      EXPECT_EQ(MainThread::stop_signal(), number);
      child.stopped().wait();
      return 3;
    });
    EXPECT_EQ(code, 3);
    EXPECT_EQ(MainThread::stop_signal(), number);
  }
}

TEST_F(MainThreadTest, TheSignalsHandlersAreRestored) {
  const auto handler_of = [](int number) {
    struct sigaction action {};
    sigaction(number, nullptr, &action);
    return action.sa_handler;
  };
  const auto own_handler = [](int) {};
  signal(SIGINT, own_handler);
  MainThread::run([&](Signal) {
    EXPECT_NE(handler_of(SIGINT), static_cast<sighandler_t>(own_handler));
    EXPECT_NE(handler_of(SIGTERM), SIG_DFL);
  });
  EXPECT_EQ(handler_of(SIGINT), static_cast<sighandler_t>(own_handler));
  EXPECT_EQ(handler_of(SIGTERM), SIG_DFL);
  MainThread::run([&](Signal) { EXPECT_EQ(handler_of(SIGTERM), SIG_DFL); }, {.take_signals = false});
  signal(SIGINT, SIG_DFL);
}

TEST_F(MainThreadTest, TheStopLogsWhichSignalItWas) {
  LogLines log;
  MainThread::run([](Signal please_stop) {
    kill(getpid(), SIGTERM);
    please_stop.wait();
  });
  EXPECT_THAT(log.with("Stop requested by SIGTERM!  Stopping..."), SizeIs(1));
}

// --- wait_for_shutdown_signal ---------------------------------------------------------------------------------------------

TEST_F(MainThreadTest, TheWaitForShutdownStopsTheChildren) {
  LogLines log;
  MainThread::run([](Signal) {
    auto child = Thread::run("child", until_stopped);
    Thread::run("asker", [](Signal) { MainThread::stop(); }).release();
    wait_for_shutdown_signal();
    EXPECT_TRUE(child.stopped());
    EXPECT_THAT(MainThread::thread().children(), IsEmpty());
  });
}

TEST_F(MainThreadTest, ItsPleaseStopAndTheMainThreadsAreOne) {
  LogLines log;
  MainThread::run([](Signal please_stop) {
    const Signal theirs("theirs");
    const auto asker = Thread::run("asker", [&](Signal) { theirs.go(); });
    wait_for_shutdown_signal({.please_stop = theirs});
    EXPECT_TRUE(please_stop);
  });
  MainThread::run([](Signal) {
    const Signal theirs("theirs");
    const auto asker = Thread::run("asker", [&](Signal) { MainThread::stop(); });
    wait_for_shutdown_signal({.please_stop = theirs});
    EXPECT_TRUE(theirs);
  });
}

TEST_F(MainThreadTest, ItMayEndWithTheChildren) {
  LogLines log;
  MainThread::run([](Signal please_stop) {
    Signal end;
    Thread::run("first", [&](Signal) { end.wait(); }).release();
    Thread::run("second", [&](Signal) { end.go(); }).release();
    wait_for_shutdown_signal({.wait_forever = false});
    EXPECT_TRUE(please_stop);
  });
  MainThread::run([](Signal) { wait_for_shutdown_signal({.wait_forever = false}); });
}

// Defect S7: a child that the library had not started made it crash.
TEST_F(MainThreadTest, ItMayEndWithARegisteredThread) {
  LogLines log;
  std::thread foreign;
  MainThread::run([&](Signal) {
    Signal registered;
    Signal end;
    foreign = std::thread([registered, end] {
      const RegisterThread self("camera driver");
      registered.go();
      end.wait();
    });
    registered.wait();
    Thread::run("child", [end](Signal) { end.go(); }).release();
    wait_for_shutdown_signal({.wait_forever = false});
  });
  foreign.join();
}

// Theirs: test_failure_during_wait_for_shutdown.
TEST_F(MainThreadTest, ItThrowsWhatChildrenFailedWith) {
  LogLines log;
  const int code = MainThread::run([](Signal) {
    Thread::run("worker", [](Signal) { throw std::runtime_error("bad worker failure"); }).release();
    try {
      wait_for_shutdown_signal({.wait_forever = false});
      ADD_FAILURE() << "wait_for_shutdown_signal() did not throw";
    } catch (const ThreadsFailed& failed) {
      EXPECT_STREQ(failed.what(), "A thread failed: \"worker\": bad worker failure");
    }
  });
  EXPECT_EQ(code, kExitUnclaimedFailure);
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("Problem in thread \"worker\", which nobody joined: bad worker failure"), SizeIs(1));
}

TEST_F(MainThreadTest, OnAnotherThreadTheWaitForShutdownIsMisuse) {
  MainThread::run([](Signal please_stop) {
    auto child = Thread::run("child", [](Signal) { wait_for_shutdown_signal(); });
    EXPECT_THROW(child.join(), Misuse);
    EXPECT_FALSE(please_stop);
  });
}

}  // namespace
}  // namespace mothreads
