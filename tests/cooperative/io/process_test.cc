#include "cooperative/io/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/pipe.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/wait_for.h"
#include "cooperative/with_timeout.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/nothing_left_open.h"
#include "tests/support/exceptions.h"
#include "tests/support/program.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::VirtualClock;
using mothreads::testing::advance_once_awaited;
using mothreads::testing::on_virtual_time;
using mothreads::testing::what_of;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// What is started here has gone, and left no zombie.
class ProcessTest : public testing::NothingLeftOpen {
 protected:
  void TearDown() override {
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD) << "a child is left";
    NothingLeftOpen::TearDown();
  }

  static Process shell(std::string script, ProcessOptions options = {}) {
    return Process({"sh", "-c", std::move(script)}, std::move(options));
  }
  // What it writes to its standard output.
  static std::string output_of(std::vector<std::string> command, ProcessOptions options = {}) {
    options.output = Redirect::pipe();
    return Process(std::move(command), std::move(options)).communicate().out;
  }
  // Does not end when it is asked to, and says when it is so far.
  static Process stubborn(absl::Duration grace) {
    Process process = shell("trap '' TERM; echo ready; exec sleep 1000", {.output = Redirect::pipe(), .grace = grace});
    EXPECT_EQ(*process.output().read_line(), "ready");
    return process;
  }
  static bool is_there(pid_t pid) { return ::kill(pid, 0) == 0; }
};

// --- ends --------------------------------------------------------------------------------------------------------------------

TEST_F(ProcessTest, OneThatExitsWithZeroHasDoneWell) {
  Process process({"true"});
  const ProcessEnd end = process.wait();
  EXPECT_TRUE(end);
  EXPECT_EQ(end, ProcessEnd::exited(0));
  EXPECT_EQ(process.wait(), end) << "again";
  EXPECT_EQ(process.end(), end);
}

TEST_F(ProcessTest, ItsExitCodeIsGiven) {
  const ProcessEnd end = shell("exit 3").wait();
  EXPECT_FALSE(end);
  EXPECT_EQ(end.code(), 3);
  EXPECT_EQ(end.signal(), std::nullopt);
  EXPECT_EQ(end.to_string(), "exited with 3");
}

TEST_F(ProcessTest, TheSignalThatKilledItIsGiven) {
  const ProcessEnd end = shell("kill -9 $$").wait();
  EXPECT_FALSE(end);
  EXPECT_EQ(end.signal(), SIGKILL);
  EXPECT_EQ(end.code(), std::nullopt);
  EXPECT_EQ(end.to_string(), "killed by signal 9");
}

TEST_F(ProcessTest, ALimitLeavesItRunning) {
  Process process({"cat"}, {.input = Redirect::pipe()});
  EXPECT_THAT(what_of<Timedout>([&] { process.wait(absl::ZeroDuration()); }), HasSubstr(process.name() + ": timed out"));
  EXPECT_EQ(process.end(), std::nullopt);
  process.input().close();
  EXPECT_EQ(process.wait(), ProcessEnd::exited(0));
}

TEST_F(ProcessTest, ManyMayWaitForItsEnd) {
  Process process({"cat"}, {.input = Redirect::pipe()});
  std::vector<Fiber<ProcessEnd>> waiters;
  for (int i = 0; i < 3; ++i) waiters.push_back(spawn("waiter", [&] { return process.wait(); }));
  yield();
  process.input().close();
  for (auto& waiter : waiters) EXPECT_EQ(waiter.join(), ProcessEnd::exited(0));
}

TEST_F(ProcessTest, OthersRunWhileAFiberWaits) {
  Process process({"cat"}, {.input = Redirect::pipe()});
  auto other = spawn("other", [&] {
    for (int i = 0; i < 5; ++i) yield();
    process.input().close();
  });
  EXPECT_TRUE(process.wait());
  other.join();
}

TEST_F(ProcessTest, ItsEndIsOneOfSeveralThings) {
  Process first({"cat"}, {.input = Redirect::pipe()});
  Process second({"cat"}, {.input = Redirect::pipe()});
  second.input().close();
  Readable ends[]{Readable(first.descriptor()), Readable(second.descriptor())};
  EXPECT_EQ(wait_for_any(std::tie(ends[0], ends[1])).index(), 1u);
  EXPECT_TRUE(second.wait(absl::ZeroDuration()));
}

TEST_F(ProcessTest, ASignalReachesIt) {
  Process process({"cat"}, {.input = Redirect::pipe()});
  EXPECT_TRUE(process.signal(SIGUSR1));
  EXPECT_EQ(process.wait(), ProcessEnd::killed(SIGUSR1));
  EXPECT_FALSE(process.signal(SIGUSR1)) << "it has ended";
  EXPECT_FALSE(process.terminate());
  EXPECT_FALSE(process.kill());
}

// --- what it begins with -----------------------------------------------------------------------------------------------------

TEST_F(ProcessTest, ItGetsItsArgumentsAsTheyAre) {
  EXPECT_EQ(output_of({"printf", "%s|", "a b", "", "$HOME", "ü\n"}), "a b||$HOME|ü\n|");
}

TEST_F(ProcessTest, ItGetsThisProcessEnvironmentAndMore) {
  ASSERT_EQ(setenv("PROCESS_TEST_OURS", "kept", 1), 0);
  ASSERT_EQ(setenv("PROCESS_TEST_ANOTHER", "old", 1), 0);
  EXPECT_EQ(output_of({"sh", "-c", "echo $PROCESS_TEST_OURS $PROCESS_TEST_ANOTHER $PROCESS_TEST_NEW"},
                      {.extra_environment = {{"PROCESS_TEST_ANOTHER", "replaced"}, {"PROCESS_TEST_NEW", "new"}}}),
            "kept replaced new\n");
}

TEST_F(ProcessTest, ItGetsAnEnvironmentOfItsOwn) {
  EXPECT_EQ(output_of({"env"}, {.environment = Environment{{"A", "1"}}, .extra_environment = {{"B", "x=y"}}}), "A=1\nB=x=y\n");
}

TEST_F(ProcessTest, ItBeginsInADirectory) { EXPECT_EQ(output_of({"pwd"}, {.directory = "/usr"}), "/usr\n"); }

TEST_F(ProcessTest, ItsErrorsGoWhereItsOutputGoes) {
  EXPECT_EQ(output_of({"sh", "-c", "echo out; echo err >&2; echo out"}, {.errors = Redirect::to_output()}), "out\nerr\nout\n");
}

TEST_F(ProcessTest, NothingIsNothing) {
  EXPECT_EQ(output_of({"cat"}, {.input = Redirect::null()}), "");
  EXPECT_TRUE(shell("echo x; echo y >&2", {.output = Redirect::null(), .errors = Redirect::null()}).wait());
}

TEST_F(ProcessTest, AGivenDescriptorStaysTheCallers) {
  auto [reader, writer] = make_pipe();
  EXPECT_TRUE(shell("echo out; echo err >&2", {.output = Redirect::descriptor(writer.native()), .errors = Redirect::descriptor(writer.native())}).wait());
  EXPECT_TRUE(writer.is_open());
  writer.close();
  EXPECT_EQ(*reader.read_all(100), "out\nerr\n");
}

TEST_F(ProcessTest, ThePlacesOfTheStandardStreamsMayBeExchanged) {
  const int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  const int output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(dup2(ends[0], STDOUT_FILENO), STDOUT_FILENO);
  ASSERT_EQ(dup2(ends[1], STDIN_FILENO), STDIN_FILENO);
  ASSERT_EQ(::write(ends[1], "x\n", 2), 2);
  const ProcessEnd end = shell("read line; echo $line$line",
                               {.input = Redirect::descriptor(STDOUT_FILENO), .output = Redirect::descriptor(STDIN_FILENO)}).wait();
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  char text[8];
  EXPECT_EQ(end, ProcessEnd::exited(0));
  EXPECT_EQ(std::string(text, static_cast<std::size_t>(::read(ends[0], text, sizeof text))), "xx\n");
  for (const int descriptor : {input, output, ends[0], ends[1]}) ::close(descriptor);
}

TEST_F(ProcessTest, ItHasNoOtherDescriptor) {
  const int high = fcntl(STDIN_FILENO, F_DUPFD, 77);  // would be inherited
  EXPECT_EQ(output_of({"sh", "-c", "test -e /proc/self/fd/" + std::to_string(high) + " && echo open || echo closed"}), "closed\n");
  ::close(high);
}

TEST_F(ProcessTest, ItBlocksAndIgnoresNoSignals) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  ::signal(SIGUSR2, SIG_IGN);
  const std::string status = output_of({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"});
  ::signal(SIGUSR2, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(ProcessTest, ItsInputBlocksAsProgramsExpect) {
  auto [reader, writer] = make_pipe();
  Process process({"head", "-n", "1"}, {.input = Redirect::take(std::move(reader)), .output = Redirect::pipe()});
  for (int i = 0; i < 3; ++i) yield();
  writer.write_all("late\n");
  EXPECT_EQ(*process.output().read_line(), "late");
  EXPECT_TRUE(process.wait());
}

// --- what cannot be started --------------------------------------------------------------------------------------------------

TEST_F(ProcessTest, AProgramThatIsNotThereIsNamed) {
  try {
    Process process({"/no/such/program", "x"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error.what(), HasSubstr("program \"/no/such/program\": cannot start it"));
  }
}

TEST_F(ProcessTest, WhatIsNoProgramIsNamed) {
  EXPECT_THAT(what_of<IoError>([] { static_cast<void>(Process({"/etc/passwd"})); }), HasSubstr("program \"/etc/passwd\": cannot start it: Permission denied"));
}

TEST_F(ProcessTest, ADirectoryThatIsNotThereIsNamed) {
  EXPECT_THAT(what_of<IoError>([] { static_cast<void>(Process({"true"}, {.directory = "/no/such"})); }), HasSubstr("cannot start it in \"/no/such\""));
}

TEST_F(ProcessTest, ADescriptorThatIsNotOpenIsNamed) {
  EXPECT_THAT(what_of<IoError>([] { static_cast<void>(Process({"true"}, {.output = Redirect::descriptor(777)})); }),
              HasSubstr("program \"true\": cannot give it descriptor 777 as standard output"));
}

TEST_F(ProcessTest, MisuseIsRefusedBeforeAnythingIsStarted) {
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(Process(std::vector<std::string>{})); }), HasSubstr("needs a command"));
  const std::string bad("a\0b", 3);
  const std::pair<std::function<Process()>, const char*> zeros[]{
      {[&] { return Process({"echo", bad}); }, "program \"echo\" was given \"a\\x00b\" as an argument, with a zero byte"},
      {[&] { return Process({bad}); }, "program \"a\\x00b\" was given \"a\\x00b\" as an argument"},
      {[&] { return Process({"true"}, {.extra_environment = {{"NAME", bad}}}); }, "program \"true\" was given \"NAME=a\\x00b\" as a variable"},
      {[&] { return Process({"true"}, {.environment = Environment{{bad, "x"}}}); }, "program \"true\" was given \"a\\x00b=x\" as a variable"},
      {[&] { return Process({"true"}, {.directory = std::string("/\0tmp", 5)}); }, "was given \"/\\x00tmp\" as the directory to begin in"},
  };
  for (const auto& [start, why] : zeros) EXPECT_THAT(what_of<Misuse>([&start = start] { static_cast<void>(start()); }), HasSubstr(why));
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(Process({"true"}, {.extra_environment = {{"A=B", "x"}}})); }), HasSubstr("\"A=B\" cannot be the name"));
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(Process({"true"}, {.output = Redirect::to_output()})); }), HasSubstr("only a process' errors"));
  EXPECT_THAT(what_of<Misuse>([] { Redirect::take(Pipe()); }), HasSubstr("a closed pipe"));
}

TEST_F(ProcessTest, IgnoredChildrenAreRefused) {
  ::signal(SIGCHLD, SIG_IGN);
  EXPECT_THAT(what_of<Misuse>([] { static_cast<void>(Process({"true"})); }), HasSubstr("SIGCHLD is ignored"));
  ::signal(SIGCHLD, SIG_DFL);
}

TEST_F(ProcessTest, InATestWorldItIsMisuse) {
  cooperative::testing::World world({.seed = 1});
  world.run([] { EXPECT_THROW(static_cast<void>(Process({"true"})), Misuse); });
}

TEST_F(ProcessTest, AStreamThatIsNoPipeIsNamed) {
  Process process({"true"});
  EXPECT_THAT(what_of<Misuse>([&] { process.output(); }), HasSubstr("its standard output is no pipe to here"));
  EXPECT_THAT(what_of<Misuse>([&] { process.communicate("x"); }), HasSubstr("its standard input is no pipe to here"));
  process.wait();
  Process moved = std::move(process);
  EXPECT_THAT(what_of<Misuse>([&] { process.wait(); }), HasSubstr("owns none"));  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(process.owns());
  EXPECT_EQ(moved.wait(), ProcessEnd::exited(0));
}

// --- nothing is left ---------------------------------------------------------------------------------------------------------

TEST_F(ProcessTest, LeavingTheScopeEndsIt) {
  pid_t pid = 0;
  {
    Process process({"sleep", "1000"});
    pid = process.pid();
    EXPECT_TRUE(is_there(pid));
  }
  EXPECT_FALSE(is_there(pid));
}

TEST_F(ProcessTest, OneThatIsStoppedEnds) {
  Process process({"sleep", "1000"});
  process.signal(SIGSTOP);
  process.stop();
  EXPECT_EQ(process.wait(), ProcessEnd::killed(SIGTERM));
}

TEST_F(ProcessTest, ANewOneInItsPlaceEndsIt) {
  Process process({"sleep", "1000"});
  const pid_t first = process.pid();
  process = Process({"true"});
  EXPECT_FALSE(is_there(first));
  EXPECT_TRUE(process.wait());
}

TEST_F(ProcessTest, WithoutGraceItIsKilledAtOnce) {
  LogLines lines;
  pid_t pid = 0;
  {
    Process process = stubborn(absl::ZeroDuration());
    pid = process.pid();
  }
  EXPECT_FALSE(is_there(pid));
  EXPECT_THAT(lines.with("did not end when it was asked to: it is killed"), SizeIs(1));
}

TEST_F(ProcessTest, ItIsKilledWhenItsGraceIsOver) {
  LogLines lines;
  on_virtual_time([](VirtualClock& clock) {
    const auto begin = clock.now();
    Process process = stubborn(absl::Seconds(5));
    auto advancer = advance_once_awaited(clock, absl::Seconds(5));
    process.stop();
    EXPECT_EQ(process.wait(), ProcessEnd::killed(SIGKILL));
    EXPECT_EQ(clock.now() - begin, std::chrono::seconds(5));
    advancer.join();
  });
}

TEST_F(ProcessTest, ItIsKilledAtTheStopDeadlineIfThatComesBefore) {
  LogLines lines;
  mothreads::set_stop_deadline(absl::Seconds(2));
  on_virtual_time([](VirtualClock& clock) {
    Signal ready;
    auto owner = spawn("owner", [&ready](Signal please_stop) {
      Process process = stubborn(absl::Seconds(5));
      ready.go();
      please_stop.wait();
    });
    ready.wait();
    owner.stop();
    auto advancer = Thread::run("advancer", [&](Signal) {
      clock.await_timers(2);  // of who watches over the deadline, and of the scheduler asleep
      clock.advance(absl::Seconds(2));
    });
    owner.join();
    advancer.join();
  });
  mothreads::set_stop_deadline(mothreads::kDefaultStopDeadline);
}

TEST_F(ProcessTest, ACancelledFiberLeavesNone) {
  pid_t pid = 0;
  auto owner = spawn("owner", [&] {
    Process process({"sleep", "1000"});
    pid = process.pid();
    process.wait();
  });
  yield();
  owner.cancel();
  EXPECT_THROW(owner.join(), WasCancelled);
  EXPECT_GT(pid, 0);
  EXPECT_FALSE(is_there(pid));
}

TEST_F(ProcessTest, AThreadThatEndsLeavesNone) {
  const pid_t pid = Thread::run("owner", [](Signal) {
                      Process process({"sleep", "1000"});
                      return process.pid();
                    }).join();
  EXPECT_FALSE(is_there(pid));
}

// The shell's own child has the other end of the pipe as long as it lives.
TEST_F(ProcessTest, AGroupEndsWithItsLeader) {
  Process process = shell("sleep 1000 & echo started", {.output = Redirect::pipe(), .own_group = true});
  EXPECT_EQ(*process.output().read_line(), "started");
  EXPECT_TRUE(process.wait());
  EXPECT_EQ(process.output().read_line().why(), Why::closed);
}

// Nobody looked at the leader's end, and its child kept the pipe open: communicate() waited for the child.
TEST_F(ProcessTest, AGroupEndsWithItsLeaderAlsoWhileItsPipesAreRead) {
  const auto start = [] { return shell("sleep 1000 & echo started", {.output = Redirect::pipe(), .own_group = true}); };
  Process first = start();
  const auto [out, err, end] = first.communicate();
  EXPECT_EQ(out, "started\n");
  EXPECT_TRUE(end);
  Process second = start();
  EXPECT_EQ(*second.output().read_all(100), "started\n");
  Process third = start();
  Pipe output = third.take_output();
  Process moved = std::move(third);
  EXPECT_EQ(*output.read_all(100), "started\n");
  EXPECT_TRUE(moved.wait());
}

TEST_F(ProcessTest, AGroupThatGoesBeforeItIsWatched) {
  for (int i = 0; i < 3; ++i) {
    Process process = shell("sleep 1000 & sleep 1000", {.own_group = true});
    for (int turns = 0; turns < i; ++turns) yield();
  }
}

TEST_F(ProcessTest, AGroupIsAskedAsAWhole) {
  Process process = shell("sleep 1000 & echo started; wait", {.output = Redirect::pipe(), .own_group = true});
  EXPECT_EQ(*process.output().read_line(), "started");
  Pipe output = process.take_output();
  process.stop();
  EXPECT_EQ(output.read_line().why(), Why::closed);
}

TEST_F(ProcessTest, OnAnotherThreadItIsMisuse) {
  Process process({"cat"}, {.input = Redirect::pipe()});
  EXPECT_THROW(process.wait(absl::ZeroDuration()), Timedout);
  Thread::run("other", [&](Signal) { EXPECT_THROW(process.wait(), Misuse); }).join();
}

TEST_F(ProcessTest, WhoTakesItsEndAwayIsReported) {
  Process process({"true"});
  ASSERT_EQ(waitpid(process.pid(), nullptr, 0), process.pid());
  EXPECT_THAT(what_of<IoError>([&] { process.wait(); }), HasSubstr("cannot wait for its end: No child processes"));
  LogLines lines;
  process = {};
  EXPECT_THAT(lines.with("cannot learn how it has ended"), SizeIs(1));
}

// --- talking to it -----------------------------------------------------------------------------------------------------------

ProcessOptions all_pipes() { return {.input = Redirect::pipe(), .output = Redirect::pipe(), .errors = Redirect::pipe()}; }

TEST_F(ProcessTest, CommunicateGivesAllThatComes) {
  auto [out, err, end] = shell("cat; echo oops >&2; exit 2", all_pipes()).communicate("text");
  EXPECT_EQ(out, "text");
  EXPECT_EQ(err, "oops\n");
  EXPECT_EQ(end, ProcessEnd::exited(2));
}

TEST_F(ProcessTest, CommunicateFeedsAndReadsAtTheSameTime) {
  const std::string text(3 << 20, 'x');  // much more than the pipes hold
  const auto [out, err, end] = shell("tee /dev/stderr", all_pipes()).communicate(text);
  EXPECT_EQ(out, text);
  EXPECT_EQ(err, text);
  EXPECT_TRUE(end);
}

TEST_F(ProcessTest, OneThatReadsNothingIsNoError) {
  const auto [out, err, end] = shell("exec <&-; echo done", all_pipes()).communicate(std::string(1 << 20, 'x'));
  EXPECT_EQ(out, "done\n");
  EXPECT_TRUE(end);
}

TEST_F(ProcessTest, WhatALimitInterruptsGoesOn) {
  auto [its_gate, gate] = make_pipe();
  auto [told, tells] = make_pipe();
  Process process = shell("echo one; echo ready >&0; read word <&2; echo $word; exit 4",
                          {.input = Redirect::take(std::move(tells)), .output = Redirect::pipe(), .errors = Redirect::take(std::move(its_gate))});
  Signal limit;
  auto talk = spawn("talk", [&] { process.communicate({}, limit); });
  EXPECT_EQ(*told.read_line(), "ready");
  for (int i = 0; i < 3; ++i) yield();  // what was written before has been read
  limit.go();
  EXPECT_THROW(talk.join(), Stopped);
  gate.write_all("two\n");
  const auto [out, err, end] = process.communicate();
  EXPECT_EQ(out, "one\ntwo\n");
  EXPECT_EQ(end, ProcessEnd::exited(4));
}

TEST_F(ProcessTest, InputThatALimitInterruptsIsFedToItsEnd) {
  auto [its_gate, gate] = make_pipe();
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  Process process = shell("read word <&2; cat", {.input = Redirect::pipe(), .output = Redirect::pipe(), .errors = Redirect::take(std::move(its_gate))});
  Signal limit;
  auto talk = spawn("talk", [&] { process.communicate(text, limit); });
  for (int i = 0; i < 5; ++i) yield();  // the pipe is full
  limit.go();
  EXPECT_THROW(talk.join(), Stopped);
  EXPECT_THAT(what_of<Misuse>([&] { process.communicate("more"); }), HasSubstr("has not all been read"));
  gate.write_all("go\n");
  EXPECT_EQ(process.communicate().out, text);
}

TEST_F(ProcessTest, ItsOutputHasALimit) {
  const auto head = [](int bytes) {
    return Process({"head", "-c", std::to_string(bytes), "/dev/zero"}, {.output = Redirect::pipe(), .max_output = 100'000}).communicate().out.size();
  };
  EXPECT_EQ(head(100'000), 100'000u);
  EXPECT_THAT(what_of<TooLong>([&] { head(100'001); }), HasSubstr("more than 100000 bytes came from its standard output"));
}

TEST_F(ProcessTest, OnlyOneMayCommunicate) {
  Process process({"cat"}, {.input = Redirect::pipe(), .output = Redirect::pipe(), .errors = Redirect::pipe()});
  auto first = spawn("first", [&] { return process.communicate(std::string(1 << 20, 'x')).out.size(); });
  yield();
  EXPECT_THAT(what_of<Misuse>([&] { process.communicate(); }), HasSubstr("another fiber communicates with it"));
  EXPECT_EQ(first.join(), 1u << 20);
}

// pycos' pipe_grep: "grep | wc", fed line by line.
TEST_F(ProcessTest, AChainOfProcesses) {
  Process grep({"grep", "-i", "error"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  Process count({"wc", "-l"}, {.input = Redirect::take(grep.take_output()), .output = Redirect::pipe()});
  auto feeder = spawn("feeder", [&] {
    for (int i = 0; i < 1000; ++i) grep.input().write_all(i % 10 == 0 ? "an ERROR here\n" : "nothing to see\n");
    grep.input().close();
  });
  const ReceivedText counted = count.output().read_line();
  EXPECT_EQ(std::stoi(*counted), 100);
  EXPECT_EQ(count.output().read_line().why(), Why::closed);
  feeder.join();
  EXPECT_TRUE(grep.wait());
  EXPECT_TRUE(count.wait());
}

// pycos' pipe_csum: by communicate(), and by a feeder and a reader of one's own.
TEST_F(ProcessTest, ASumByCommunicateAndByFibersOfOnesOwn) {
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i >> 7);
  Process first({"cksum"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  const Communicated whole = first.communicate(text);
  EXPECT_TRUE(whole.end);

  Process second({"cksum"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  auto reader = spawn("reader", [&] { return *second.output().read_line(); });
  auto feeder = spawn("feeder", [&] {
    for (std::size_t at = 0; at < text.size(); at += 1024) second.input().write_all(std::string_view(text).substr(at, 1024));
    second.input().close();
  });
  feeder.join();
  EXPECT_EQ(reader.join() + "\n", whole.out);
  EXPECT_TRUE(second.wait());
  EXPECT_THAT(whole.out, HasSubstr(std::to_string(text.size())));
}

// --- processes of others -----------------------------------------------------------------------------------------------------

TEST_F(ProcessTest, AChildThatOthersMadeIsWaitedFor) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  EXPECT_EQ(wait_for_process(pid), ProcessEnd::exited(0));
  const pid_t another = fork();
  if (another == 0) _exit(7);
  EXPECT_EQ(wait_for_process(another), ProcessEnd::exited(7));
}

// shrapnel's with_timeout test.
TEST_F(ProcessTest, OnesOwnEndIsWaitedForInVain) {
  on_virtual_time([](VirtualClock& clock) {
    auto advancer = advance_once_awaited(clock, absl::Seconds(2));
    EXPECT_THROW(with_timeout(absl::Seconds(2), [] { return wait_for_process(getpid()); }), Timedout);
    advancer.join();
  });
  EXPECT_THROW(wait_for_process(getpid(), absl::ZeroDuration()), Timedout);
}

TEST_F(ProcessTest, AProcessThatIsNotThereIsNamed) {
  Process process({"true"});
  process.wait();
  EXPECT_THAT(what_of<IoError>([&] { wait_for_process(process.pid()); }),
              HasSubstr("process " + std::to_string(process.pid()) + ": cannot wait for its end: No such process"));
}

// --- an end without a stop ---------------------------------------------------------------------------------------------------

constexpr const char* kParent = "tests/cooperative/io/programs/parent_program";

// What is left behind would hold the program's output open, and the test would wait for its end for ever.
TEST_F(ProcessTest, NoneIsLeftBehindPastTheStopDeadline) {
  for (const char* const kind : {"alone", "group"}) {
    mothreads::testing::Program program(kParent, {"short", kind});
    program.await_output("runs\n");
    program.send_signal(SIGTERM);
    EXPECT_EQ(program.wait(), mothreads::kExitDidNotStop) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("thread \"stubborn\" waits for signal the answer that never comes"));
  }
}

TEST_F(ProcessTest, NoneIsLeftBehindByTheThirdSignal) {
  for (const char* const kind : {"alone", "group"}) {
    mothreads::testing::Program program(kParent, {"never", kind});
    program.await_output("runs\n");
    program.send_signal(SIGTERM);
    program.await_output("Stop requested by SIGTERM");
    program.send_signal(SIGTERM);
    program.await_output("SIGTERM a second time");
    program.send_signal(SIGTERM);
    EXPECT_EQ(program.wait(), 128 + SIGTERM) << program.output();
  }
}

}  // namespace
}  // namespace cooperative
