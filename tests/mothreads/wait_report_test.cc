// Member::waits_on(): what a thread waits on, seen by another.

#include "mothreads/wait_report.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/member.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/sleeping.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;

class WaitReportTest : public testing::NothingLeft {};

TEST_F(WaitReportTest, AMemberSaysWhatItsThreadWaitsOnAndSinceWhen) {
  Queue<int> numbers("numbers");
  auto popper = Thread::run("popper", [&](Signal) { static_cast<void>(numbers.pop()); });
  const Instant slept = await_sleeping(popper.thread(), "pops from queue numbers");
  const Member member = popper;
  const std::optional<WaitReport> report = member.waits_on();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->what, "pops from queue numbers");
  EXPECT_EQ(report->since, slept);
  numbers.add(1);
  popper.join();
  EXPECT_FALSE(member.waits_on());
}

TEST_F(WaitReportTest, AGroupWaitsOnNothing) {
  ThreadGroup group("group");
  group.run("member", testing::until_stopped);
  EXPECT_FALSE(Member(group).waits_on());
}

TEST_F(WaitReportTest, NoSystemCallOfTheThreadEndsBecauseSomebodyLooks) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  Signal polls;
  auto thread = Thread::run("polls", [&](Signal) {
    pollfd readable{.fd = ends[0], .events = POLLIN, .revents = 0};
    polls.go();
    return ::poll(&readable, 1, -1) == 1 ? 0 : errno;
  });
  polls.wait();
  const Member member = thread;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(member.waits_on());
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(thread.join(), 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace mothreads
