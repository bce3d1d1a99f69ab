// The output of a process: as the process is stopped, when a limit comes, past its end, to a terminal.

#include "cooperative/io/process.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/pipe.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/nothing_left_open.h"
#include "tests/support/exceptions.h"
#include "tests/support/program.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::advance_once_awaited;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ProcessOutputTest : public testing::NothingLeftOpen {
 protected:
  void TearDown() override {
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD) << "a child is left";
    NothingLeftOpen::TearDown();
  }

  static Process shell(std::string script, ProcessOptions options) { return Process({"sh", "-c", std::move(script)}, std::move(options)); }
  // Writes `last_words` when it is asked to end, and then exits with 3.
  static Process polite(const std::string& last_words, ProcessOptions options) {
    Process process = shell("sleep 1000 & trap 'kill $!; " + last_words + "; exit 3' TERM; echo ready; wait", std::move(options));
    EXPECT_EQ(*process.output().read_line(), "ready");
    return process;
  }
};

constexpr const char* kMuch = "yes x | head -c 300000; echo bye";

// A pipe was closed before the process was asked to end: it died of SIGPIPE.
TEST_F(ProcessOutputTest, WhatItWritesOnItsWayOutIsKept) {
  Process process = polite(std::string(kMuch) + "; echo oops >&2", {.output = Redirect::pipe(), .errors = Redirect::pipe()});
  process.stop();
  EXPECT_EQ(process.end(), ProcessEnd::exited(3));
  const auto [out, err, end] = process.communicate();
  EXPECT_THAT(out, AllOf(SizeIs(300004), EndsWith("x\nbye\n")));
  EXPECT_EQ(err, "oops\n");
  EXPECT_EQ(end, ProcessEnd::exited(3));
}

TEST_F(ProcessOutputTest, ItsReadersLoseNothingWhenItIsStopped) {
  Process process = polite("seq 1 20000", {.output = Redirect::pipe()});
  auto reader = spawn("reader", [&] {
    int next = 1;
    while (const ReceivedText line = process.output().read_line()) {
      EXPECT_EQ(*line, std::to_string(next));
      if (++next % 100 == 0) yield();
    }
    return next;
  });
  yield();
  process.stop();
  EXPECT_EQ(reader.join(), 20001);
}

TEST_F(ProcessOutputTest, ACommunicateGoesOnWhileItIsStopped) {
  Process process = polite(kMuch, {.output = Redirect::pipe()});
  auto talk = spawn("talk", [&] { return process.communicate(); });
  yield();
  process.stop();
  const Communicated all = talk.join();
  EXPECT_THAT(all.out, AllOf(SizeIs(300004), EndsWith("x\nbye\n")));
  EXPECT_EQ(all.end, ProcessEnd::exited(3));
}

TEST_F(ProcessOutputTest, ACommunicateThatStillFeedsGoesOnWhileItIsStopped) {
  Process process = polite(kMuch, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  auto talk = spawn("talk", [&] { return process.communicate(std::string(1 << 20, 'x')); });
  yield();
  process.stop();
  const Communicated all = talk.join();
  EXPECT_THAT(all.out, AllOf(SizeIs(300004), EndsWith("x\nbye\n")));
}

// Whoever was to read left: nobody looked at the pipe again, and the process was killed for the grace.
TEST_F(ProcessOutputTest, WhatAReaderLeavesIsKept) {
  Process process = polite("echo last; " + std::string(kMuch), {.output = Redirect::pipe(), .grace = absl::InfiniteDuration()});
  auto reader = spawn("reader", [&] { return *process.output().read_line(); });
  yield();
  process.stop();
  EXPECT_EQ(reader.join(), "last");
  EXPECT_EQ(process.end(), ProcessEnd::exited(3));
  EXPECT_THAT(*process.output().read_all(1 << 20), SizeIs(300004));
}

TEST_F(ProcessOutputTest, ReadersOfAProcessThatGoesGetClosed) {
  auto process = std::make_unique<Process>(std::vector<std::string>{"sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"}, ProcessOptions{.output = Redirect::pipe()});
  const std::string grandchild = *process->output().read_line();
  auto reader = spawn("reader", [&] { return process->output().read_line().why(); });
  auto talk = spawn("talk", [&] { process->communicate(); });
  yield();
  process.reset();
  EXPECT_THROW(reader.join(), Closed);
  EXPECT_THROW(talk.join(), Closed);
  EXPECT_EQ(::kill(std::stoi(grandchild), SIGKILL), 0);
}

TEST_F(ProcessOutputTest, OneThatAlwaysWritesIsKilledInTime) {
  LogLines lines;
  Process process({"sh", "-c", "trap '' TERM; echo ready; exec yes"}, {.output = Redirect::pipe(), .grace = absl::ZeroDuration()});
  EXPECT_EQ(*process.output().read_line(), "ready");
  process.stop();
  EXPECT_EQ(process.end(), ProcessEnd::killed(SIGKILL));
  EXPECT_LT(process.output().buffered().size(), 1U << 20);
}

TEST_F(ProcessOutputTest, TooMuchAtTheStopIsHeldBack) {
  LogLines lines;
  Process process = polite("yes", {.output = Redirect::pipe(), .grace = absl::Milliseconds(100), .max_output = 10'000});
  process.stop();
  EXPECT_EQ(process.end(), ProcessEnd::killed(SIGKILL));
  EXPECT_THAT(lines.with("it is killed"), SizeIs(1));
  // `yes` is the shell's child.
  EXPECT_EQ(process.output().buffered().size(), 10'000u);
  process.output().close();
}

TEST_F(ProcessOutputTest, ALimitNamesTheProcessAndWhatCameCanBeHad) {
  Process process({"sh", "-c", "echo some; cat"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  Signal limit;
  auto talk = spawn("talk", [&] { process.communicate(std::string(1 << 20, 'x'), limit); });
  while (process.take_collected().out.empty()) yield();
  limit.go();
  EXPECT_THAT(what_of<Stopped>([&] { talk.join(); }), AllOf(HasSubstr(process.name() + ": stopped before it had ended; "), HasSubstr("take_collected()")));
  EXPECT_THAT(what_of<Timedout>([&] { process.communicate({}, absl::ZeroDuration()); }), HasSubstr(process.name() + ": timed out before it had ended"));
}

TEST_F(ProcessOutputTest, AGrandchildCannotHoldUpCommunicate) {
  LogLines lines;
  on_virtual_time([](VirtualClock& clock) {
    const auto begin = clock.now();
    Process process = shell("sleep 1000 & echo $!", {.output = Redirect::pipe(), .pipe_grace = absl::Seconds(3)});
    auto advancer = advance_once_awaited(clock, absl::Seconds(3));
    const auto [out, err, end] = process.communicate();
    EXPECT_EQ(end, ProcessEnd::exited(0));
    EXPECT_EQ(clock.now() - begin, std::chrono::seconds(3));
    ASSERT_FALSE(out.empty());
    EXPECT_EQ(::kill(std::stoi(out), SIGKILL), 0);
    advancer.join();
  });
  EXPECT_THAT(lines.with("3s after its end somebody else"), SizeIs(1));
}

TEST_F(ProcessOutputTest, AGrandchildThatAlwaysWritesCannotHoldUpCommunicate) {
  LogLines lines;
  Process process = shell("yes & echo $! >&2", {.output = Redirect::pipe(), .errors = Redirect::pipe(), .pipe_grace = absl::ZeroDuration()});
  const auto [out, err, end] = process.communicate();
  EXPECT_TRUE(end);
  EXPECT_LT(out.size(), kDefaultMaxOutput);
  EXPECT_THAT(lines.with("after its end somebody else"), SizeIs(1));
}

TEST_F(ProcessOutputTest, ATerminalIsOneAndItsEndIsTheEnd) {
  const std::string script = "test -t 1 && echo one; test -t 2 && echo two >&2; printf 'a\\nb'";
  const auto [out, err, end] = shell(script, {.output = Redirect::terminal(), .errors = Redirect::terminal()}).communicate();
  EXPECT_EQ(out, "one\na\nb");
  EXPECT_EQ(err, "two\n");
  EXPECT_TRUE(end);
}

TEST_F(ProcessOutputTest, MuchComesThroughATerminal) {
  const auto [out, err, end] = shell("seq 1 50000", {.output = Redirect::terminal()}).communicate();
  EXPECT_THAT(out, AllOf(SizeIs(288894), EndsWith("\n49999\n50000\n")));
}

TEST_F(ProcessOutputTest, AnInputIsNoTerminal) {
  EXPECT_THAT(what_of<Misuse>([] { Process process({"true"}, {.input = Redirect::terminal()}); }), HasSubstr("give it Redirect::pipe()"));
}

constexpr const char* kParent = "tests/cooperative/io/programs/parent_program";

// A process that is being started at the sudden end was left behind: it held the program's output open, and the test waited for ever.
TEST_F(ProcessOutputTest, NoneIsLeftBehindThatIsBeingStarted) {
  for (int round = 0; round < 10; ++round) {
    mothreads::testing::Program program(kParent, {"never", "many"});
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
