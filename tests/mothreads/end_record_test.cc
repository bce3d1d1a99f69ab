#include "mothreads/end_record.h"

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::SizeIs;
using testing::until_stopped;

class EndRecordTest : public testing::NothingLeft {};

std::string what_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  }
}

TEST_F(EndRecordTest, AThreadThatReturns) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  const Instant start = clock.now();
  Signal end;
  auto thread = Thread::run("reader", [&](Signal) {
    end.wait();
    return 7;
  });
  const Member member = thread;
  EXPECT_FALSE(member.end().has_value());
  clock.advance(absl::Seconds(3));
  end.go();
  EXPECT_EQ(thread.join(), 7);
  const EndRecord record = member.end().value();
  EXPECT_EQ(record.how, How::returned);
  EXPECT_EQ(record.kind, MemberKind::thread);
  EXPECT_EQ(record.name, "reader");
  EXPECT_EQ(record.id, member.id());
  EXPECT_EQ(record.under, Thread::current().name());
  EXPECT_EQ(record.exception, nullptr);
  EXPECT_EQ(record.began, start);
  EXPECT_EQ(record.lasted(), absl::Seconds(3));
}

TEST_F(EndRecordTest, AThreadThatThrowsGivesWhatItThrewAlsoAfterTheJoin) {
  auto thread = Thread::run("reader", [](Signal) { throw std::runtime_error("connection refused"); });
  const Thread look = thread.thread();
  EXPECT_THROW(thread.join(), std::runtime_error);
  const EndRecord record = look.end().value();
  EXPECT_EQ(record.how, How::threw);
  EXPECT_EQ(what_of(record.exception), "connection refused");
}

TEST_F(EndRecordTest, TheRecordExistsBeforeStoppedGoes) {
  Signal begin;
  auto thread = Thread::run("reader", [&](Signal) {
    begin.wait();
    throw std::runtime_error("refused");
  });
  const Member member = thread;
  std::optional<EndRecord> seen;
  thread.stopped().then([&] { seen = member.end(); });
  begin.go();
  EXPECT_THROW(thread.join(), std::runtime_error);
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->how, How::threw);
}

TEST_F(EndRecordTest, AGroupJoinsWithTheRecordsOfThoseThatFailed) {
  ThreadGroup group("workers");
  group.run("good", [](Signal) {});
  group.run("bad", [](Signal) { throw std::runtime_error("no disk"); });
  try {
    group.join();
    FAIL();
  } catch (const ThreadsFailed& failed) {
    ASSERT_THAT(failed.ends(), SizeIs(1));
    EXPECT_EQ(failed.ends()[0].name, "bad");
    EXPECT_EQ(failed.ends()[0].under, "workers");
    EXPECT_EQ(what_of(failed.ends()[0].exception), "no disk");
  }
}

TEST_F(EndRecordTest, JoinAllHasTheRecordsOfThoseThatEnded) {
  std::vector<ThreadHandle<void>> handles;
  handles.push_back(Thread::run("bad", [](Signal) { throw std::runtime_error("no disk"); }));
  handles.push_back(Thread::run("late", [](Signal please_stop) { please_stop.wait(); }));
  handles[0].stopped().wait();
  try {
    join_all(handles, absl::ZeroDuration());
    FAIL();
  } catch (const ThreadsFailed& failed) {
    ASSERT_THAT(failed.ends(), SizeIs(1));
    EXPECT_EQ(failed.ends()[0].name, "bad");
    ASSERT_THAT(failed.late(), SizeIs(1));
    EXPECT_EQ(failed.late()[0].name(), "late");
    EXPECT_STREQ(failed.what(), "2 threads failed: \"bad\": no disk; \"late\": has not ended in time");
  }
}

TEST_F(EndRecordTest, AGroupEndsWithItsScope) {
  Member member;
  {
    ThreadGroup group("workers");
    group.run("worker", until_stopped);
    member = group;
    EXPECT_EQ(member.kind(), MemberKind::thread_group);
    EXPECT_FALSE(member.end().has_value());
  }
  EXPECT_EQ(member.end().value().how, How::returned);
  EXPECT_TRUE(member.stopped());
}

}  // namespace
}  // namespace mothreads
