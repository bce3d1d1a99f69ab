// One budget for all verbs that may wait: nobody keeps its turn by finding everything ready, and nobody that was cancelled goes on because
// of it.

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/selfishness.h"
#include "cooperative/io/socket.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "mothreads/ended.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using internal::kActsPerOperation;
using mothreads::DONE;
using mothreads::Lock;
using mothreads::Queue;
using mothreads::Signal;
using testing::IoTest;

// A verb that finds what it waits for.
struct Verb {
  const char* name;
  std::function<std::function<void()>()> make;  // gives what does it once, as often as it is called
  int acts = 1;                                 // 0: it gives a turn each time
  bool unwinds = true;                          // a fiber that was cancelled
};

void PrintTo(const Verb& verb, std::ostream* out) { *out << verb.name; }

template <typename Source, typename Use>
std::function<std::function<void()>()> with(Use use) {
  return [use] {
    auto source = std::make_shared<Source>();
    return [source, use] { use(*source); };
  };
}

const Verb kVerbs[] = {
    {"EventWait", with<Event<int>>([](auto& event) {
       event.signal(1);
       event.wait();
     })},
    {"EventQueueWait", with<EventQueue<int>>([](auto& queue) {
       queue.signal(1);
       queue.wait();
     })},
    {"EventQueueNext", with<EventQueue<int>>([](auto& queue) {
       queue.signal(1);
       static_cast<void>(queue.next());
     })},
    {"EventQueueLoop", with<EventQueue<int>>([](auto& queue) {
       queue.signal(1);
       static_cast<void>(queue.begin());
     })},
    {"ThreadedEventQueueWait", with<ThreadedEventQueue<int>>([](auto& queue) {
       queue.signal(1);
       queue.wait();
     }), 0},
    {"QueuePop", with<std::unique_ptr<Queue<int>>>([](auto& queue) {
       if (queue == nullptr) queue = std::make_unique<Queue<int>>("ready");
       queue->force_add(1);
       static_cast<void>(queue->pop());
     })},
    {"QueuePopOne", with<std::unique_ptr<Queue<int>>>([](auto& queue) {
       if (queue == nullptr) queue = std::make_unique<Queue<int>>("empty");
       static_cast<void>(queue->pop_one());
     })},
    {"QueueAdd", with<std::unique_ptr<Queue<int>>>([](auto& queue) {
       if (queue == nullptr) queue = std::make_unique<Queue<int>>("room", mothreads::QueueOptions{.max = 1 << 20});
       queue->add(1);
     })},
    {"QueuePush", with<std::unique_ptr<Queue<int>>>([](auto& queue) {
       if (queue == nullptr) queue = std::make_unique<Queue<int>>("room", mothreads::QueueOptions{.max = 1 << 20});
       queue->push(1);
     })},
    {"SignalWait", [] { return [] { DONE.wait(); }; }},
    {"SignalWaitWithALimitThatHasCome", [] { return [] { static_cast<void>(mothreads::NEVER.wait(absl::ZeroDuration())); }; }},
    {"LockEnter", with<Lock>([](auto& lock) { auto held = lock.enter(); }), 1, false},
    {"LockWaitForWhatIsTrue", with<Lock>([](auto& lock) {
       lock.lock();
       lock.unlock();  // an act, too
       auto held = lock.enter();
       static_cast<void>(held.wait([] { return true; }));
     }), 3},
    {"RLockAcquire", with<RLock>([](auto& lock) { const auto held = lock.enter(); })},
    {"GroupJoin", [] {
       auto group = std::make_shared<FiberGroup>("empty");
       return [group] { group->join(); };
     }},
    {"WaitAny", with<Event<int>>([](auto& event) {
       event.signal(1);
       static_cast<void>(wait_for_any(std::tie(event, DONE)));
     })},
    {"WaitForAll", with<Event<int>>([](auto& event) {
       event.signal(1);
       static_cast<void>(wait_for_all(std::tie(event)));
     })},
    {"WaitForAllOfNothing", [] { return [] { static_cast<void>(wait_for_all(std::tuple<>())); }; }},
    {"SleepForNoTime", [] { return [] { sleep(absl::ZeroDuration()); }; }, 0},
    {"YieldUntilIdleForNoTime", [] { return [] { yield_until_idle(absl::ZeroDuration()); }; }, 0},
    {"SocketWrite", [] {
       auto ends = std::make_shared<std::pair<Socket, Socket>>(Socket::pair());
       return [ends] { ends->first.write_all("x"); };
     }, kActsPerOperation},
    {"SocketRead", [] {
       auto ends = std::make_shared<std::pair<Socket, Socket>>(Socket::pair());
       ends->first.write_all(std::string(1000, 'x'));
       yield();
       return [ends] { testing::take(ends->second, 1); };
     }, kActsPerOperation},
    {"PollOfWhatIsReady", [] {
       auto ends = std::make_shared<std::pair<Socket, Socket>>(Socket::pair());
       return [ends] { static_cast<void>(poll_list({{ends->first.native(), Ready::out}})); };
     }, 0},
};

class TurnsTest : public IoTest, public ::testing::WithParamInterface<Verb> {};

INSTANTIATE_TEST_SUITE_P(All, TurnsTest, ::testing::ValuesIn(kVerbs), [](const auto& instance) { return std::string(instance.param.name); });

// A sibling that counts its turns.
class Sibling {
 public:
  Sibling() {
    fiber_.emplace(spawn("sibling", [this] {
      while (!is_over_) {
        ++turns;
        yield();
      }
    }));
  }
  ~Sibling() { is_over_ = true; }

  int turns = 0;

 private:
  bool is_over_ = false;
  std::optional<Fiber<void>> fiber_;
};

TEST_P(TurnsTest, OthersHaveOneAfterSoManyActsAndNotBefore) {
  on_thread([] {
    const Verb& verb = GetParam();
    for (const std::uint32_t operations : {1u, 4u}) {
      Scheduler::current().set_options({.selfishness = operations});
      const auto once = verb.make();
      Sibling sibling;
      yield();
      sibling.turns = 0;
      if (verb.acts == 0) {
        const auto before = Scheduler::current().statistics().rounds;
        for (int i = 0; i < 3; ++i) once();
        EXPECT_EQ(Scheduler::current().statistics().rounds - before, 3u);
        continue;
      }
      const int at_the_limit = static_cast<int>(operations) * kActsPerOperation / verb.acts;
      for (int i = 0; i < at_the_limit; ++i) once();
      EXPECT_EQ(sibling.turns, 0);
      once();  // one past it
      EXPECT_EQ(sibling.turns, 1);
      for (int i = 1; i < at_the_limit; ++i) once();
      EXPECT_LE(sibling.turns, 2);
    }
  });
}

TEST_P(TurnsTest, ACancelledFiberIsUnwoundAtTheNextWhateverIsReady) {
  on_thread([] {
    const Verb& verb = GetParam();
    bool went_on = false;
    auto fiber = spawn("fiber", [&] {
      const auto once = verb.make();
      {
        const NoCancel not_yet;
        yield();
      }
      once();
      went_on = true;
    });
    yield();
    fiber.cancel();
    if (verb.unwinds) {
      EXPECT_THROW(fiber.join(), WasCancelled);
    } else {
      fiber.join();
    }
    EXPECT_EQ(went_on, !verb.unwinds);
  });
}

// The limit of a scope, and a sibling's timer, against a loop that never waits.
TEST_P(TurnsTest, ALoopThatNeverWaitsStarvesNeitherTimersNorItsOwnEnd) {
  on_thread([] {
    const Verb& verb = GetParam();
    bool is_over = false;
    Timer timer(absl::Microseconds(1), [&] { is_over = true; });
    auto fiber = spawn("loop", [&] {
      const auto once = verb.make();
      while (!is_over) once();
    });
    fiber.join();
    if (!verb.unwinds) return;
    auto endless = spawn("endless", [&] {
      const auto once = verb.make();
      while (true) {
        once();
      }
    });
    yield();
    endless.cancel();
    EXPECT_THROW(endless.join(), WasCancelled);
  });
}

// --- the budget itself ---------------------------------------------------------------------------------------------------------------

class BudgetTest : public IoTest {};

TEST_F(BudgetTest, IsOneForAllKindsOfVerbs) {
  on_thread([] {
    auto ends = Socket::pair();
    Sibling sibling;
    yield();
    sibling.turns = 0;
    for (int i = 0; i < 2; ++i) ends.first.write_all("x");
    for (int i = 0; i < 2 * kActsPerOperation; ++i) DONE.wait();
    EXPECT_EQ(sibling.turns, 0);
    DONE.wait();
    EXPECT_EQ(sibling.turns, 1);
  });
}

TEST_F(BudgetTest, AnyWaitBeginsAnew) {
  on_thread([] {
    Sibling sibling;
    yield();
    sibling.turns = 0;
    for (int round = 1; round < 4; ++round) {
      for (int i = 0; i < 4 * kActsPerOperation; ++i) DONE.wait();
      yield();
      EXPECT_EQ(sibling.turns, round);
    }
  });
}

TEST_F(BudgetTest, AFiberThatHasItsOwnUsesThat) {
  on_thread([] {
    Sibling sibling;
    yield();
    auto fiber = spawn("fiber", [&] {
      set_max_selfish_acts(1);
      sibling.turns = 0;
      for (int i = 0; i < kActsPerOperation; ++i) DONE.wait();
      EXPECT_EQ(sibling.turns, 0);
      DONE.wait();
      EXPECT_EQ(sibling.turns, 1);
    });
    fiber.join();
  });
}

TEST_F(BudgetTest, TheTurnIsGivenBeforeTheItemIsTaken) {
  on_thread([] {
    Scheduler::current().set_options({.selfishness = 1});
    EventQueue<int> queue;
    for (int i = 0; i < 2 * kActsPerOperation; ++i) queue.signal(i);
    int taken = 0;
    auto taker = spawn("taker", [&] {
      while (true) {
        queue.wait();
        ++taken;
      }
    });
    auto killer = spawn("killer", [&] { taker.cancel(); });
    killer.join();
    EXPECT_THROW(taker.join(), WasCancelled);
    EXPECT_EQ(taken, kActsPerOperation);
    EXPECT_EQ(queue.size(), static_cast<std::size_t>(kActsPerOperation));
    EXPECT_EQ(queue.wait(), kActsPerOperation);
  });
}

// Others would see what go() has half done.
TEST_F(BudgetTest, AThenFunctionGivesNoTurn) {
  on_thread([] {
    Scheduler::current().set_options({.selfishness = 1});
    Sibling sibling;
    yield();
    sibling.turns = 0;
    Signal signal;
    signal.then([] {
      for (int i = 0; i < 3 * kActsPerOperation; ++i) DONE.wait();
    });
    signal.go();
    EXPECT_EQ(sibling.turns, 0);
  });
}

TEST_F(BudgetTest, JoinOfFibersThatHaveEndedIsAnActOfEach) {
  on_thread([] {
    Scheduler::current().set_options({.selfishness = 1});
    std::vector<Fiber<int>> ended;
    for (int i = 0; i <= kActsPerOperation; ++i) ended.push_back(spawn("ended", [i] { return i; }));
    yield();
    Sibling sibling;
    yield();
    sibling.turns = 0;
    for (int i = 0; i <= kActsPerOperation; ++i) {
      EXPECT_EQ(sibling.turns, 0);
      EXPECT_EQ(ended[static_cast<std::size_t>(i)].join(), i);
    }
    EXPECT_EQ(sibling.turns, 1);
  });
}

// A cancellation takes nothing from wait_for_all(): what it held when it ended goes to its caller.
TEST_F(BudgetTest, ACancelledFiberTakesNoResultOfAnEndedOne) {
  on_thread([] {
    auto ended = spawn("ended", [] { return 7; });
    yield();
    auto fiber = spawn("fiber", [&] {
      {
        const NoCancel not_yet;
        yield();
      }
      ended.join();
    });
    yield();
    fiber.cancel();
    EXPECT_THROW(fiber.join(), WasCancelled);
    EXPECT_EQ(ended.join(), 7);
  });
}

}  // namespace
}  // namespace cooperative
