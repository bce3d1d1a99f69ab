#include "mothreads/thread.h"

#include <pthread.h>

#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/clock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::LogLines;
using testing::Refused;
using testing::until_stopped;
using testing::what_of;

using Names = std::vector<std::string>;

using ThreadTest = testing::NothingLeft;

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

// On the least stack the library's part of a thread's end has room, with all that can be part of it.
TEST_F(ThreadTest, TheLeastStackIsEnoughForTheEndOfAThread) {
  LogLines log;
  Thread::run(ThreadOptions{.name = "small", .stack_size = kLeastThreadStack}, [](Signal) {
    Thread::run("child", until_stopped).release();
    Thread::run("fails", [](Signal) { throw std::runtime_error("out of paper"); }).release();
    throw std::runtime_error("out of ink");
  }).release();
  for (const Thread& child : Thread::current().children()) child.stopped().wait();
  EXPECT_EQ(testing::take_unclaimed_failures(), 2);
  EXPECT_THAT(log.with("which nobody joined: out of ink"), SizeIs(1));
}

TEST_F(ThreadTest, LessThanTheLeastStackIsRefused) {
  try {
    static_cast<void>(Thread::run(ThreadOptions{.name = "tiny", .stack_size = kLeastThreadStack - 1}, until_stopped));
    FAIL() << "it was granted";
  } catch (const std::system_error& refused) {
    EXPECT_EQ(refused.code(), std::errc::invalid_argument);
    EXPECT_THAT(refused.what(), HasSubstr("cannot start thread \"tiny\" with a stack of 65535 bytes: the least is 65536, kLeastThreadStack"));
  }
  EXPECT_THAT(Thread::current().children(), IsEmpty());
}

TEST_F(ThreadTest, ANameIsMandatory) {
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(Thread::run("", until_stopped)); }), HasSubstr("a thread needs a name"));
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
    return lines.empty() ? std::string() : lines[0].context + ": " + log::to_string(lines[0].extras);
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

}  // namespace
}  // namespace mothreads
