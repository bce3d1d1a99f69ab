// What the functions of a thread's own end may do with it: a then() function of its `stopped`, and a destructor of what its function captured.

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"

namespace mothreads::inline v0 {
namespace {

using testing::what_of;

// Calls a function when it is destroyed; moved from, it does nothing.
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

struct Scene {
  ThreadHandle<int> thread;
  ThreadHandle<int> other;
  int result = 0;
};

struct Act {
  std::string name;
  std::function<void(Scene&)> perform;
  int result = 0;
};

ThreadHandle<int> successor() {
  return Thread::run("successor", [](Signal) { return 8; });
}

std::vector<Act> acts() {
  return {
      {"joins", [](Scene& scene) { scene.result = scene.thread.join(); }, 7},
      {"joins_with_a_limit_that_has_come", [](Scene& scene) { scene.result = scene.thread.join(absl::ZeroDuration()); }, 7},
      {"releases", [](Scene& scene) { scene.thread.release(); }},
      {"destroys", [](Scene& scene) { static_cast<void>(ThreadHandle<int>(std::move(scene.thread))); }},
      {"moves", [](Scene& scene) { scene.other = std::move(scene.thread); }},
      {"replaces", [](Scene& scene) { scene.thread = successor(); }},
      {"starts_another", [](Scene& scene) { scene.other = successor(); }},
      {"joins_and_starts_another",
       [](Scene& scene) {
         scene.result = scene.thread.join();
         scene.other = successor();
       }, 7},
      {"stops", [](Scene& scene) { scene.thread.stop(); }},
      {"stops_and_joins", [](Scene& scene) { scene.result = scene.thread.stop().join(); }, 7},
  };
}

class ThreadOwnEndVerbsTest : public ::testing::TestWithParam<std::tuple<bool, std::size_t>> {};

TEST_P(ThreadOwnEndVerbsTest, AnyVerbWorksThere) {
  const auto [in_then, number] = GetParam();
  const Act act = acts()[number];
  const Thread here = Thread::current();
  Scene scene;
  Signal is_set, ran;
  const auto at_end = [&] {
    act.perform(scene);
    ran.go();
  };
  if (in_then) {
    scene.thread = Thread::run("first", [is_set](Signal) {
      is_set.wait();
      return 7;
    });
    scene.thread.stopped().then(at_end);
  } else {
    scene.thread = Thread::run("first", [is_set, guard = AtEnd(at_end)](Signal) {
      is_set.wait();
      return 7;
    });
  }
  const Signal stopped = scene.thread.stopped();
  is_set.go();
  ran.wait();
  stopped.wait();
  EXPECT_EQ(scene.result, act.result);
  for (ThreadHandle<int>* left : {&scene.thread, &scene.other}) {
    if (!left->owns()) continue;
    const bool is_successor = left->name() == "successor";
    if (is_successor) {
      EXPECT_EQ(left->thread().parent(), here);
    }
    EXPECT_EQ(left->join(), is_successor ? 8 : 7);
  }
}

INSTANTIATE_TEST_SUITE_P(Thread, ThreadOwnEndVerbsTest, ::testing::Combine(::testing::Bool(), ::testing::Range<std::size_t>(0, acts().size())),
                         [](const auto& test) {
                           return acts()[std::get<1>(test.param)].name + (std::get<0>(test.param) ? "_in_then" : "_in_a_destructor");
                         });

class ThreadOwnEndTest : public testing::NothingLeft {};

TEST_F(ThreadOwnEndTest, ASupervisorRestartsFromTheEndOfItsThread) {
  struct Supervisor {
    int left = 50;
    ThreadHandle<void> worker;
    Signal done;

    void start() {
      Signal is_set;
      worker = Thread::run("worker", [this, is_set](Signal) {
        is_set.wait();
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
      is_set.go();
    }
  } supervisor;
  supervisor.start();
  supervisor.done.wait();
  EXPECT_EQ(unclaimed_failures(), 0);
}

TEST_F(ThreadOwnEndTest, AnObjectMayBeKeptByTheThreadThatItOwns) {
  struct Session {
    Signal gone;
    ThreadHandle<void> thread;
    ~Session() { gone.go(); }
  };
  Signal is_set;
  auto session = std::make_shared<Session>();
  const Signal gone = session->gone;
  session->thread = Thread::run("session", [session, is_set](Signal) { is_set.wait(); });
  session.reset();
  is_set.go();
  gone.wait();
}

// The last member to end destroys the session, and with it the group.
TEST_F(ThreadOwnEndTest, AGroupMayBeKeptByItsMembers) {
  struct Session {
    Signal gone;
    ThreadGroup threads{"session"};
    ~Session() { gone.go(); }
  };
  Signal all, gone;
  {
    auto session = std::make_shared<Session>();
    gone = session->gone;
    session->threads.run("short", [session, all](Signal) { all.wait(); });
    session->threads.run("long", [session, all](Signal) { all.wait(); });
  }
  all.go();
  gone.wait();
}

TEST_F(ThreadOwnEndTest, AGroupMayBeDestroyedAtTheEndOfItsLastMember) {
  auto group = std::make_unique<ThreadGroup>("workers");
  Signal is_set, done;
  const Thread member = group->run("member", [is_set](Signal) { is_set.wait(); });
  member.stopped().then([&] {
    group->join();
    group.reset();
    done.go();
  });
  is_set.go();
  done.wait();
}

TEST_F(ThreadOwnEndTest, AGroupMayBeReplacedAtTheEndOfItsLastMember) {
  auto group = std::make_unique<ThreadGroup>("workers");
  Signal is_set, done;
  group->run("member", [&, is_set, guard = AtEnd([&] {
    group = std::make_unique<ThreadGroup>("next");
    done.go();
  })](Signal) { is_set.wait(); });
  is_set.go();
  done.wait();
  group->run("member", [](Signal) {});
  group->join();
}

TEST_F(ThreadOwnEndTest, AMemberThatStillRunsCannotJoinItsGroup) {
  ThreadGroup group("workers");
  std::string said;
  group.run("member", [&](Signal) { said = what_of<Misuse>([&] { group.join(); }); });
  group.join();
  EXPECT_NE(said, "");
}

// Contexts are recycled: their number tells one thread from the next that has the same context.
TEST_F(ThreadOwnEndTest, AContextsLifeEndsWithItsThread) {
  internal::Context* context = nullptr;
  std::uint64_t life = 0;
  Thread::run("first", [&](Signal) {
    context = &internal::Context::current();
    life = context->life();
    EXPECT_NE(life, 0u);
  }).join();
  EXPECT_NE(context->life(), life);
}

}  // namespace
}  // namespace mothreads
