// What calls from other threads leave behind when one side ends before its turn: nobody waits for ever, and nothing outlives its owner.

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/handler_callback.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::kSanitized;
using ::testing::HasSubstr;

// --- callback_result -----------------------------------------------------------------------------------------------------------------

// A thread with a scheduler that does nothing, not even look for what others ask of it, until it is let go.
class BusyHost {
 public:
  // Then it runs `rest`.
  explicit BusyHost(std::function<void(const Signal& please_stop)> rest)
      : thread_(Thread::run("host", [this, rest = std::move(rest)](const Signal& please_stop) {
          scheduler_.emplace(Scheduler::current());
          spawn("first", [] {}).join();
          is_there_.go();
          mothreads::testing::await([&] { return may_go_on_.load(); });
          rest(please_stop);
        })) {
    is_there_.wait();
  }
  Scheduler scheduler() const { return *scheduler_; }
  void request_stop() { thread_.stop(); }
  void let_go() { may_go_on_ = true; }
  void join() { thread_.join(); }

 private:
  std::optional<Scheduler> scheduler_;
  Signal is_there_;
  std::atomic<bool> may_go_on_{false};
  mothreads::ThreadHandle<void> thread_;
};

enum class Told { its_value, was_cancelled, closed };

// A thread that asks the host, and sleeps by the time that this returns.
mothreads::ThreadHandle<Told> ask(const BusyHost& host) {
  auto asker = Thread::run("asker", [there = host.scheduler()](Signal) {
    try {
      there.callback_result([] {});
    } catch (const WasCancelled&) {
      return Told::was_cancelled;
    } catch (const Closed&) {
      return Told::closed;
    }
    return Told::its_value;
  });
  mothreads::testing::await([&] { return mothreads::testing::sleeps_on(asker.thread()).has_value(); });
  return asker;
}

// The function's fiber has been made, and its thread ends: it never begins.
TEST(BridgeEndsTest, WhoAsksASchedulerThatEndsIsToldSo) {
  BusyHost host([](Signal) { yield(); });  // one round: the callback has its turn, what it makes has not
  auto asker = ask(host);
  host.let_go();
  EXPECT_EQ(asker.join(), Told::was_cancelled);
  host.join();
}

// The stop comes between the callback and the first turn of the function's fiber.
TEST(BridgeEndsTest, WhoAsksASchedulerThatIsStoppedIsToldSo) {
  BusyHost host([](Signal) {
    for (int i = 0; i < 5; ++i) yield();  // it goes on after its stop
  });
  auto asker = ask(host);
  host.request_stop();
  host.let_go();
  EXPECT_EQ(asker.join(), Told::was_cancelled);
  host.join();
}

TEST(BridgeEndsTest, WhereNothingMayBlockACallIsRefusedBeforeItIsPosted) {
  BusyHost host([](const Signal& please_stop) { please_stop.wait(); });
  CallbackQueue queue(host.scheduler());
  Thread::run("of the library", [&](Signal) {
    mothreads::internal::Context::current().care.must_not_block = true;
    std::string said;
    try {
      queue.callback_result([] { ADD_FAILURE() << "it was refused"; }, absl::ZeroDuration());
    } catch (const Misuse& misuse) {
      said = misuse.what();
    }
    EXPECT_THAT(said, HasSubstr("Deadlock detected"));
    EXPECT_EQ(queue.size(), 0u);
    mothreads::internal::Context::current().care.must_not_block = false;
  }).join();
  host.let_go();
  host.request_stop();
  host.join();
}

// --- functions and their owners ------------------------------------------------------------------------------------------------------

// A function with something that tells how many of them there are.
class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(&count) { ++*count_; }
  Counted(const Counted& other) : count_(other.count_) { ++*count_; }
  Counted(Counted&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  ~Counted() {
    if (count_ != nullptr) --*count_;
  }
  void operator()() const {}

 private:
  std::atomic<int>* count_;
};

TEST(BridgeEndsTest, AHandlerCallbackThatWasPostedLeavesNoFunctionBehind) {
  BusyHost host([](const Signal& please_stop) { please_stop.wait(); });
  std::atomic<int> functions{0};
  {
    const HandlerCallback callback(host.scheduler(), Counted(functions));
    EXPECT_TRUE(callback.post());
    EXPECT_EQ(functions, 1);
  }
  EXPECT_EQ(functions, 0);
  host.let_go();
  host.request_stop();
  host.join();
}

// The queue goes while its fiber, which has just made room, is between two of them.
TEST(BridgeEndsTest, ACallbackQueueLeavesNoFunctionBehind) {
  constexpr int kTimes = kSanitized ? 2'000 : 20'000;
  const mothreads::testing::LogLines quiet;  // it says how many it withdraws
  std::optional<Scheduler> there;
  Signal is_there;
  auto host = Thread::run("host", [&](const Signal& please_stop) {
    there.emplace(Scheduler::current());
    is_there.go();
    please_stop.wait();
  });
  is_there.wait();
  std::atomic<int> functions{0};
  for (int i = 0; i < kTimes; ++i) {
    {
      CallbackQueue queue(*there, {.max = 1});
      for (int more = 0; more < 3; ++more) EXPECT_TRUE(queue.callback(Counted(functions)));  // the last ones when there is room
    }
    ASSERT_EQ(functions, 0);
  }
  host.stop().join();
}

// --- a pool --------------------------------------------------------------------------------------------------------------------------

// One thread, which is busy until it is let go, and room for one call.
class FullPool {
 public:
  FullPool() {
    Signal begun;
    busy_ = spawn("busy", [this, begun] {
      pool->call([this, begun](const Signal& please_stop) {
        begun.go();
        (go_on_ | please_stop).wait();
      });
    });
    begun.wait();
  }
  void let_go() { go_on_.go(); }

  std::optional<BlockingPool> pool{std::in_place, "files", BlockingPoolOptions{.threads = 1, .max_waiting = 1}};

 private:
  Signal go_on_;
  Fiber<void> busy_;
};

// Nobody else may come to give it to him.
TEST(BridgeEndsTest, TheRoomOfWhoGivesUpGoesToWhoWaitsForIt) {
  FullPool full;
  const Signal enough;
  auto gives_up = spawn("gives up", [&] { full.pool->call([] { ADD_FAILURE() << "it was withdrawn"; }, enough); });
  yield();
  bool ran = false;
  auto waits = spawn("waits", [&] { full.pool->call([&] { ran = true; }); });
  yield();
  EXPECT_EQ(full.pool->waiting(), 1u);
  enough.go();
  EXPECT_THROW(gives_up.join(), Stopped);
  EXPECT_EQ(full.pool->waiting(), 1u);
  full.let_go();
  waits.join();
  EXPECT_TRUE(ran);
}

TEST(BridgeEndsTest, SoDoesThatOfWhoIsCancelled) {
  FullPool full;
  auto gives_up = spawn("gives up", [&] { full.pool->call([] { ADD_FAILURE() << "it was withdrawn"; }); });
  yield();
  auto waits = spawn("waits", [&] { full.pool->call([] {}); });
  yield();
  EXPECT_THROW(gives_up.cancel().join(), WasCancelled);
  full.let_go();
  waits.join();
}

// Who waits for its turn is told when the pool goes, and may be slow to look.
TEST(BridgeEndsTest, APoolMayGoBeforeWhoWaitsForItGoesOn) {
  FullPool full;
  Signal waits;
  std::atomic<bool> has_gone{false};
  std::string said;
  auto caller = Thread::run("caller", [&](Signal) {
    auto fiber = spawn("fiber", [&] {
      try {
        full.pool->call([] {});
      } catch (const Closed& closed) {
        said = closed.what();
      }
    });
    yield();
    waits.go();
    mothreads::testing::await([&] { return has_gone.load(); });  // meanwhile the fiber cannot go on
    fiber.join();
  });
  waits.wait();
  full.pool.reset();
  has_gone = true;
  caller.join();
  EXPECT_EQ(said, "the pool \"files\" was stopped");
}

}  // namespace
}  // namespace cooperative
