// The name of the thread or fiber inside of a Lock or RLock, as reports and looks tell it of others that wait to enter.

#include <atomic>
#include <cstdint>
#include <latch>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/foreign_thread.h"
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
using ::testing::AnyOf;
using ::testing::IsEmpty;
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
  while (true) {
    if (const auto report = member.waits_on()) return report->owner;
    yield();
  }
}

void enter_for_good(Lock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.lock(); }
void leave_for(Lock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.unlock(); }

TEST(LockOwnerTest, AFiberThatWaitsTellsTheOwner) {
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

// The owner that a waiter tells while a thread is inside that keeps the results of `names`.
template <typename... Names>
std::string owner_on_a_foreign_thread(Names... names) {
  Lock table("table");
  Signal inside("inside"), go_on("go on");
  std::thread foreign([&] {
    [[maybe_unused]] const auto scopes = std::make_tuple(names()...);
    const Lock::Held held = table.enter();
    inside.go();
    go_on.wait();
  });
  inside.wait();
  auto waiter = spawn("waiter", [&] { const Lock::Held held = table.enter(); });
  yield();
  const std::string owner = owner_of(waiter);
  go_on.go();
  foreign.join();
  return owner;
}

TEST(LockOwnerTest, AThreadOfAnotherLibraryHasTheNameThatReportsHave) {
  const auto registered = [] { return std::make_unique<mothreads::RegisterThread>("of a C library"); };
  const auto scope = [] { return std::make_unique<mothreads::ForeignThread>("camera driver"); };
  const auto ended_scope = [] {
    const mothreads::ForeignThread before("before");
    return 0;
  };
  const auto ended_registration = [] {
    const mothreads::RegisterThread before("before");
    return 0;
  };
  EXPECT_EQ(owner_on_a_foreign_thread(registered), "of a C library");
  EXPECT_EQ(owner_on_a_foreign_thread(scope), "camera driver");
  EXPECT_THAT(owner_on_a_foreign_thread(), ::testing::StartsWith("Unknown Thread "));
  EXPECT_THAT(owner_on_a_foreign_thread(ended_scope), ::testing::StartsWith("Unknown Thread "));
  EXPECT_THAT(owner_on_a_foreign_thread(ended_registration), ::testing::StartsWith("Unknown Thread "));
  Lock table("table");
  Signal inside("inside"), go_on("go on");
  std::thread foreign([&] {
    const mothreads::ForeignThread outer("outer");
    const mothreads::RegisterThread inner("registered in a scope");
    const mothreads::ForeignThread innermost("changes nothing");
    const Lock::Held held = table.enter();
    inside.go();
    go_on.wait();
  });
  inside.wait();
  auto waiter = spawn("waiter", [&] { const Lock::Held held = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(waiter), "registered in a scope");
  go_on.go();
  foreign.join();
}

TEST(LockOwnerTest, TheMainThreadIsNamedAndALongNameIsCut) {
  Lock table("table");
  Signal go_on("go on");
  auto waiter = Thread::run("waiter", [&](const Signal&) {
    go_on.wait();
    const Lock::Held held = table.enter();
  });
  {
    const Lock::Held inside = table.enter();
    go_on.go();
    while (!Member(waiter).waits_on() || Member(waiter).waits_on()->what != "enters lock table") std::this_thread::yield();
    EXPECT_EQ(Member(waiter).waits_on()->owner, "main");
  }
  waiter.join();

  Event<> leave("leave");
  auto holder = spawn(std::string(100, 'h'), [&] {
    const Lock::Held inside = table.enter();
    leave.wait();
  });
  yield();
  auto second = spawn("second", [&] { const Lock::Held inside = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(second), std::string(55, 'h'));
  leave.signal();
}

TEST(LockOwnerTest, EachThreadThatGetsTheLockIsNamedInItsTurn) {
  Lock table("table");
  constexpr int kCount = 4;
  std::vector<Signal> inside(kCount), leave(kCount);
  std::vector<mothreads::ThreadHandle<void>> threads;
  for (std::size_t i = 0; i < kCount; ++i) {
    threads.push_back(Thread::run("thread " + std::to_string(i), [&, i](const Signal&) {
      const Lock::Held held = table.enter();
      inside[i].go();
      leave[i].wait();
    }));
    if (i == 0) {
      inside[0].wait();
    } else {
      EXPECT_EQ(owner_of(threads[i]), "thread 0");
    }
  }
  auto fiber = spawn("fiber", [&] { const Lock::Held held = table.enter(); });
  yield();
  for (std::size_t i = 0; i < kCount; ++i) {
    inside[i].wait();
    const std::string owner = "thread " + std::to_string(i);
    EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("fiber", owner)));
    for (std::size_t later = i + 1; later < kCount; ++later) EXPECT_EQ(owner_of(threads[later]), owner);
    leave[i].go();
  }
}

// While the next is on the way a thread takes the lock before it.
TEST(LockOwnerTest, AThreadThatBargesInIsNamed) {
  Lock table("table");
  Signal held("held"), barged_may_leave("barged may leave");
  std::latch may_leave(1), has_left(1), has_barged(1);
  auto first = Thread::run("first", [&](const Signal&) {
    {
      const Lock::Held inside = table.enter();
      held.go();
      may_leave.wait();
    }
    has_left.count_down();
  });
  held.wait();
  auto next = spawn("next", [&] { const Lock::Held inside = table.enter(); });
  auto last = spawn("last", [&] { const Lock::Held inside = table.enter(); });
  yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("next", "first"), Pair("last", "first")));
  auto barges = Thread::run("barges", [&](const Signal&) {
    has_left.wait();
    const Lock::Held inside = table.enter();
    has_barged.count_down();
    barged_may_leave.wait();
  });
  may_leave.count_down();
  has_barged.wait();  // no fiber of this thread runs meanwhile
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("last", "barges")));
  while (owners(Scheduler::current()).size() < 2) yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("next", "barges"), Pair("last", "barges")));
  barged_may_leave.go();
}

TEST(LockOwnerTest, AReturnFromAWaitInsideIsNamedAndNamesTheOthers) {
  Lock table("table");
  Event<> leave("leave"), back_leaves("back leaves");
  Signal limit("limit");
  bool has_changed = false;
  auto changed = spawn("changed", [&] {
    const Lock::Held inside = table.enter_when([&] { return has_changed; });
    back_leaves.wait();
  });
  auto limited = spawn("limited", [&] { const Lock::Held inside = table.enter_when([] { return false; }, limit); });
  yield();
  auto holder = spawn("holder", [&] {
    const Lock::Held inside = table.enter();
    leave.wait();
    has_changed = true;
  });
  yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("changed", ""), Pair("limited", ""), Pair("holder", "")));
  limit.go();
  yield();
  EXPECT_THAT(owners(Scheduler::current()), UnorderedElementsAre(Pair("changed", ""), Pair("limited", "holder"), Pair("holder", "")));
  leave.signal();
  while (owners(Scheduler::current()) != std::map<std::string, std::string>{{"changed", ""}}) yield();
  EXPECT_EQ(owner_of(changed), "");
  EXPECT_EQ(Member(changed).waits_on()->what, "waits for event back leaves");
  auto last = spawn("last", [&] { const Lock::Held inside = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(last), "changed");
  back_leaves.signal();
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

// The two members that lock() writes: an explicit instantiation may name private ones.
std::atomic<std::uint32_t>& word_of(Lock& lock);
std::atomic<mothreads::internal::Context*>& owner_word_of(Lock& lock);
template <auto kWord, auto kOwner>
struct Members {
  friend std::atomic<std::uint32_t>& word_of(Lock& lock) { return lock.*kWord; }
  friend std::atomic<mothreads::internal::Context*>& owner_word_of(Lock& lock) { return lock.*kOwner; }
};
template struct Members<&Lock::word_, &Lock::owner_>;

// A thread that the kernel stops between the two instructions of lock().
TEST(LockOwnerTest, AnOwnerThatHasNotSaidSoYetIsToldLater) {
  Lock table("table");
  std::uint32_t free = 0;
  ASSERT_TRUE(word_of(table).compare_exchange_strong(free, 1, std::memory_order_acquire));
  auto fiber = spawn("fiber", [&] { const Lock::Held inside = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(fiber), "");
  auto thread = Thread::run("thread", [&](const Signal&) { const Lock::Held inside = table.enter(); });
  EXPECT_EQ(owner_of(thread), "");
  owner_word_of(table).store(&mothreads::internal::Context::current(), std::memory_order_release);
  while (owner_of(fiber).empty()) yield();
  EXPECT_EQ(owner_of(fiber), "main");
  EXPECT_EQ(owner_of(thread), "main");
  leave_for(table);
}

// Each time in the same block, and each name in memory that an earlier one had.
TEST(LockOwnerTest, OfFibersThatFollowEachOtherEachIsNamed) {
  for (int i = 0; i < 200; ++i) {
    const std::string name = "holder " + std::to_string(i);
    Lock table("table " + std::to_string(i));
    RLock shelf("shelf " + std::to_string(i));
    Event<> leave("leave");
    auto holder = spawn(name, [&] {
      const Lock::Held inside = table.enter();
      const auto too = shelf.enter();
      leave.wait();
    });
    yield();
    auto waiter = spawn("waiter", [&] { const Lock::Held inside = table.enter(); });
    auto reader = spawn("reader", [&] { const auto inside = shelf.enter(); });
    yield();
    ASSERT_EQ(owner_of(waiter), name);
    ASSERT_EQ(owner_of(reader), name);
    leave.signal();
    holder.join();
    waiter.join();
    reader.join();
  }
}

// This is misuse, and the name of the owner is what its author needs.
TEST(LockOwnerTest, AnOwnerThatEndedInsideKeepsItsNameForThoseWhoWait) {
  Lock table("table");
  Event<> end("end");
  auto holder = spawn("holder", [&] {
    enter_for_good(table);
    end.wait();
  });
  yield();
  auto waiter = spawn("waiter", [&] { const Lock::Held inside = table.enter(); });
  yield();
  end.signal();
  holder.join();
  auto in_its_block = spawn("in its block", [&] { end.wait(); });
  yield();
  auto later = spawn("later", [&] { const Lock::Held inside = table.enter(); });
  yield();
  EXPECT_EQ(owner_of(waiter), "holder");
  EXPECT_EQ(owner_of(later), "holder");
  leave_for(table);
  end.signal();
}

TEST(LockOwnerTest, AFiberInTheBlockOfAHolderOfAnRLockThatEndedIsNotNamed) {
  static RLock& shelf = *new RLock("shelf");  // held for ever
  Event<> end("end");
  spawn("holder", [] { shelf.acquire(); }).join();
  auto in_its_block = spawn("in its block", [&] { end.wait(); });
  auto waiter = spawn("waiter", [] { shelf.acquire(); });
  yield();
  EXPECT_EQ(Member(waiter).waits_on()->what, "waits for RLock shelf");
  EXPECT_EQ(owner_of(waiter), "");
  waiter.cancel();
  end.signal();
}

TEST(LockOwnerTest, OfAnRLockTheHolderIsNamedAgainAfterAllHaveGivenUp) {
  RLock shelf("shelf");
  Event<> leave("leave");
  const auto hold = [&] {
    const auto inside = shelf.enter();
    leave.wait();
  };
  auto first = spawn("first", hold);
  yield();
  for (int i = 0; i < 2; ++i) {
    auto gives_up = spawn("gives up", [&] { const auto inside = shelf.enter(); });
    yield();
    EXPECT_EQ(owner_of(gives_up), "first");
    gives_up.cancel();
  }
  leave.signal();
  first.join();
  auto second = spawn("second", hold);
  yield();
  auto waiter = spawn("waiter", [&] { const auto inside = shelf.enter(); });
  yield();
  EXPECT_EQ(owner_of(waiter), "second");
  leave.signal();
}

// Sections so short that most are entered by the quick way, while others look, also at those who wait for the lock in the memory of an earlier one. A
// look never tells another's name, a mixture of two, or the waiter's own.
TEST(LockOwnerTest, ShortSectionsOfManyThreads) {
  constexpr int kThreads = 4;
  const auto name_of = [](int i) { return "thread " + std::string(static_cast<std::size_t>(10 * i + 5), static_cast<char>('a' + i)); };
  for (int round = 0; round < 3; ++round) {
    Lock table("table");
    Signal end_of_round("end of round");
    std::atomic<int> sections = 0;
    std::vector<mothreads::ThreadHandle<void>> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.push_back(Thread::run(name_of(i), [&](const Signal&) {
        while (!end_of_round) {
          const Lock::Held inside = table.enter();
          if (sections++ % 8 == 0) std::this_thread::yield();
        }
      }));
    }
    const auto look = [&] {
      for (int i = 0; i < 1000; ++i) {
        for (int n = 0; n < kThreads; ++n) {
          const auto report = Member(threads[static_cast<std::size_t>(n)]).waits_on();
          if (!report || report->owner.empty()) continue;
          EXPECT_NE(report->owner, name_of(n));
          EXPECT_THAT(report->owner, AnyOf(name_of(0), name_of(1), name_of(2), name_of(3)));
        }
      }
    };
    std::thread other(look);
    look();
    other.join();
    end_of_round.go();
  }
}

// Threads and fibers at it: a name that is told is that of one of them. Mostly for ThreadSanitizer.
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
      EXPECT_NE(owner, name);
    }
    if (const auto report = Member(other).waits_on()) {
      EXPECT_NE(report->owner, "d");
    }
  }
  stop.go();
}

}  // namespace
}  // namespace cooperative
