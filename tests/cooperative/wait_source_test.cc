// Types that take part in wait_for_any() and wait_for_all() by WaitSource: threads, and types of users.

#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/wait_for.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

// Something that a program has of its own.
struct Reply {
  mothreads::Signal arrived = mothreads::Signal("the reply");
  int value = 0;
  int taken = 0;
};

}  // namespace

template <>
struct WaitSource<Reply> {
  static mothreads::Signal announced_by(const Reply& reply) { return reply.arrived; }
  static int take(Reply& reply) {
    ++reply.taken;
    return reply.value;
  }
  static std::string name(const Reply&) { return "reply"; }
};

namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Stopped;
using mothreads::Thread;
using mothreads::ThreadHandle;
using mothreads::Timedout;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As a thread without fibers, and as a fiber.
template <typename F>
void on_both(F f) {
  Thread::run("without fibers", [&](const Signal&) { f(); }).join();
  Thread::run("with fibers", [&](const Signal&) { spawn("waiter", [&] { f(); }).join(); }).join();
}

TEST(WaitSourceTest, TheFirstThreadThatEndsIsJoined) {
  on_both([] {
    Signal never;
    auto slow = Thread::run("slow", [](const Signal& please_stop) { please_stop.wait(); });
    auto quick = Thread::run("quick", [](const Signal&) { return 7; });
    const auto first = wait_for_any(std::tie(never, slow, quick));
    EXPECT_EQ(std::get<2>(first), 7);
    EXPECT_FALSE(quick.owns());
    EXPECT_TRUE(slow.owns());
  });
}

TEST(WaitSourceTest, AContainerOfThreads) {
  on_both([] {
    std::vector<ThreadHandle<int>> threads;
    for (int i = 0; i < 3; ++i) threads.push_back(Thread::run("worker", [i](const Signal&) { return i; }));
    EXPECT_THAT(wait_for_all(threads), ElementsAre(0, 1, 2));
    for (const auto& thread : threads) EXPECT_FALSE(thread.owns());
  });
}

TEST(WaitSourceTest, WhatAThreadThrewIsThrown) {
  on_both([] {
    auto bad = Thread::run("bad", [](const Signal&) { throw std::out_of_range("too far"); });
    EXPECT_THROW(wait_for_any(std::tie(bad)), std::out_of_range);
    EXPECT_FALSE(bad.owns());
  });
}

TEST(WaitSourceTest, WhenOneOfAllFailsTheOthersAreNotTaken) {
  on_both([] {
    auto good = Thread::run("good", [](const Signal&) { return 1; });
    auto bad = Thread::run("bad", [](const Signal&) { throw std::out_of_range("too far"); });
    Reply reply{.value = 3};
    reply.arrived.go();
    EXPECT_THROW(wait_for_all(std::tie(good, reply, bad)), std::out_of_range);
    EXPECT_EQ(reply.taken, 0);
    EXPECT_EQ(good.join(), 1);
    EXPECT_THROW(bad.join(), std::out_of_range);  // it has its failure still
  });
}

TEST(WaitSourceTest, ATypeOfAUserIsTakenOnceItIsAnnounced) {
  on_both([] {
    Reply reply{.value = 3};
    ThreadedEventQueue<int> queue;
    EXPECT_THROW(wait_for_any(std::tie(reply, queue), absl::ZeroDuration()), Timedout);
    EXPECT_THROW(wait_for_any(std::tie(reply, queue), DONE), Stopped);
    EXPECT_EQ(reply.taken, 0);
    auto other = Thread::run("other", [&](const Signal&) { reply.arrived.go(); });
    EXPECT_EQ(std::get<0>(wait_for_any(std::tie(reply, queue))), 3);
    EXPECT_EQ(reply.taken, 1);
    queue.signal(5);
    EXPECT_EQ(wait_for_all(std::tie(queue, reply)), std::tuple(5, 3));
  });
}

TEST(WaitSourceTest, OneThatIsNamedTwiceIsMisuse) {
  Reply reply;
  reply.arrived.go();
  EXPECT_THAT(what_of<Misuse>([&] { wait_for_all(std::tie(reply, reply)); }), HasSubstr("given reply twice"));
  EXPECT_EQ(reply.taken, 0);
}

TEST(WaitSourceTest, TheLimitNamesTheOne) {
  auto slow = Thread::run("slow", [](const Signal& please_stop) { please_stop.wait(); });
  EXPECT_THAT(what_of<Timedout>([&] { wait_for_any(std::tie(slow), absl::ZeroDuration()); }), HasSubstr("thread \"slow\""));
}

}  // namespace
}  // namespace cooperative
