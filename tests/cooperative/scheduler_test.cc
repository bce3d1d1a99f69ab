#include "cooperative/scheduler.h"

#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/host.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using testing::Host;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// --- callback ------------------------------------------------------------------------------------------------------------------

TEST(CallbackTest, RunsOnTheSchedulersThreadInTheOrderOfPosting) {
  Host host;
  std::vector<int> order;
  Signal done;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(host.scheduler().callback([&order, i] { order.push_back(i); }));
  std::string where;
  host.scheduler().callback([&] {
    where = Thread::current().name();
    done.go();
  });
  done.wait();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  EXPECT_EQ(where, "host");
}

TEST(CallbackTest, IsPostedAlsoOnItsOwnThread) {
  bool ran = false;
  Scheduler::current().callback([&] { ran = true; });
  EXPECT_FALSE(ran);
  yield();
  yield();
  EXPECT_TRUE(ran);
}

TEST(CallbackTest, OneThatWaitsKeepsTheLaterOnesWaiting) {
  std::vector<std::string> order;
  Event<> event;
  const Scheduler here = Scheduler::current();
  here.callback([&] {
    event.wait();
    order.push_back("first");
  });
  here.callback([&] { order.push_back("second"); });
  for (int i = 0; i < 4; ++i) yield();
  EXPECT_TRUE(order.empty());
  event.signal();
  for (int i = 0; i < 4; ++i) yield();
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

TEST(CallbackTest, NeedsNoRoomAmongTheFibersThatMayBe) {
  Thread::run("host", [](Signal) {
    Scheduler::current().set_options({.max_fibers = 0});
    bool called = false;
    Scheduler::current().callback([&] { called = true; });
    yield_until_idle();
    EXPECT_TRUE(called);
  }).join();
}

// A stop comes before the turn of a callback: the fiber that would call it is cancelled before it has begun.
TEST(CallbackTest, AfterAStopLaterOnesStillRun) {
  std::promise<Scheduler> there;
  std::promise<void> posted;
  int sum = 0;
  auto host = Thread::run("host", [&](Signal please_stop) {
    const Scheduler here = Scheduler::current();
    there.set_value(here);
    posted.get_future().wait();  // of the standard library: the scheduler does not look at its posts meanwhile
    please_stop.wait();
    here.callback([&] { sum += 1; });
    yield_until_idle();
    EXPECT_EQ(sum, 11);
  });
  const Scheduler scheduler = there.get_future().get();
  scheduler.callback([&] { sum += 10; });
  host.stop();
  posted.set_value();
  host.join();
  EXPECT_EQ(sum, 11);
}

TEST(CallbackTest, ManyDoNotStarveTheFibers) {
  const Scheduler here = Scheduler::current();
  int calls = 0;
  int calls_when_it_ran = -1;
  for (int i = 0; i < 1000; ++i) here.callback([&] { ++calls; });
  yield();
  auto fiber = spawn("fiber", [&] { calls_when_it_ran = calls; });
  fiber.join();
  EXPECT_LT(calls_when_it_ran, 1000);
  while (calls < 1000) yield();
}

TEST(CallbackTest, WhatItThrowsIsLoggedAndTheNextRuns) {
  LogLines lines;
  bool ran = false;
  const Scheduler here = Scheduler::current();
  here.callback([] { throw std::runtime_error("spilled"); });
  here.callback([&] { ran = true; });
  for (int i = 0; i < 3; ++i) yield();
  EXPECT_TRUE(ran);
  const auto found = lines.with("Asynchronous callback raised uncaught exception");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].text, HasSubstr("spilled"));
}

TEST(CallbackTest, AnEndedSchedulerTakesNone) {
  Host host;
  const Scheduler scheduler = host.scheduler();
  EXPECT_FALSE(scheduler.has_ended());
  host.end();
  EXPECT_TRUE(scheduler.has_ended());
  EXPECT_FALSE(scheduler.callback([] { FAIL() << "ran on an ended scheduler"; }));
}

TEST(CallbackTest, OnesWhoseTurnNeverComesAreDroppedAndSaidSo) {
  LogLines lines;
  auto kept = std::make_shared<int>(1);
  Thread::run("host", [&](Signal) {
    for (int i = 0; i < 3; ++i) Scheduler::current().callback([kept] { FAIL() << "it ended before"; });
  }).join();
  EXPECT_EQ(kept.use_count(), 1);
  EXPECT_THAT(lines.with("3 callbacks for scheduler of host were withdrawn"), SizeIs(1));
}

// The next scheduler may be the same object: what the ended one was about to do is not its business.
TEST(CallbackTest, OnesWhoseFiberHasNotBegunLeaveNothingToTheNextScheduler) {
  LogLines lines;
  Thread::run("first", [](Signal) {
    Signal end;
    auto poster = spawn("poster", [&] {
      Scheduler::current().callback([] { FAIL() << "it ended before"; });
      end.go();
    });
    end.wait();
    poster.release();
  }).join();
  bool ran = false;
  Thread::run("second", [&](Signal) {
    Scheduler::current().callback([&] { ran = true; });
    for (int i = 0; i < 3; ++i) yield();
  }).join();
  EXPECT_TRUE(ran);
}

TEST(CallbackTest, AnEmptyFunctionIsMisuse) {
  const Scheduler here = Scheduler::current();
  EXPECT_THROW(here.callback(absl::AnyInvocable<void()>()), Misuse);
  EXPECT_THROW(here.callback(std::function<void()>()), Misuse);
  void (*nothing)() = nullptr;
  EXPECT_THROW(here.callback(nothing), Misuse);
}

TEST(CallbackTest, ManyThreadsPostAtOnceAndNoneIsLost) {
  Host host;
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<mothreads::ThreadHandle<void>> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.push_back(Thread::run("poster", [&, t](Signal) {
      for (int i = 0; i < kEach; ++i) host.scheduler().callback([&seen, t, i] { seen[t].push_back(i); });
    }));
  }
  mothreads::join_all(threads);
  host.scheduler().callback_result([] {});
  for (const auto& of_thread : seen) {
    ASSERT_THAT(of_thread, SizeIs(kEach));
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(of_thread[i], i);
  }
}

// What an object goes through, to be counted from any thread.
struct Lives {
  std::atomic<int> made{0};
  std::atomic<int> ended{0};
};
class Life {
 public:
  explicit Life(Lives& lives) : lives_(&lives) { ++lives_->made; }
  Life(Life&& other) noexcept : lives_(other.lives_) { ++lives_->made; }
  Life(const Life& other) : lives_(other.lives_) { ++lives_->made; }
  ~Life() { ++lives_->ended; }

 private:
  Lives* lives_;
};

TEST(CallbackTest, FunctionsOfAnySizeAreDestroyedWhenTheyHaveRun) {
  Host host;
  Lives lives;
  std::array<char, 500> big{};
  big.back() = 'z';
  char seen = 0;
  Signal gone;
  host.scheduler().callback([life = Life(lives)] {});
  host.scheduler().callback([life = Life(lives), big, &seen] { seen = big.back(); });
  host.scheduler().callback([life = Life(lives), owner = std::make_unique<int>(1)] { throw *owner; });
  host.scheduler().callback([&gone] { gone.go(); });
  gone.wait();
  EXPECT_EQ(seen, 'z');
  EXPECT_GT(lives.made, 3);
  EXPECT_EQ(lives.made, lives.ended);
}

TEST(CallbackTest, AFunctionThatCannotBeCopiedIntoItsPlaceIsNotPosted) {
  struct NoCopy {
    NoCopy() = default;
    NoCopy(const NoCopy&) { throw std::runtime_error("no copy"); }
    void operator()() { FAIL() << "it never came to be"; }
  };
  const Scheduler here = Scheduler::current();
  const NoCopy function;
  EXPECT_THROW(here.callback(function), std::runtime_error);
  for (int i = 0; i < 3; ++i) yield();
}

TEST(CallbackTest, AThreadMayPostWhileItEnds) {
  struct AtEnd {
    ~AtEnd() {
      for (int i = 0; i < 3; ++i) scheduler->callback([ran = ran] { ++*ran; });
    }
    std::optional<Scheduler> scheduler;
    int* ran = nullptr;
  };
  Host host;
  int ran = 0;
  Thread::run("poster", [&](Signal) {
    // Destroyed after what the library keeps for this thread, which is made later.
    thread_local AtEnd at_end;
    at_end.scheduler = host.scheduler();
    at_end.ran = &ran;
    host.scheduler().callback([&] { ++ran; });
  }).join();
  EXPECT_EQ(host.scheduler().callback_result([&] { return ran; }), 4);
}

TEST(CallbackTest, ASchedulerThatHasAllItsFibersStillRunsThem) {
  Host host;
  Signal ran;
  host.scheduler().callback_result([] { Scheduler::current().set_options({.max_fibers = 0}); });
  host.scheduler().callback([&] { ran.go(); });
  ran.wait();
  EXPECT_THROW(host.scheduler().callback_result([] {}), FiberLimit);
}

TEST(CallbackTest, OneThatIsCancelledLeavesTheLaterOnesTheirTurn) {
  Signal posted;
  Signal second_ran;
  auto host = Thread::run("host", [&](Signal please_stop) {
    const Scheduler here = Scheduler::current();
    Event<> never;
    here.callback([&] { never.wait(); });
    here.callback([&] { second_ran.go(); });
    yield();
    yield();
    posted.go();
    please_stop.wait();
    second_ran.wait();
  });
  posted.wait();
  EXPECT_FALSE(second_ran);
  host.stop().join();
  EXPECT_TRUE(second_ran);
}

// --- callback_result -------------------------------------------------------------------------------------------------------------

TEST(CallbackResultTest, GivesTheValueOrThrowsWhatItThrew) {
  Host host;
  EXPECT_EQ(host.scheduler().callback_result([] { return Thread::current().name(); }), "host");
  EXPECT_THROW(host.scheduler().callback_result([] { throw std::out_of_range("too far"); }), std::out_of_range);
}

TEST(CallbackResultTest, TheFunctionMayWait) {
  Host host;
  EXPECT_EQ(host.scheduler().callback_result([] {
    yield();
    return 7;
  }),
            7);
}

TEST(CallbackResultTest, OnItsOwnThreadItIsACall) {
  bool ran = false;
  EXPECT_EQ(Scheduler::current().callback_result([&] { return ran = true; }), true);
  EXPECT_TRUE(ran);
}

TEST(CallbackResultTest, AmongTheCallbacksItKeepsTheOrderAndItsLimitOnItsOwnThreadToo) {
  const Scheduler here = Scheduler::current();
  std::vector<int> order;
  here.callback([&] {
    yield();
    order.push_back(1);
  });
  const auto second = [&] {
    order.push_back(2);
    return 5;
  };
  EXPECT_EQ(here.callback_result(second, RunIn::callbacks), 5);
  EXPECT_THAT(order, ElementsAre(1, 2));
  Signal never;
  Signal enough;
  const auto endless = [&] {
    enough.go();
    never.wait();
  };
  EXPECT_THROW(here.callback_result(endless, RunIn::callbacks, enough), Stopped);
  here.callback([&] { never.wait(); });
  EXPECT_THROW(here.callback_result([&] { ADD_FAILURE() << "it was withdrawn"; }, RunIn::callbacks, absl::ZeroDuration()), Timedout);
  never.go();
  yield_until_idle();
}

TEST(CallbackResultTest, AmongTheCallbacksItIsMisuseInACallback) {
  const Scheduler here = Scheduler::current();
  std::string what;
  int result = 0;
  here.callback([&] {
    try {
      here.callback_result([] {}, RunIn::callbacks);
    } catch (const mothreads::Misuse& misuse) {
      what = misuse.what();
    }
    result = here.callback_result([] { return 5; });
  });
  yield_until_idle();
  EXPECT_THAT(what, ::testing::HasSubstr("would wait for its own end"));
  EXPECT_EQ(result, 5);
}

TEST(CallbackTest, AFunctionThatIsRefusedIsUntouched) {
  std::optional<Scheduler> ended;
  Thread::run("host", [&](Signal) { ended.emplace(Scheduler::current()); }).join();
  std::function<void()> function = [] {};
  EXPECT_EQ(ended->callback(std::move(function)).why(), mothreads::Why::closed);
  EXPECT_TRUE(static_cast<bool>(function));  // NOLINT(bugprone-use-after-move): whether it was moved is the question
}

TEST(CallbackResultTest, OneThatHasBegunIsCancelledAndAwaited) {
  Host host;
  bool unwound = false;
  Signal begun;
  EXPECT_THROW(host.scheduler().callback_result(
                   [&] {
                     struct Guard {
                       bool& unwound;
                       ~Guard() { unwound = true; }
                     } guard{unwound};
                     begun.go();
                     sleep(absl::InfiniteDuration());
                   },
                   begun),
               Stopped);
  EXPECT_TRUE(unwound);
}

TEST(CallbackResultTest, ACallbackThatWaitsDoesNotDelayTheCancelling) {
  Host host;
  Signal begun;
  Signal go_on;
  EXPECT_THROW(host.scheduler().callback_result(
                   [&] {
                     host.scheduler().callback([&] {
                       begun.go();
                       go_on.wait();
                     });
                     sleep(absl::InfiniteDuration());
                   },
                   begun),
               Stopped);
  go_on.go();
  host.scheduler().callback_result([] {});
}

TEST(CallbackResultTest, OneThatHasNotBegunNeverDoes) {
  Host host;
  Signal go_on;
  host.scheduler().callback([&] { go_on.wait(); });  // keeps the later ones waiting
  EXPECT_THROW(host.scheduler().callback_result([] { FAIL() << "it was withdrawn"; }, absl::ZeroDuration()), Timedout);
  go_on.go();
  host.scheduler().callback_result([] {});
}

TEST(CallbackResultTest, TheEndOfTheSchedulerEndsTheWait) {
  Signal posted;
  std::optional<Scheduler> scheduler;
  auto host = Thread::run("host", [&](Signal) {
    scheduler.emplace(Scheduler::current());
    const Scheduler here = *scheduler;
    here.callback([] { sleep(absl::InfiniteDuration()); });  // keeps the later ones waiting
    posted.go();
    yield();
    yield();
  });
  posted.wait();
  EXPECT_THROW(scheduler->callback_result([] {}), Closed);
  host.join();
  EXPECT_THROW(scheduler->callback_result([] {}), Closed);
}

TEST(CallbackResultTest, WorksBetweenTheFibersOfTwoSchedulers) {
  Host host;
  bool other_ran = false;
  auto asker = spawn("asker", [&] { return host.scheduler().callback_result([] { return 5; }); });
  auto other = spawn("other", [&] { other_ran = true; });
  other.join();
  EXPECT_TRUE(other_ran);
  EXPECT_EQ(asker.join(), 5);
}

TEST(SchedulerTest, WhileItIsAwakeNobodyWakesIt) {
  Host host;
  const auto wakes = [&] { return host.scheduler().callback_result([] { return Scheduler::current().statistics().wakes; }); };
  const auto before = wakes();
  constexpr int kBursts = 10;
  for (int burst = 0; burst < kBursts; ++burst) {
    Signal go_on;
    Signal running;
    host.scheduler().callback([&] {
      running.go();
      while (!go_on) {
      }
    });
    running.wait();
    for (int i = 0; i < 1000; ++i) host.scheduler().callback([] {});
    go_on.go();
    host.scheduler().callback_result([] {});
  }
  // For each burst at most the first callback and the last call, and one for the question.
  EXPECT_LE(wakes() - before, 2 * kBursts + 1);
}

TEST(SchedulerTest, WhileItIsBusyNoThreadWakesIt) {
  Host host;
  Signal running;
  std::atomic<int> posting{4};
  std::vector<mothreads::ThreadHandle<void>> posters;
  for (int t = posting; t > 0; --t) {
    posters.push_back(Thread::run("poster", [&](Signal) {
      running.wait();
      for (int i = 0; i < 1000; ++i) host.scheduler().callback([] {});
      --posting;
    }));
  }
  const auto wakes = host.scheduler().callback_result([&] {
    const auto before = Scheduler::current().statistics().wakes;
    running.go();
    while (posting > 0) {
    }
    return Scheduler::current().statistics().wakes - before;
  });
  EXPECT_EQ(wakes, 0u);
  mothreads::join_all(posters);
}

TEST(SchedulerTest, EachSleepIsEndedByOneWakeAtMost) {
  Host host;
  std::vector<mothreads::ThreadHandle<void>> posters;
  for (int t = 0; t < 4; ++t) {
    posters.push_back(Thread::run("poster", [&](Signal) {
      for (int burst = 0; burst < 100; ++burst) {
        for (int i = 0; i < 50; ++i) host.scheduler().callback([] {});
        host.scheduler().callback_result([] {});  // it may sleep then
      }
    }));
  }
  mothreads::join_all(posters);
  const SchedulerStatistics statistics = host.scheduler().callback_result([] { return Scheduler::current().statistics(); });
  EXPECT_LE(statistics.wakes, statistics.sleeps);
}

TEST(SchedulerTest, ItsStatisticsAreForItsOwnThread) {
  Host host;
  EXPECT_THROW(static_cast<void>(host.scheduler().statistics()), Misuse);
}

}  // namespace
}  // namespace cooperative
