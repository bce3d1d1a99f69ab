#include "mothreads/member.h"

#include <cstddef>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::until_stopped;

class MemberTest : public testing::NothingLeft {};

TEST_F(MemberTest, EveryHandleConverts) {
  auto handle = Thread::run("reader", until_stopped);
  ThreadGroup group("group");
  const Member of_handle = handle;
  const Member of_thread = handle.thread();
  const Member of_group = group;
  EXPECT_EQ(of_handle, of_thread);
  EXPECT_FALSE(of_handle == of_group);
  EXPECT_EQ(of_handle.name(), "reader");
  EXPECT_EQ(of_handle.id(), handle.thread().id());
  EXPECT_EQ(of_handle.kind(), MemberKind::thread);
  EXPECT_EQ(to_string(of_group.kind()), "group");
  EXPECT_TRUE(of_handle.is_alive());
}

TEST_F(MemberTest, ItStopsWhatItRefersTo) {
  auto handle = Thread::run("reader", until_stopped);
  const Member member = handle;
  member.stop().stopped().wait();
  EXPECT_TRUE(member.please_stop());
  EXPECT_FALSE(member.is_alive());
  handle.join();
}

TEST_F(MemberTest, ItKeepsNothingRunning) {
  Member member;
  {
    auto handle = Thread::run("reader", until_stopped);
    member = handle;
  }
  EXPECT_FALSE(member.is_alive());
  EXPECT_EQ(member.name(), "reader");
}

TEST_F(MemberTest, ParentsAndChildren) {
  ThreadGroup cameras("cameras");
  auto reader = Thread::run({.name = "reader", .parent = cameras}, until_stopped);
  const Member member = reader;
  EXPECT_EQ(member.parent().value(), Member(cameras));
  EXPECT_EQ(member.parent()->parent().value(), Member(Thread::current()));
  const Thread second = cameras.run({.name = "second", .stack_size = std::size_t{128} * 1024}, until_stopped);
  const std::vector<Member> children = Member(cameras).children();
  ASSERT_THAT(children, SizeIs(2));
  EXPECT_EQ(children[0], member);
  EXPECT_EQ(children[1], Member(second));
  EXPECT_THAT(member.children(), IsEmpty());
}

TEST_F(MemberTest, AGroupMayHaveAParentOfItsOwn) {
  ThreadGroup outer("outer");
  ThreadGroup inner("inner", {.parent = outer});
  EXPECT_EQ(Member(inner).parent().value(), Member(outer));
  EXPECT_EQ(inner.name(), "inner");
}

TEST_F(MemberTest, AThreadMayBeTheParentOfAGroup) {
  auto reader = Thread::run("reader", until_stopped);
  {
    ThreadGroup group("group", {.parent = reader});
    EXPECT_EQ(Member(group).parent().value(), Member(reader));
    EXPECT_THAT(Member(reader).children(), SizeIs(1));
  }
  EXPECT_THAT(Member(reader).children(), IsEmpty());
}

TEST_F(MemberTest, AnEmptyOneIsMisuse) {
  const Member member;
  EXPECT_TRUE(member.is_empty());
  EXPECT_THROW(static_cast<void>(member.name()), Misuse);
  EXPECT_THROW(static_cast<void>(member.end()), Misuse);
  EXPECT_THROW(member.stop(), Misuse);
}

TEST_F(MemberTest, TheKindOfTheMainThread) {
  EXPECT_EQ(Member(MainThread::thread()).kind(), MemberKind::main);
  EXPECT_FALSE(Member(MainThread::thread()).parent().has_value());
}

}  // namespace
}  // namespace mothreads
