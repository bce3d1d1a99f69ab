// What threads ask of other threads' schedulers, and of pools, while those end and callers give up, over many interleavings. A failure
// names its seed: WORLD_SEED=42 replays it.
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/callback_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/handler_callback.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/cooperative/testing/bridges.h"
#include "tests/cooperative/testing/wander.h"
#include "tests/support/host.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::LogLines;
using ::testing::ElementsAre;

// What becomes of a function that was given away: it says so when it goes.
struct Fate {
  bool accepted = false;
  bool ran = false;
  bool gone = false;
};
class Given {
 public:
  explicit Given(Fate& fate) : fate_(&fate) {}
  Given(Given&& other) noexcept : fate_(std::exchange(other.fate_, nullptr)) {}
  ~Given() {
    if (fate_ != nullptr) fate_->gone = true;
  }
  void run() { fate_->ran = true; }

 private:
  Fate* fate_;
};

// --- queues of callbacks -------------------------------------------------------------------------------------------------------------

// What three threads with two fibers each post to one queue.
class Posters {
 public:
  Posters(World& world, CallbackQueue& queue) : world_(world), queue_(queue) {
    for (int t = 0; t < 3; ++t) {
      threads_.push_back(Thread::run("poster", [this](Signal) {
        auto fiber = spawn("poster", [this] { post_some(); });
        wander(world_);
        if (chance(world_, 2)) fiber.cancel();
        post_some();
        join_or_cancelled(fiber);
      }));
    }
  }
  void join() { testing::join(threads_); }

  // To be asked when the queue has gone.
  void expect_that_each_is_accounted_for(bool all_accepted_ran) {
    for (const Fate& fate : fates_) {
      EXPECT_TRUE(fate.gone);
      EXPECT_FALSE(fate.ran && !fate.accepted);
      EXPECT_FALSE(all_accepted_ran && fate.accepted && !fate.ran);
    }
  }

 private:
  void post_some() {
    std::size_t last = 0;
    const auto order = std::make_shared<std::size_t>(0);
    for (int i = 0; i < 4; ++i) {
      Fate& fate = fates_.emplace_back();
      const std::size_t number = ++last;
      const auto ended = queue_.callback(
          [this, order, number, given = Given(fate)]() mutable {
            EXPECT_EQ(++inside_, 1);
            const absl::Cleanup leave = [this] { --inside_; };  // one that waits may be cancelled there
            given.run();
            EXPECT_GT(number, std::exchange(*order, number));
            wander(world_);
          },
          some_limit(world_));
      fate.accepted = static_cast<bool>(ended);
      wander(world_);
    }
  }

  World& world_;
  CallbackQueue& queue_;
  std::deque<Fate> fates_;
  int inside_ = 0;
  Threads threads_;
};

TEST(CallbackQueueSeedsTest, WhatItTakesRunsOnceInOrderAndWhatItRefusesNever) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      CallbackQueue queue(server.scheduler(), some_options(world));
      Posters posters(world, queue);
      posters.join();
      sleep(absl::Seconds(10));
      EXPECT_EQ(queue.size(), 0u);
      posters.expect_that_each_is_accounted_for(queue.dropped() == 0);
    });
  }, kInterrupted);
}

TEST(CallbackQueueSeedsTest, TheEndOfTheSchedulerLeavesNobodyWaiting) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      CallbackQueue queue(server.scheduler(), some_options(world));
      Posters posters(world, queue);
      wander(world);
      sleep(some_time(world));
      server.end();
      posters.join();
      EXPECT_EQ(queue.callback([] { ADD_FAILURE() << "its scheduler has ended"; }).why(), Why::closed);
      EXPECT_EQ(queue.size(), 0u);
      posters.expect_that_each_is_accounted_for(false);
    });
  }, kInterrupted);
}

TEST(CallbackQueueSeedsTest, ItsEndDropsTheRestAndAwaitsWhatRuns) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      std::optional<CallbackQueue> queue(std::in_place, server.scheduler(), some_options(world));
      Posters posters(world, *queue);
      posters.join();
      wander(world);
      queue.reset();
      posters.expect_that_each_is_accounted_for(false);
    });
  }, kInterrupted);
}

// Whether a thread that posts may be interrupted right after it: then what it posted runs first.
template <typename Post>
void expect_that_posts_may_be_interrupted(Post post) {
  const auto runs_at_once = [&](std::uint64_t seed, bool interrupt_posts) {
    bool ran = false;
    bool ran_at_once = false;
    World world({.seed = seed, .interrupt_posts = interrupt_posts});
    world.run([&] {
      Host server;
      post(server.scheduler(), ran, ran_at_once);
    });
    return ran_at_once;
  };
  std::set<bool> seen;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    EXPECT_FALSE(runs_at_once(seed, false));
    seen.insert(runs_at_once(seed, true));
  }
  EXPECT_THAT(seen, ElementsAre(false, true));
}

TEST(CallbackQueueSeedsTest, PostsMayBeInterrupted) {
  expect_that_posts_may_be_interrupted([](const Scheduler& scheduler, bool& ran, bool& ran_at_once) {
    CallbackQueue queue(scheduler);
    EXPECT_TRUE(queue.callback([&] { ran = true; }));
    ran_at_once = ran;
    queue.callback_result([] {});
  });
}

// --- callbacks for signal handlers -------------------------------------------------------------------------------------------------

// For AddressSanitizer: who posts it is still inside callback() when it runs.
TEST(CallbackQueueSeedsTest, ACallbackMayDestroyItsQueueAndTheHandlesOfItsPoster) {
  for_each_seed(
      100,
      [](World& world) {
        world.run([&] {
          std::unique_ptr<CallbackQueue> queue;
          std::unique_ptr<Scheduler> handle;
          const Signal ready;
          auto host = Thread::run("host", [&](const Signal&) {
            handle = std::make_unique<Scheduler>(Scheduler::current());
            queue = std::make_unique<CallbackQueue>(*handle, CallbackQueueOptions{.max = 1, .when_full = WhenFull::drop_oldest});
            ready.go();
            while (queue != nullptr || handle != nullptr) sleep(absl::Seconds(1));
          });
          auto poster = Thread::run("poster", [&](const Signal&) {
            ready.wait();
            CallbackQueue& its_queue = *queue;
            if (chance(world, 2)) its_queue.callback([] {});
            its_queue.callback([&] { queue.reset(); });
          });
          auto other = Thread::run("other", [&](const Signal&) {
            ready.wait();
            handle->callback([&] { handle.reset(); });
          });
          poster.join();
          other.join();
          host.join();
        });
      },
      kInterrupted);
}

TEST(HandlerCallbackSeedsTest, PostsMayBeInterrupted) {
  expect_that_posts_may_be_interrupted([](const Scheduler& scheduler, bool& ran, bool& ran_at_once) {
    HandlerCallback callback(scheduler, [&] { ran = true; });
    EXPECT_TRUE(callback.post());
    ran_at_once = ran;
    scheduler.callback_result([] {});
  });
}

TEST(HandlerCallbackSeedsTest, ItRunsAfterEachPostAndNeverTwiceAtATime) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      int asked = 0;
      int seen = 0;
      int inside = 0;
      {
        HandlerCallback callback(server.scheduler(), [&] {
          EXPECT_EQ(++inside, 1);
          const int now = asked;
          wander(world);
          seen = now;
          --inside;
        });
        Threads posters;
        for (int t = 0; t < 3; ++t) {
          posters.push_back(Thread::run("poster", [&](Signal) {
            for (int i = 0; i < 4; ++i) {
              ++asked;
              EXPECT_TRUE(callback.post());
              wander(world);
            }
          }));
        }
        join(posters);
        while (seen < asked) sleep(absl::Milliseconds(1));
      }
      EXPECT_EQ(seen, 12);
    });
  }, kInterrupted);
}

TEST(HandlerCallbackSeedsTest, ItsEndAndItsSchedulersLeaveNothingToRun) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      Fate fate;
      std::optional<HandlerCallback> callback(std::in_place, server.scheduler(), [&world, given = Given(fate)]() mutable {
        given.run();
        wander(world);
        given.run();
      });
      Threads posters;
      for (int t = 0; t < 2; ++t) {
        posters.push_back(Thread::run("poster", [&](Signal) {
          for (int i = 0; i < 4; ++i) {
            const bool had_ended = server.scheduler().has_ended();
            const bool taken = callback->post();
            EXPECT_FALSE(had_ended && taken);
            wander(world);
          }
        }));
      }
      wander(world);
      const bool ends_first = chance(world, 5);
      if (ends_first) server.end();
      join(posters);
      callback.reset();
      EXPECT_TRUE(fate.gone);
      fate.ran = false;
      if (!ends_first) server.scheduler().callback_result([] {});
      EXPECT_FALSE(fate.ran);
    });
  }, kInterrupted);
}

}  // namespace
}  // namespace cooperative::testing
