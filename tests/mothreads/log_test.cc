#include "mothreads/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::LogLines;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// --- lines ---------------------------------------------------------------------------------------------------------------

TEST(LogTest, ALineSaysWhatWasLoggedByWhomAndWhen) {
  LogLines lines;
  const auto nanoseconds = [] {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  const auto before = nanoseconds();
  Thread::run("baker", [](Signal) { log::warning("{} loaves of {}", 3, "bread"); }).join();
  const auto after = nanoseconds();
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_EQ(logged[0].level, log::Level::warning);
  EXPECT_EQ(logged[0].text, "3 loaves of bread");
  EXPECT_EQ(logged[0].context, "baker");
  EXPECT_THAT(logged[0].extras, IsEmpty());
  EXPECT_GE(logged[0].unix_nanoseconds, before);
  EXPECT_LE(logged[0].unix_nanoseconds, after);
}

TEST(LogTest, EveryLevelHasItsFunction) {
  LogLines lines;
  log::set_level(log::Level::debug);
  absl::Cleanup back = [] { log::set_level(log::Level::info); };
  log::debug("a");
  log::info("b");
  log::warning("c");
  log::error("d");
  log::critical("e");
  std::vector<log::Level> levels;
  for (const log::Line& line : lines.take()) levels.push_back(line.level);
  EXPECT_THAT(levels, ElementsAre(log::Level::debug, log::Level::info, log::Level::warning, log::Level::error,
                                  log::Level::critical));
}

struct CountsFormatting {
  int* formatted;
};

}  // namespace
}  // namespace mothreads

template <>
struct fmt::formatter<mothreads::CountsFormatting> : fmt::formatter<int> {
  template <typename Context>
  auto format(const mothreads::CountsFormatting& value, Context& context) const {
    return fmt::formatter<int>::format(++*value.formatted, context);
  }
};

namespace mothreads::inline v0 {
namespace {

TEST(LogTest, LinesBelowTheLevelAreNotEvenFormatted) {
  LogLines lines;
  absl::Cleanup back = [] { log::set_level(log::Level::info); };
  int formatted = 0;
  const CountsFormatting value{&formatted};
  EXPECT_FALSE(log::is_on(log::Level::debug));
  log::debug("{}", value);
  log::set_level(log::Level::error);
  log::warning("{}", value);
  EXPECT_EQ(formatted, 0);
  log::error("{}", value);
  EXPECT_EQ(formatted, 1);
  EXPECT_THAT(lines.take_texts(), ElementsAre("1"));
}

TEST(LogTest, BracesInWrittenTextAreText) {
  LogLines lines;
  log::write(log::Level::info, "{} is not a placeholder");
  EXPECT_THAT(lines.take_texts(), ElementsAre("{} is not a placeholder"));
}

class LogCrowdTest : public ::testing::TestWithParam<int> {};

TEST_P(LogCrowdTest, NothingIsLostAndEachThreadsLinesAreInOrder) {
  constexpr int kLines = 1000;
  LogLines lines;
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < GetParam(); ++i) {
    threads.push_back(Thread::run("writer " + std::to_string(i), [](Signal) {
      for (int n = 0; n < kLines; ++n) log::info("{}", n);
    }));
  }
  join_all(threads);
  std::map<std::string, int> next;
  for (const log::Line& line : lines.take()) EXPECT_EQ(line.text, std::to_string(next[line.context]++));
  ASSERT_EQ(next.size(), static_cast<std::size_t>(GetParam()));
  for (const auto& [name, count] : next) EXPECT_EQ(count, kLines) << name;
}

INSTANTIATE_TEST_SUITE_P(All, LogCrowdTest, ::testing::Values(1, 2, 8));

TEST(LogTest, FlushWaitsForEverythingLoggedBefore) {
  std::atomic<int> written{0};
  log::set_sink([&](const log::Line&) { ++written; });
  absl::Cleanup back = [] { log::set_sink({}); };
  for (int i = 1; i <= 100; ++i) {
    log::info("line");
    log::flush();
    EXPECT_EQ(written, i);
  }
}

TEST(LogTest, FlushOfNothingReturns) {
  LogLines lines;
  log::flush();
  log::flush();
  EXPECT_THAT(lines.take(), IsEmpty());
}

// --- sinks ---------------------------------------------------------------------------------------------------------------

TEST(LogSinkTest, ASinkThatFailsIsReportedAndTheNextLinesAreWritten) {
  ::testing::internal::CaptureStderr();
  std::vector<std::string> texts;
  log::set_sink([&](const log::Line& line) {
    if (line.text == "bad") throw std::runtime_error("sink is full");
    texts.push_back(line.text);
  });
  log::info("good");
  log::info("bad");
  log::info("good again");
  log::set_sink({});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), AllOf(HasSubstr("sink is full"), HasSubstr("bad")));
  EXPECT_THAT(texts, ElementsAre("good", "good again"));
}

TEST(LogSinkTest, ASinkMayLogAndFlush) {
  std::vector<std::string> texts;
  log::set_sink([&](const log::Line& line) {
    texts.push_back(line.text);
    if (line.text == "outer") {
      log::info("inner");
      log::flush();  // its own line is being written: it cannot wait for that
    }
  });
  log::info("outer");
  log::set_sink({});
  EXPECT_THAT(texts, ElementsAre("outer", "inner"));
}

TEST(LogSinkTest, IsCalledByOneThreadAtATime) {
  std::atomic<int> inside{0};
  std::atomic<bool> overlapped{false};
  std::atomic<int> lines{0};
  log::set_sink([&](const log::Line&) {
    if (++inside != 1) overlapped = true;
    std::this_thread::yield();
    --inside;
    ++lines;
  });
  std::vector<ThreadHandle<void>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(Thread::run("writer", [](Signal) {
      for (int n = 0; n < 200; ++n) log::info("line");
    }));
  }
  join_all(threads);
  log::set_sink({});
  EXPECT_EQ(lines, 800);
  EXPECT_FALSE(overlapped);
}

TEST(LogSinkTest, TheOldSinkIsLeftAloneOnceANewOneIsSet) {
  auto counter = std::make_shared<int>(0);
  std::weak_ptr<int> watched = counter;
  log::set_sink([counter = std::move(counter)](const log::Line&) { ++*counter; });
  log::info("line");
  log::set_sink([](const log::Line&) {});
  EXPECT_TRUE(watched.expired());
  log::set_sink({});
}

// --- more sinks ----------------------------------------------------------------------------------------------------------------

TEST(AddedSinkTest, GetsEachLineBesideTheOthersWhileItLives) {
  testing::LogLines lines;
  std::vector<std::string> first, second;
  {
    const log::AddedSink one = log::add_sink([&](const log::Line& line) { first.push_back(line.text); });
    log::info("a");
    {
      const log::AddedSink two = log::add_sink([&](const log::Line& line) { second.push_back(line.text); });
      log::info("b");
    }
    log::info("c");
  }
  log::info("d");
  EXPECT_THAT(lines.take_texts(), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(first, ElementsAre("a", "b", "c"));
  EXPECT_THAT(second, ElementsAre("b"));
}

TEST(AddedSinkTest, NothingIsLeftOfOneThatHasGone) {
  auto counter = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = counter;
  log::AddedSink sink = log::add_sink([counter = std::move(counter)](const log::Line&) { ++*counter; });
  log::AddedSink moved = std::move(sink);
  EXPECT_FALSE(watched.expired());
  moved = log::AddedSink();
  EXPECT_TRUE(watched.expired());
}

TEST(AddedSinkTest, WhatOneThrowsKeepsNothingFromTheOthers) {
  testing::LogLines lines;
  ::testing::internal::CaptureStderr();
  int seen = 0;
  {
    const log::AddedSink bad = log::add_sink([](const log::Line&) { throw std::runtime_error("no room"); });
    const log::AddedSink good = log::add_sink([&](const log::Line&) { ++seen; });
    log::info("line");
  }
  EXPECT_EQ(seen, 1);
  EXPECT_THAT(lines.take_texts(), ElementsAre("line"));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("a log sink failed (no room) on: line"));
}

TEST(AddedSinkTest, MayEndItselfWithinALine) {
  testing::LogLines lines;
  std::optional<log::AddedSink> once;
  int seen = 0;
  once = log::add_sink([&](const log::Line&) {
    ++seen;
    once.reset();
  });
  // Both lines are there before the first is written.
  std::latch both_logged(1);
  const log::AddedSink holds = log::add_sink([&](const log::Line&) { both_logged.wait(); });
  log::info("a");
  log::info("b");
  both_logged.count_down();
  log::flush();
  EXPECT_EQ(seen, 1);
}

TEST(AddedSinkTest, OneThatAnotherEndsIsNotCalledForThatLine) {
  testing::LogLines lines;
  std::optional<log::AddedSink> second;
  int seen = 0;
  const log::AddedSink first = log::add_sink([&](const log::Line&) { second.reset(); });
  second = log::add_sink([&](const log::Line&) { ++seen; });
  log::info("a");
  log::flush();
  EXPECT_EQ(seen, 0);
}

TEST(AddedSinkTest, AnEmptyFunctionIsRefused) { EXPECT_THROW(static_cast<void>(log::add_sink({})), Misuse); }

TEST(LogSinkTest, WithoutOneLinesGoToStderr) {
  ::testing::internal::CaptureStderr();
  {
    log::Extra extra("loaf", "7");
    Thread::run("baker", [](Signal) { log::error("burnt"); }).join();
  }
  log::flush();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("error"), HasSubstr("[baker] burnt loaf=7"), Not(HasSubstr("failed"))));
}

// A line is written by its caller once the log's thread has ended, and by the thread again after the next beginning.
TEST(LogSinkTest, WithoutTheLogsThreadWhoLogsWrites) {
  std::vector<std::thread::id> writers;
  log::set_sink([&](const log::Line&) { writers.push_back(std::this_thread::get_id()); });
  absl::Cleanup back = [] {
    internal::begin_log();
    log::set_sink({});
  };
  log::info("by the thread");
  internal::end_log_thread();
  ASSERT_EQ(writers.size(), 1U);
  EXPECT_NE(writers[0], std::this_thread::get_id());
  log::info("by the caller");
  ASSERT_EQ(writers.size(), 2U);
  EXPECT_EQ(writers[1], std::this_thread::get_id());
  log::flush();
  internal::end_log_thread();  // nothing
  internal::begin_log();
  log::info("by a thread again");
  log::flush();
  ASSERT_EQ(writers.size(), 3U);
  EXPECT_NE(writers[2], std::this_thread::get_id());
}

// --- files ---------------------------------------------------------------------------------------------------------------

TEST(LogFileTest, OneThatCannotBeOpenedIsNamed) {
  try {
    log::to_file("/proc/no such folder/log.txt");
    FAIL() << "it was opened";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("/proc/no such folder/log.txt"));
  }
}

TEST(LogFileTest, LinesAreAppended) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::string path = ::testing::TempDir() + "log_test_lines.txt";
  if (!::testing::internal::InDeathTestChild()) std::remove(path.c_str());  // the child runs these lines, too
  for (const char* text : {"first", "second"}) {
    EXPECT_EXIT(
        {
          log::to_file(path);
          log::info("{}", text);
          log::flush();
          std::_Exit(0);
        },
        ::testing::ExitedWithCode(0), text);
  }
  std::ifstream file(path);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  EXPECT_THAT(content, ::testing::MatchesRegex("[^\n]*first\n[^\n]*second\n"));
  std::remove(path.c_str());
}

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the child of a death test logged to a file, and whether stderr got it, too.
template <typename Act>
std::string logged_to_file(const std::string& name, log::ToStderr to_stderr, const char* on_stderr, Act act) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::string path = ::testing::TempDir() + name;
  if (!::testing::internal::InDeathTestChild()) std::remove(path.c_str());  // the child runs these lines, too
  EXPECT_EXIT(
      {
        log::to_file(path, to_stderr);
        act();
        log::flush();
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), on_stderr);
  std::string content = content_of(path);
  std::remove(path.c_str());
  return content;
}

TEST(LogFileTest, AFileInsteadOfStderrLeavesThatEmpty) {
  EXPECT_THAT(logged_to_file("log_test_instead.txt", log::ToStderr::no, "^$", [] { log::info("quiet"); }), HasSubstr("] quiet\n"));
  EXPECT_THAT(logged_to_file("log_test_also.txt", log::ToStderr::yes, "loud", [] { log::info("loud"); }), HasSubstr("] loud\n"));
}

// One record is one line, and what is behind a newline of a text cannot be taken for another.
TEST(LogFileTest, WhateverIsLoggedARecordStaysOne) {
  const std::string content = logged_to_file("log_test_forged.txt", log::ToStderr::no, "^$", [] {
    Thread::run("a\nname\x1b[2J", [](Signal) {
      log::Extra extra("k\ney", "2026-01-01 00:00:00.000 error [main] forged\n");
      log::Extra quoted("said", "\"yes\" = no\\");
      log::Extra plain("plain", "17");
      log::info("first\n2026-01-01 00:00:00.000 error [main] forged\rtab\there\x07 caf\xc3\xa9 cut \xc3");
    }).join();
  });
  EXPECT_THAT(content, ::testing::EndsWith(" info [a\\nname\\x1b[2J] first\n"
                                           "    | 2026-01-01 00:00:00.000 error [main] forged\\rtab\\there\\x07 caf\xc3\xa9 cut \\xc3"
                                           " k\\ney=\"2026-01-01 00:00:00.000 error [main] forged\\n\" said=\"\\\"yes\\\" = no\\\\\" plain=17\n"));
  EXPECT_EQ(std::count(content.begin(), content.end(), '\n'), 2);
}

TEST(LogFileTest, ASinkGetsEverythingAsItWasLogged) {
  LogLines lines;
  log::Extra extra("k", "a\nb");
  log::info("c\nd");
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_EQ(logged[0].text, "c\nd");
  EXPECT_THAT(logged[0].extras, ElementsAre(Pair("k", "a\nb")));
}

// Each call adds a file, also while another call opens one: it waits for somebody who reads from the pipe.
TEST(LogFileTest, TwoThreadsMayAddFilesAtOnce) {
  const std::string pipe = ::testing::TempDir() + "log_test_pipe";
  std::remove(pipe.c_str());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::string content = logged_to_file("log_test_first.txt", log::ToStderr::no, "^$", [&] {
    const std::string other = ::testing::TempDir() + "log_test_other.txt";
    std::remove(other.c_str());
    auto opens = Thread::run("opens", [&](Signal) { log::to_file(pipe, log::ToStderr::no); });
    auto adds = Thread::run("adds", [&](Signal) { log::to_file(other, log::ToStderr::no); });
    std::ifstream reader(pipe);
    opens.join();
    adds.join();
    log::info("to all");
    log::flush();
    std::string from_pipe;
    std::getline(reader, from_pipe);
    if (from_pipe.find("to all") == std::string::npos || content_of(other).find("to all") == std::string::npos) std::_Exit(1);
    std::remove(other.c_str());
  });
  EXPECT_THAT(content, HasSubstr("to all\n"));
  std::remove(pipe.c_str());
}

// The usual daemon: the child has another current folder than the call of to_file().
TEST(LogFileTest, AChildWritesToTheSameFileFromAnotherFolder) {
  const std::string content = logged_to_file("log_test_relative.txt", log::ToStderr::no, "^$", [] {
    const std::string folder = ::testing::TempDir();
    if (chdir(folder.c_str()) != 0) std::_Exit(1);
    log::to_file("log_test_of_child.txt", log::ToStderr::no);
    if (chdir("/") != 0) std::_Exit(1);
    const pid_t child = fork();
    if (child == 0) {
      log::info("from the child");
      log::flush();
      std::_Exit(0);
    }
    int status = 1;
    if (waitpid(child, &status, 0) != child || status != 0) std::_Exit(1);
    if (content_of(folder + "log_test_of_child.txt").find("from the child") == std::string::npos) std::_Exit(1);
    std::remove((folder + "log_test_of_child.txt").c_str());
  });
  EXPECT_THAT(content, HasSubstr("from the child\n"));
}

// --- JSON ----------------------------------------------------------------------------------------------------------------

TEST(LogJsonTest, EachLineIsOneOfJson) {
  const std::string path = ::testing::TempDir() + "log_test_lines.json";
  std::remove(path.c_str());
  log::set_sink(log::json_lines(path));
  {
    log::Extra outer("client", "17");
    log::Extra inner("client", "\"18\"\n");
    log::Extra other("path", "C:\\tmp");
    log::warning("it's\nhere\x01 caf\xc3\xa9 \xe2\x80\xa8 \xc2\x9b cut \xc3");
  }
  log::info("second");
  log::set_sink({});
  const std::string content = content_of(path);
  std::remove(path.c_str());
  EXPECT_THAT(content, ::testing::MatchesRegex(
      "\\{\"time\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z\",\"level\":\"warning\",\"context\":\"[^\"]*\","
      "\"text\":\"it's\\\\nhere\\\\u0001 caf\xc3\xa9 \\\\u2028 \\\\u009b cut \\\\ufffd\","
      "\"extras\":\\{\"client\":\"\\\\\"18\\\\\"\\\\n\",\"path\":\"C:\\\\\\\\tmp\"\\}\\}\n"
      "\\{\"time\":[^\n]*\"text\":\"second\",\"extras\":\\{\\}\\}\n"));
}

TEST(LogJsonTest, AFileThatCannotBeOpenedIsNamed) {
  try {
    static_cast<void>(log::json_lines("/proc/no such folder/log.json"));
    FAIL() << "it was opened";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("/proc/no such folder/log.json"));
  }
}

// --- what it waits for ---------------------------------------------------------------------------------------------------

char state_of(long thread_id) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread_id) + "/stat");
  std::string content(std::istreambuf_iterator<char>(file), {});
  const auto end_of_name = content.rfind(')');
  return end_of_name == std::string::npos || end_of_name + 2 >= content.size() ? '?' : content[end_of_name + 2];
}

// The limit of 100,000 waiting lines, and one more.
TEST(LogLimitTest, WhoFindsAHundredThousandLinesWaitingWaitsAndNothingIsLost) {
  constexpr int kMaxWaiting = 100'000;
  constexpr int kLines = kMaxWaiting + 1'000;
  std::atomic<int> begun{0};
  std::atomic<int> written{0};
  std::atomic<int> most_waiting{0};
  std::atomic<long> writer{0};
  log::set_sink([&](const log::Line& line) {
    // The first line is held up until the writer sleeps, or, without a limit, has logged all.
    if (written == 0) testing::await([&] { return begun == kLines || (begun >= kMaxWaiting - 1 && state_of(writer) == 'S'); });
    most_waiting = std::max<int>(most_waiting, begun - written);
    EXPECT_EQ(line.text, std::to_string(written));
    ++written;
  });
  Thread::run("writer", [&](Signal) {
    writer = syscall(SYS_gettid);
    for (int i = 0; i < kLines; ++i) {
      ++begun;
      log::info("{}", i);
    }
  }).join();
  log::set_sink({});
  EXPECT_EQ(written, kLines);
  EXPECT_GE(most_waiting, kMaxWaiting);
  EXPECT_LE(most_waiting, kMaxWaiting + 1);
}

// --- extras --------------------------------------------------------------------------------------------------------------

// Theirs: test_logging_extras.
TEST(LogExtraTest, ThreadsInheritACopyAndWhatTheyAddDoesNotComeBack) {
  LogLines lines;
  {
    log::Extra request("request", "17");
    Thread::run("child", [](Signal) {
      log::info("child, before");
      log::Extra step("step", "2");
      log::info("child, inside");
    }).join();
    log::info("parent, inside");
  }
  log::info("parent, outside");
  std::map<std::string, std::string> extras;
  for (const log::Line& line : lines.take()) extras[line.text] = log::to_string(line.extras);
  EXPECT_EQ(extras["child, before"], "request=17");
  EXPECT_EQ(extras["child, inside"], "request=17 step=2");
  EXPECT_EQ(extras["parent, inside"], "request=17");
  EXPECT_EQ(extras["parent, outside"], "");
}

TEST(LogExtraTest, TheyNest) {
  LogLines lines;
  log::Extra a("a", "1");
  {
    log::Extra b("b", "2");
    log::info("inner");
  }
  log::info("outer");
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 2U);
  EXPECT_THAT(logged[0].extras, ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_THAT(logged[1].extras, ElementsAre(Pair("a", "1")));
}

TEST(LogExtraTest, AChildKeepsItsCopyWhenTheParentsScopeHasEnded) {
  LogLines lines;
  std::latch scope_has_ended(1);
  ThreadHandle<void> child;
  {
    log::Extra extra("a", "1");
    child = Thread::run("child", [&](Signal) {
      scope_has_ended.wait();
      log::info("line");
    });
  }
  scope_has_ended.count_down();
  child.join();
  const auto logged = lines.take();
  ASSERT_EQ(logged.size(), 1U);
  EXPECT_THAT(logged[0].extras, ElementsAre(Pair("a", "1")));
}

// The original's test_context_loggers: the extras of two threads never mix.
TEST(LogExtraTest, ThoseOfTwoThreadsNeverMix) {
  LogLines lines;
  std::vector<ThreadHandle<void>> threads;
  for (const char* name : {"a", "b"}) {
    threads.push_back(Thread::run(name, [name](Signal) {
      for (int i = 0; i < 100; ++i) {
        log::Extra extra("who", name);
        log::info("line");
      }
    }));
  }
  join_all(threads);
  const auto logged = lines.take();
  EXPECT_EQ(logged.size(), 200U);
  for (const log::Line& line : logged) EXPECT_EQ(log::to_string(line.extras), "who=" + line.context);
}

// --- what an exception says ----------------------------------------------------------------------------------------------

template <typename Throw>
std::string described(Throw do_throw) {
  try {
    do_throw();
  } catch (...) {
    return log::describe(std::current_exception());
  }
  return "nothing was thrown";
}

TEST(LogDescribeTest, SaysWhatAnExceptionSays) {
  EXPECT_EQ(described([] { throw std::runtime_error("no bread"); }), "no bread");
  EXPECT_EQ(described([] { throw std::string("a string"); }), "a string");
  EXPECT_EQ(described([] { throw "characters"; }), "characters");
  EXPECT_EQ(log::describe(nullptr), "no exception");
}

TEST(LogDescribeTest, NamesTheTypeOfWhatSaysNothing) {
  struct Crumb {};
  EXPECT_THAT(described([] { throw 5; }), HasSubstr("int"));
  EXPECT_THAT(described([] { throw Crumb(); }), HasSubstr("Crumb"));
}

TEST(LogDescribeTest, FollowsNestedOnes) {
  const auto nested = [] {
    try {
      try {
        throw std::runtime_error("no flour");
      } catch (...) {
        std::throw_with_nested(std::runtime_error("no bread"));
      }
    } catch (...) {
      std::throw_with_nested(std::runtime_error("no lunch"));
    }
  };
  EXPECT_EQ(described(nested), "no lunch: no bread: no flour");
}

}  // namespace
}  // namespace mothreads
