#include "mothreads/member.h"

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/sleep.h"
#include "mothreads/end_record.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/exceptions.h"
#include "tests/support/host.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::EndRecord;
using mothreads::How;
using mothreads::Member;
using mothreads::MemberKind;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FiberMemberTest : public ::testing::Test {};

TEST_F(FiberMemberTest, AFiberThatReturns) {
  on_virtual_time([](VirtualClock& clock) {
    Signal end;
    auto fiber = spawn("reader", [&] {
      end.wait();
      return 7;
    });
    const Member member = fiber;
    EXPECT_EQ(member.name(), "reader");
    EXPECT_EQ(member.kind(), MemberKind::fiber);
    EXPECT_EQ(member.id(), fiber.id());
    EXPECT_FALSE(member.end().has_value());
    EXPECT_TRUE(member.is_alive());
    yield();
    clock.advance(absl::Seconds(3));
    end.go();
    EXPECT_EQ(fiber.join(), 7);
    const EndRecord end_record = member.end().value();
    EXPECT_EQ(end_record.how, How::returned);
    EXPECT_EQ(end_record.under, Thread::current().name());
    EXPECT_EQ(end_record.lasted(), absl::Seconds(3));
    EXPECT_FALSE(member.is_alive());
    EXPECT_FALSE(member.parent().has_value());
  });
}

TEST_F(FiberMemberTest, AFiberThatThrowsGivesWhatItThrewAlsoAfterTheJoin) {
  auto fiber = spawn("reader", [] { throw std::runtime_error("refused"); });
  const Member member = fiber;
  EXPECT_THROW(fiber.join(), std::runtime_error);
  EXPECT_EQ(member.end().value().how, How::threw);
  EXPECT_THROW(std::rethrow_exception(member.end()->exception), std::runtime_error);
}

TEST_F(FiberMemberTest, AMemberThatIsMadeAfterTheEnd) {
  auto fiber = spawn("reader", [] { throw std::runtime_error("refused"); });
  yield();
  EXPECT_FALSE(fiber.is_alive());
  EXPECT_EQ(fiber.end().value().how, How::threw);
  const Member member = fiber;
  EXPECT_TRUE(member.stopped());
  EXPECT_THROW(fiber.join(), std::runtime_error);
  EXPECT_EQ(member.end().value().how, How::threw);
}

TEST_F(FiberMemberTest, AFiberThatIsCancelled) {
  auto fiber = spawn("waits", [] { Signal().wait(); });
  const Member member = fiber;
  yield();
  fiber.cancel();
  EXPECT_THROW(fiber.join(), WasCancelled);
  EXPECT_EQ(member.end().value().how, How::cancelled);
}

TEST_F(FiberMemberTest, AFiberThatIsUnwoundAtTheDeadlineIsKilled) {
  on_virtual_time([](VirtualClock& clock) {
    auto fiber = spawn("stubborn", [](const Signal&) { Signal().wait(); });
    const Member member = fiber;
    yield();
    fiber.stop();
    clock.advance(mothreads::kDefaultStopDeadline);
    EXPECT_THROW(fiber.join(), WasCancelled);
    EXPECT_EQ(member.end().value().how, How::killed);
  });
}

TEST_F(FiberMemberTest, TheRecordExistsBeforeStoppedGoes) {
  auto fiber = spawn("reader", [] { throw std::runtime_error("refused"); });
  const Member member = fiber;
  std::optional<EndRecord> seen;
  fiber.stopped().then([&] { seen = member.end(); });
  EXPECT_THROW(fiber.join(), std::runtime_error);
  EXPECT_EQ(seen.value().how, How::threw);
}

TEST_F(FiberMemberTest, GroupsGiveTheRecordsOfThoseThatFailed) {
  FiberGroup group("workers");
  group.spawn("good", [] {});
  group.spawn("bad", [] { throw std::runtime_error("no disk"); });
  try {
    group.join();
    FAIL();
  } catch (const FibersFailed& failed) {
    ASSERT_THAT(failed.ends(), SizeIs(1));
    EXPECT_EQ(failed.ends()[0].name, "bad");
    EXPECT_EQ(failed.ends()[0].how, How::threw);
    EXPECT_EQ(failed.ends()[0].under, "workers");
  }
}

TEST_F(FiberMemberTest, AGroupEndsWithItsScope) {
  std::optional<Member> member;
  {
    FiberGroup group("workers");
    group.spawn("worker", [] { Signal().wait(); });
    member = group;
    EXPECT_EQ(member->kind(), MemberKind::fiber_group);
    EXPECT_FALSE(member->end().has_value());
  }
  EXPECT_EQ(member->end().value().how, How::returned);
  EXPECT_TRUE(member->stopped());
}

TEST_F(FiberMemberTest, ParentsAndChildren) {
  FiberGroup group("workers");
  const Member of_group = group;
  Signal end;
  std::optional<Member> inner;
  auto outer = spawn({.name = "outer", .parent = of_group}, [&] {
    auto fiber = spawn("inner", [&] { end.wait(); });
    inner = fiber;
    end.wait();
  });
  yield();
  const Member member = outer;
  EXPECT_EQ(member.parent().value(), of_group);
  EXPECT_EQ(inner->parent().value(), member);
  EXPECT_EQ(of_group.parent().value(), Member(Thread::current()));
  ASSERT_THAT(of_group.children(), SizeIs(1));
  EXPECT_EQ(of_group.children()[0], member);
  ASSERT_THAT(member.children(), SizeIs(1));
  end.go();
  outer.join();
  EXPECT_THAT(of_group.children(), IsEmpty());
}

// Nothing calls itself once for each.
TEST_F(FiberMemberTest, TheMemberOfADeepFiber) {
  constexpr int kDepth = 2000;
  Signal end;
  std::optional<Member> deepest;
  std::function<void(int)> go_down = [&](int depth) {
    if (depth == 0) {
      end.wait();
      return;
    }
    auto fiber = spawn("level", go_down, depth - 1);
    if (depth == 1) deepest = fiber;
    fiber.join();
  };
  auto top = spawn("top", go_down, kDepth);
  while (!deepest) yield();
  int above = 0;
  for (std::optional<Member> at = deepest; at; at = at->parent()) ++above;
  EXPECT_GE(above, kDepth);
  end.go();
  top.join();
}

TEST_F(FiberMemberTest, AnotherThreadMayAskAndStop) {
  testing::Host host;
  std::optional<Member> member;
  Signal made;
  host.scheduler().callback([&] {
    auto fiber = spawn("reader", [](const Signal& please_stop) { please_stop.wait(); });
    member = fiber;
    fiber.release();
    made.go();
  });
  made.wait();
  EXPECT_EQ(member->name(), "reader");
  EXPECT_EQ(member->parent()->name(), "host");
  EXPECT_THROW(static_cast<void>(member->children()), Misuse);
  member->stop().stopped().wait();
  EXPECT_EQ(member->end().value().how, How::returned);
  host.end();
  EXPECT_EQ(member->name(), "reader");
  member->stop();  // nothing is there any more
}

TEST_F(FiberMemberTest, AThreadMayHaveAFiberForAParentAndIsItsThreads) {
  auto fiber = spawn("reader", [](const Signal& please_stop) { please_stop.wait(); });
  const Member member = fiber;
  auto thread = Thread::run({.name = "helper", .parent = member}, [](const Signal&) {});
  EXPECT_EQ(thread.thread().parent(), Thread::current());
  thread.join();
}

TEST_F(FiberMemberTest, AThreadIsNoParentOfAFiber) {
  const Member thread = Thread::current();
  EXPECT_THROW(static_cast<void>(spawn({.name = "reader", .parent = thread}, [] {})), Misuse);
  auto fiber = spawn("ended", [] {});
  const Member ended = fiber;
  fiber.join();
  EXPECT_THROW(static_cast<void>(spawn({.name = "reader", .parent = ended}, [] {})), Misuse);
}

TEST_F(FiberMemberTest, AFiberWithoutPleaseStopHasNone) {
  auto fiber = spawn("reader", [] {});
  EXPECT_THROW(static_cast<void>(Member(fiber).please_stop()), Misuse);
  fiber.join();
}

}  // namespace
}  // namespace cooperative
