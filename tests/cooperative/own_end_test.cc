// What the functions of a fiber's own end may do with it: a then() function of its `stopped`, a destructor of what its function captured,
// and one of what it returned. This is how a supervisor is written.

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/wait_for.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// Calls a function when it is destroyed. Copied nowhere; moved from, it does nothing.
class AtEnd {
 public:
  explicit AtEnd(std::function<void()> function) : function_(std::move(function)) {}
  AtEnd(AtEnd&& other) noexcept : function_(std::exchange(other.function_, nullptr)) {}
  ~AtEnd() {
    if (function_) function_();
  }

 private:
  std::function<void()> function_;
};

// Blocks that were handed out twice would run one function twice, and another never.
void expect_blocks_of_their_own() {
  std::vector<Fiber<int>> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(spawn("one of several", [i] {
      yield();
      return i;
    }));
  }
  EXPECT_THAT(wait_for_all(fibers), ElementsAre(0, 1, 2, 3, 4));
}

struct Scene {
  Fiber<int> fiber;
  Fiber<int> other;
  int result = 0;
};

struct Act {
  std::string name;
  std::function<void(Scene&)> perform;
  int result = 0;
};

std::vector<Act> acts() {
  const auto successor = [] { return spawn("successor", [] { return 8; }); };
  return {
      {"joins", [](Scene& scene) { scene.result = scene.fiber.join(); }, 7},
      {"joins_with_a_limit_that_has_come", [](Scene& scene) { scene.result = scene.fiber.join(absl::ZeroDuration()); }, 7},
      {"waits_for_it_among_others", [](Scene& scene) { scene.result = std::get<0>(wait_for_any(std::tie(scene.fiber))); }, 7},
      {"releases", [](Scene& scene) { scene.fiber.release(); }},
      {"destroys", [](Scene& scene) { static_cast<void>(Fiber<int>(std::move(scene.fiber))); }},
      {"moves", [](Scene& scene) { scene.other = std::move(scene.fiber); }},
      {"replaces", [=](Scene& scene) { scene.fiber = successor(); }},
      {"starts_another", [=](Scene& scene) { scene.other = successor(); }},
      {"joins_and_starts_another",
       [=](Scene& scene) {
         scene.result = scene.fiber.join();
         scene.other = successor();
       }, 7},
      {"stops", [](Scene& scene) { scene.fiber.stop(); }},
      {"cancels", [](Scene& scene) { scene.fiber.cancel(); }},
      {"stops_and_joins", [](Scene& scene) { scene.result = scene.fiber.stop().join(); }, 7},
      {"yields", [](Scene&) { yield(); }},
      {"destroys_and_yields",
       [](Scene& scene) {
         static_cast<void>(Fiber<int>(std::move(scene.fiber)));
         yield();
       }},
  };
}

class OwnEndVerbsTest : public ::testing::TestWithParam<std::tuple<bool, std::size_t>> {};

TEST_P(OwnEndVerbsTest, AnyVerbWorksThere) {
  const auto [in_then, number] = GetParam();
  const Act act = acts()[number];
  Scene scene;
  bool ran = false;
  const auto at_end = [&] {
    act.perform(scene);
    ran = true;
  };
  if (in_then) {
    scene.fiber = spawn("first", [] { return 7; });
    scene.fiber.stopped().then(at_end);
  } else {
    scene.fiber = spawn("first", [guard = AtEnd(at_end)] { return 7; });
  }
  const Signal stopped = scene.fiber.stopped();
  while (!ran || !stopped) yield();
  EXPECT_EQ(scene.result, act.result);
  expect_blocks_of_their_own();
  for (Fiber<int>* left : {&scene.fiber, &scene.other}) {
    if (!left->owns()) continue;
    const int expected = left->name() == "successor" ? 8 : 7;
    EXPECT_EQ(left->join(), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Fiber, OwnEndVerbsTest, ::testing::Combine(::testing::Bool(), ::testing::Range<std::size_t>(0, acts().size())),
                         [](const auto& test) {
                           return acts()[std::get<1>(test.param)].name + (std::get<0>(test.param) ? "_in_then" : "_in_a_destructor");
                         });

// A supervisor: it starts the next from the end of the one before.
TEST(OwnEndTest, ASupervisorRestartsFromTheEndOfItsFiber) {
  struct Supervisor {
    int left = 1000;
    Fiber<void> worker;
    Signal done;

    void start() {
      worker = spawn("worker", [this] {
        yield();
        if (left % 2 == 0) throw std::runtime_error("a worker's failure");
      });
      worker.stopped().then([this] {
        try {
          worker.join();
        } catch (const std::runtime_error&) {  // that is why there is a supervisor
        }
        if (--left == 0) {
          done.go();
        } else {
          start();
        }
      });
    }
  } supervisor;
  supervisor.start();
  supervisor.done.wait();
  EXPECT_EQ(supervisor.left, 0);
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
  expect_blocks_of_their_own();
}

// The fiber's function holds what owns the fiber.
TEST(OwnEndTest, AnObjectMayBeKeptByTheFiberThatItOwns) {
  struct Session {
    explicit Session(bool& its_gone) : gone(its_gone) {}
    ~Session() { gone = true; }
    Fiber<void> fiber;
    bool& gone;
  };
  bool gone = false;
  auto session = std::make_shared<Session>(gone);
  session->fiber = spawn("session", [session] { yield(); });
  session.reset();
  while (!gone) yield();
  expect_blocks_of_their_own();
}

TEST(OwnEndTest, ASuccessorBelongsToWhereTheFiberWas) {
  FiberGroup group("workers");
  std::size_t members = 0;
  Fiber<void> first = spawn({.name = "first", .parent = group}, [] {});
  first.stopped().then([&] {
    spawn("successor", [&] {
      members = group.size();
      yield();
    }).release();
  });
  group.join();  // waits for the successor, too
  EXPECT_EQ(members, 1u);
  EXPECT_EQ(group.size(), 0u);
  first.join();
}

TEST(OwnEndTest, ASuccessorOfOneWhoseParentEndsIsToldToStop) {
  bool was_told = false;
  Fiber<void> second;
  Fiber<void> first;
  auto parent = spawn("parent", [&] {
    first = spawn("first", [](Signal please_stop) { please_stop.wait(); });
    first.stopped().then([&] {
      second = spawn("second", [&](Signal please_stop) {
        please_stop.wait();
        was_told = true;
      });
    });
    yield();
  });
  parent.join();
  EXPECT_TRUE(was_told);
  first.join();
  second.join();
}

TEST(OwnEndTest, ASuccessorFitsWhereOneFiberIsAllThereMayBe) {
  Thread::run("test", [](Signal) {
    Scheduler::current().set_options({.max_fibers = 1});
    int result = 0;
    Fiber<int> second;
    auto first = spawn("first", [] {});
    first.stopped().then([&] { second = spawn("second", [] { return 5; }); });
    first.join();
    result = second.join();
    EXPECT_EQ(result, 5);
  }).join();
}

TEST(OwnEndTest, AFailureIsJoinedThere) {
  std::string said;
  auto fiber = spawn("fails", [guard = AtEnd([] {})] { throw std::out_of_range("too far"); });
  Signal done;
  fiber.stopped().then([&] {
    said = what_of<std::out_of_range>([&] { fiber.join(); });
    done.go();
  });
  done.wait();
  EXPECT_EQ(said, "too far");
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
}

TEST(OwnEndTest, ItsStoppedCanBeAskedForAgain) {
  bool inner = false;
  auto fiber = spawn("fiber", [] {});
  fiber.stopped().then([&] {
    EXPECT_TRUE(fiber.stopped());
    fiber.stopped().wait();
    fiber.stopped().then([&] { inner = true; });
  });
  fiber.join();
  EXPECT_TRUE(inner);
}

// The result goes with the last who might take it, and may use the library then.
TEST(OwnEndTest, TheResultsDestructorMayStartASuccessor) {
  for (const bool in_then : {false, true}) {
    Fiber<int> successor;
    auto fiber = spawn("fiber", [&] {
      return AtEnd([&] {
        yield();
        successor = spawn("successor", [] {
          yield();
          return 8;
        });
      });
    });
    if (in_then) {
      fiber.stopped().then([&] { static_cast<void>(Fiber<AtEnd>(std::move(fiber))); });
    } else {
      fiber.release();
    }
    while (!successor.owns()) yield();
    expect_blocks_of_their_own();
    EXPECT_EQ(successor.join(), 8);
  }
}

// The scheduler waits for what a then() function still does, also when that waits.
TEST(OwnEndTest, AThreadEndsAfterTheFunctionsOfItsFibersEnds) {
  LogLines log;
  bool ended = false;
  Thread::run("test", [&](Signal) {
    auto fiber = spawn("fiber", [] {});
    fiber.stopped().then([&] {
      for (int i = 0; i < 3; ++i) yield();
      ended = true;
    });
    fiber.release();
  }).join();
  EXPECT_TRUE(ended);
}

// --- groups ----------------------------------------------------------------------------------------------------------------------

struct GroupAct {
  std::string name;
  std::function<void(std::unique_ptr<FiberGroup>&)> perform;
};

std::vector<GroupAct> group_acts() {
  using Group = std::unique_ptr<FiberGroup>;
  return {
      {"joins", [](Group& group) { group->join(); }},
      {"destroys", [](Group& group) { group.reset(); }},
      {"stops", [](Group& group) { group->stop(); }},
      {"stops_and_joins",
       [](Group& group) {
         group->stop();
         group->join();
       }},
      {"adds_a_member", [](Group& group) { group->spawn("successor", [] { yield(); }); }},
      {"replaces", [](Group& group) { group = std::make_unique<FiberGroup>("next"); }},
  };
}

class GroupOwnEndTest : public ::testing::TestWithParam<std::tuple<bool, std::size_t>> {};

TEST_P(GroupOwnEndTest, AnyVerbWorksAtTheEndOfItsLastMember) {
  const auto [in_then, number] = GetParam();
  const GroupAct act = group_acts()[number];
  auto group = std::make_unique<FiberGroup>("workers");
  bool ran = false;
  const auto at_end = [&] {
    act.perform(group);
    ran = true;
  };
  Signal stopped;
  if (in_then) {
    Fiber<void> member = spawn({.name = "member", .parent = *group}, [] {});
    member.stopped().then(at_end);
    stopped = member.stopped();
    member.release();
  } else {
    Fiber<void> member = spawn({.name = "member", .parent = *group}, [guard = AtEnd(at_end)] {});
    stopped = member.stopped();
    member.release();
  }
  while (!ran || !stopped) yield();
  expect_blocks_of_their_own();
  if (group != nullptr) group->join();
}

INSTANTIATE_TEST_SUITE_P(FiberGroup, GroupOwnEndTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Range<std::size_t>(0, group_acts().size())),
                         [](const auto& test) {
                           return group_acts()[std::get<1>(test.param)].name + (std::get<0>(test.param) ? "_in_then" : "_in_a_destructor");
                         });

// Each member keeps the session; the last to end destroys it.
TEST(OwnEndTest, AGroupMayBeKeptByItsMembers) {
  struct Session {
    FiberGroup fibers{"session"};
    bool& gone;
    explicit Session(bool& its_gone) : gone(its_gone) {}
    ~Session() { gone = true; }
  };
  LogLines log;
  bool gone = false;
  {
    auto session = std::make_shared<Session>(gone);
    session->fibers.spawn("short", [session] {});
    session->fibers.spawn("long", [session] {
      yield();
      throw std::runtime_error("of the last member");
    });
  }
  while (!gone) yield();
  expect_blocks_of_their_own();
  EXPECT_THAT(log.with("of the last member"), SizeIs(1));
  EXPECT_EQ(mothreads::internal::take_unclaimed_failures(), 1);
}

TEST(OwnEndTest, AMemberThatStillRunsCannotJoinItsGroup) {
  FiberGroup group("workers");
  std::string said;
  group.spawn("member", [&] { said = what_of<Misuse>([&] { group.join(); }); });
  group.join();
  EXPECT_NE(said, "");
}

// --- handles and events of threads that have ended ----------------------------------------------------------------------------------

// The next thread gets what the ended one had: its scheduler, and with it the same addresses.
TEST(EndedOwnerTest, AnEventOfAnEndedThreadIsRefusedOnAnother) {
  std::unique_ptr<Event<int>> event;
  Thread::run("first", [&](Signal) { event = std::make_unique<Event<int>>(); }).join();
  Thread::run("second", [&](Signal) {
    spawn("has a scheduler", [] {}).join();
    EXPECT_THAT(what_of<Misuse>([&] { event->signal(1); }), ::testing::HasSubstr("after the end of the thread"));
    EXPECT_THROW(event->wait(absl::ZeroDuration()), Misuse);
  }).join();
}

TEST(EndedOwnerTest, AFiberHandleOfAnEndedThreadIsRefusedOnAnother) {
  Fiber<int> fiber;
  Thread::run("first", [&](Signal) {
    fiber = spawn("fiber", [] { return 1; });
    yield();
  }).join();
  Thread::run("second", [&](Signal) {
    spawn("has a scheduler", [] {}).join();
    EXPECT_THAT(what_of<Misuse>([&] { fiber.join(); }), ::testing::HasSubstr("after the end of its thread"));
    EXPECT_THROW(fiber.stop(), Misuse);
    EXPECT_THROW(static_cast<void>(spawn({.name = "below", .parent = fiber}, [] {})), Misuse);
    static_cast<void>(Fiber<int>(std::move(fiber)));  // nothing runs any more
    expect_blocks_of_their_own();
  }).join();
}

TEST(EndedOwnerTest, AHandleThatOutlivesItsThreadDestroysTheResult) {
  bool destroyed = false;
  {
    Fiber<AtEnd> fiber;
    Thread::run("first", [&](Signal) {
      fiber = spawn("fiber", [&] { return AtEnd([&] { destroyed = true; }); });
      yield();
    }).join();
    EXPECT_FALSE(destroyed);
  }
  EXPECT_TRUE(destroyed);
}

}  // namespace
}  // namespace cooperative
