// Who is inside of a Lock that others wait to enter, as reports and looks say it.

#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/lock.h"
#include "mothreads/member.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/host.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Lock;
using mothreads::Member;
using mothreads::Signal;
using mothreads::Thread;
using testing::Host;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Of those that wait.
std::map<std::string, std::string> owners(const Scheduler& scheduler) {
  std::map<std::string, std::string> all;
  scheduler.look([&](const FiberLook& fiber) {
    if (!fiber.wait.empty()) all.emplace(fiber.name, fiber.owner);
  });
  return all;
}

std::string owner_of(const Member& member) {
  while (!member.waits_on()) yield();
  return member.waits_on()->owner;
}

TEST(LockOwnerTest, AFiberThatWaitsNamesTheOneInside) {
  Lock table("table");
  RLock shelf("shelf");
  Event<> go_on("go on");
  auto holder = spawn("holder", [&] {
    const Lock::Held inside = table.enter();
    const auto too = shelf.enter();
    go_on.wait();
  });
  yield();
  auto waiter = spawn("waiter", [&] { const Lock::Held inside = table.enter(); });
  auto reader = spawn("reader", [&] { const auto inside = shelf.enter(); });
  yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("holder", ""), Pair("waiter", "holder"), Pair("reader", "holder")));
  EXPECT_EQ(Member(waiter).waits_on()->what, "enters lock table");
  EXPECT_EQ(Member(waiter).waits_on()->owner, "holder");
  go_on.signal();
}

TEST(LockOwnerTest, AfterAHandOverItIsTheNext) {
  Lock table("table");
  RLock shelf("shelf");
  Event<> first_goes("first"), second_goes("second");
  const auto hold = [&](Event<>& until) {
    const Lock::Held inside = table.enter();
    const auto too = shelf.enter();
    until.wait();
  };
  auto first = spawn("first", [&] { hold(first_goes); });
  yield();
  auto second = spawn("second", [&] { hold(second_goes); });
  yield();
  auto third = spawn("third", [&] { const Lock::Held inside = table.enter(); });
  auto fourth = spawn("fourth", [&] { const auto inside = shelf.enter(); });
  yield();
  EXPECT_THAT(owners(Scheduler::current()),
              UnorderedElementsAre(Pair("first", ""), Pair("second", "first"), Pair("third", "first"), Pair("fourth", "first")));
  first_goes.signal();
  first.join();
  // The second is inside of the table; the fourth had the shelf first, and has left it.
  while (owners(Scheduler::current()).count("fourth") != 0) yield();
  yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("second", ""), Pair("third", "second")));
  second_goes.signal();
}

TEST(LockOwnerTest, BetweenThreads) {
  Lock table("table");
  Signal inside("inside"), go_on("go on");
  auto holder = Thread::run("a thread", [&](const Signal&) {
    const Lock::Held held = table.enter();
    inside.go();
    go_on.wait();
  });
  inside.wait();
  auto thread = Thread::run("thread", [&](const Signal&) { const Lock::Held held = table.enter(); });
  Host host;
  host.scheduler().callback([&] { const Lock::Held held = table.enter(); });
  EXPECT_EQ(owner_of(thread), "a thread");
  std::map<std::string, std::string> of_fibers;
  while (of_fibers = owners(host.scheduler()), of_fibers.count("callbacks") == 0) yield();
  EXPECT_EQ(of_fibers["callbacks"], "a thread");
  go_on.go();
}

TEST(LockOwnerTest, ARegisteredThreadHasItsNameThere) {
  Lock table("table");
  Signal inside("inside"), go_on("go on");
  std::thread foreign([&] {
    const mothreads::RegisterThread registered("of a C library");
    const Lock::Held held = table.enter();
    inside.go();
    go_on.wait();
  });
  inside.wait();
  auto waiter = spawn("waiter", [&] { const Lock::Held held = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(waiter), "of a C library");
  go_on.go();
  foreign.join();
}

TEST(LockOwnerTest, WithoutANameOfTheLockOrWithoutAnOwnerThereIsNone) {
  Lock unnamed;
  Lock table("table");
  Event<> go_on("go on");
  auto holder = spawn("holder", [&] {
    const Lock::Held inside = unnamed.enter();
    go_on.wait();
  });
  yield();
  auto waiter = spawn("waiter", [&] { const Lock::Held inside = unnamed.enter(); });
  auto in_table = spawn("in table", [&] {
    Lock::Held inside = table.enter();
    inside.wait();  // for a change: nobody has to leave
  });
  yield();
  EXPECT_EQ(Member(waiter).waits_on()->owner, "");
  EXPECT_EQ(Member(in_table).waits_on()->what, "waits in lock table");
  EXPECT_EQ(Member(in_table).waits_on()->owner, "");
  go_on.signal();
}

// Many threads and fibers at it: whoever is named has been inside. Mostly for ThreadSanitizer.
TEST(LockOwnerTest, ManyAtItWhileOthersLook) {
  Lock table("table");
  Signal stop("stop");
  Host host;
  const Scheduler there = host.scheduler();
  there.callback([&] {
    std::vector<Fiber<void>> fibers;
    for (const char* name : {"a", "b", "c"}) {
      fibers.push_back(spawn(name, [&] {
        while (!stop) {
          const Lock::Held inside = table.enter();
          yield();
        }
      }));
    }
    for (Fiber<void>& fiber : fibers) fiber.join();
  });
  auto other = Thread::run("d", [&](const Signal&) {
    while (!stop) {
      const Lock::Held inside = table.enter();
      yield();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    for (const auto& [name, owner] : owners(there)) {
      EXPECT_TRUE(owner.empty() || owner == "a" || owner == "b" || owner == "c" || owner == "d") << name << " waits for " << owner;
    }
    if (const auto report = Member(other).waits_on()) {
      EXPECT_NE(report->owner, "d");
    }
  }
  stop.go();
}

}  // namespace
}  // namespace cooperative
