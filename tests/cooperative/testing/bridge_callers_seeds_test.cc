#include <cstddef>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/cooperative/testing/bridges.h"
#include "tests/cooperative/testing/wander.h"
#include "tests/support/host.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using mothreads::testing::LogLines;
using mothreads::testing::take_unclaimed_failures;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// --- callers who give up -------------------------------------------------------------------------------------------------------------

// The frame of a caller, as far as a function and its result use it.
struct Frame {
  bool is_left = false;
};
class UsesFrame {
 public:
  explicit UsesFrame(Frame& frame) : frame_(frame) {}
  UsesFrame(const UsesFrame& other) : frame_(other.frame_) {}
  ~UsesFrame() { EXPECT_FALSE(frame_.is_left) << "its caller has gone"; }

 private:
  Frame& frame_;
};

// Of a Scheduler or a CallbackQueue. However it ends, nothing uses the caller's frame afterwards: the function, what it gives, what it throws.
template <typename Bridge>
void call_and_leave(World& world, std::deque<Frame>& frames, Bridge& bridge) {
  Frame& frame = frames.emplace_back();
  struct Leave {
    Frame& frame;
    ~Leave() { frame.is_left = true; }
  } leave{frame};
  const RunIn run_in = chance(world, 5) ? RunIn::own_fiber : RunIn::callbacks;
  const bool throws = chance(world, 3);
  try {
    const auto function = [&] {
      const UsesFrame here(frame);
      wander(world);
      if (chance(world, 4)) sleep(some_time(world));
      if (throws) throw UsesFrame(frame);
      return UsesFrame(frame);
    };
    bridge.callback_result(function, run_in, some_limit(world));
    EXPECT_FALSE(throws);
  } catch (const UsesFrame&) {
    EXPECT_TRUE(throws);
  } catch (const Timedout&) {
  } catch (const Closed&) {
  } catch (const WasCancelled&) {  // with its scheduler
  }
}

template <typename Bridge>
void call_from_everywhere(World& world, std::deque<Frame>& frames, Bridge&& bridge) {
  Threads callers;
  for (int t = 0; t < 2; ++t) {
    callers.push_back(Thread::run("caller", [&](Signal) {
      auto fiber = spawn("caller", [&] {
        for (int i = 0; i < 3; ++i) call_and_leave(world, frames, bridge);
      });
      for (int i = 0; i < 2; ++i) call_and_leave(world, frames, bridge);
      if (chance(world, 5)) fiber.cancel();
      join_or_cancelled(fiber);
    }));
  }
  join(callers);
  static_cast<void>(take_unclaimed_failures());  // of those who were cancelled
}

TEST(CallbackResultSeedsTest, NothingUsesTheFrameOfACallerWhoHasGone) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    std::deque<Frame> frames;
    world.run([&] {
      Host server;
      call_from_everywhere(world, frames, server.scheduler());
    });
  }, kInterrupted);
}

TEST(CallbackResultSeedsTest, NorWhereTheSchedulerEnds) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    std::deque<Frame> frames;
    world.run([&] {
      Host server;
      auto ends = Thread::run("ends it", [&](Signal) {
        for (std::uint64_t i = world.random(20); i > 0; --i) wander(world);
        server.end();
      });
      call_from_everywhere(world, frames, server.scheduler());
      ends.join();
    });
  }, kInterrupted);
}

TEST(CallbackResultSeedsTest, NorOfAQueue) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    std::deque<Frame> frames;
    world.run([&] {
      Host server;
      CallbackQueue queue(server.scheduler(), some_options(world));
      std::optional<mothreads::ThreadHandle<void>> ends;
      if (chance(world, 5)) {
        ends.emplace(Thread::run("ends it", [&](Signal) {
          sleep(some_time(world));
          server.end();
        }));
      }
      call_from_everywhere(world, frames, queue);
      if (ends) ends->join();
    });
  }, kInterrupted);
}

// A thread whose function returns at some moment, between any two rounds of its scheduler.
TEST(CallbackResultSeedsTest, OneWhoseFiberNeverBeganEndsItsCallersWait) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      std::optional<Scheduler> scheduler;
      Signal ready;
      auto host = Thread::run("host", [&](Signal) {
        scheduler.emplace(Scheduler::current());
        ready.go();
        for (std::uint64_t i = world.random(6); i > 0; --i) yield();
      });
      ready.wait();
      for (int i = 0; i < 3; ++i) {
        bool ran = false;
        try {
          scheduler->callback_result([&] { ran = true; });
          EXPECT_TRUE(ran);
        } catch (const Closed&) {
          EXPECT_FALSE(ran);
        } catch (const WasCancelled&) {
          EXPECT_FALSE(ran);
        }
      }
    });
  }, kInterrupted);
}

// A caller who gives up too late cancels nobody else.
template <typename Post, typename CallbackResult>
void expect_that_later_callbacks_are_not_cancelled(World& world, const Scheduler& scheduler, Post post, CallbackResult callback_result) {
  int begun = 0;
  int ended = 0;
  Threads threads;
  // Something that is ready before what others post: between that and the cancelling anything may happen.
  threads.push_back(Thread::run("keeps it busy", [&](Signal) {
    scheduler.callback_result([&] {
      for (int i = 0; i < 30; ++i) {
        spawn("child", [] {}).join();
        if (chance(world, 2)) sleep(absl::Milliseconds(1));
      }
    });
  }));
  for (int t = 0; t < 2; ++t) {
    threads.push_back(Thread::run("gives up", [&](Signal) {
      for (int i = 0; i < 4; ++i) {
        Signal enough;
        auto ends_it = spawn("ends it", [&] {
          sleep(absl::Milliseconds(world.random(3)));
          enough.go();
        });
        try {
          callback_result([&] { enough.wait(); }, absl::Milliseconds(world.random(3)));
        } catch (const Timedout&) {
        }
        ends_it.join();
      }
    }));
    threads.push_back(Thread::run("bystander", [&](Signal) {
      for (int i = 0; i < 4; ++i) {
        post([&] {
          ++begun;
          for (int wait = 0; wait < 3; ++wait) sleep(some_time(world));
          ++ended;
        });
        wander(world);
        sleep(some_time(world));
      }
    }));
  }
  join(threads);
  callback_result([] {}, absl::InfiniteDuration());
  EXPECT_EQ(begun, 8);
  EXPECT_EQ(ended, 8);
}

TEST(CallbackResultSeedsTest, WhoGivesUpOnOneOfTheCallbacksCancelsNoOther) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      expect_that_later_callbacks_are_not_cancelled(
          world, server.scheduler(), [&](auto function) { EXPECT_TRUE(server.scheduler().callback(function)); },
          [&](auto function, absl::Duration limit) { server.scheduler().callback_result(function, RunIn::callbacks, limit); });
    });
  }, kInterrupted);
}

TEST(CallbackQueueSeedsTest, WhoGivesUpOnOneOfTheCallbacksCancelsNoOther) {
  for_many_seeds([](World& world) {
    world.run([&] {
      Host server;
      CallbackQueue queue(server.scheduler());
      expect_that_later_callbacks_are_not_cancelled(
          world, server.scheduler(), [&](auto function) { EXPECT_TRUE(queue.callback(function)); },
          [&](auto function, absl::Duration limit) { queue.callback_result(function, RunIn::callbacks, limit); });
    });
  }, kInterrupted);
}

TEST(CallbackResultSeedsTest, WhatAFunctionThrowsAfterItsCallerWasCancelledIsLogged) {
  LogLines lines;
  World world;
  world.run([&] {
    Host server;
    Signal begun;
    Signal go_on;
    auto caller = spawn("caller", [&] {
      server.scheduler().callback_result([&] {
        begun.go();
        const NoCancel whole;
        go_on.wait();
        throw std::runtime_error("disk on fire");
      });
    });
    begun.wait();
    caller.cancel();
    yield();
    EXPECT_TRUE(caller.is_alive());
    go_on.go();
    EXPECT_THROW(caller.join(), WasCancelled);
  });
  EXPECT_THAT(lines.with("Problem in function \"callback_result\", which nobody joined: disk on fire"), SizeIs(1));
  EXPECT_EQ(take_unclaimed_failures(), 1);
}

TEST(CallbackResultSeedsTest, IsRefusedWhereNothingMayWait) {
  std::string refusal;
  World world;
  world.run([&] {
    Host server;
    Till(absl::Seconds(1)).then([&] {
      try {
        server.scheduler().callback_result([] { ADD_FAILURE() << "nobody waits for it"; });
      } catch (const Misuse& misuse) {
        refusal = misuse.what();
      }
    });
    sleep(absl::Seconds(2));
  });
  EXPECT_THAT(refusal, HasSubstr("let it post a callback"));
}

// --- pools ---------------------------------------------------------------------------------------------------------------------------

TEST(BlockingPoolSeedsTest, EveryCallEndsAndLeavesNothingBehind) {
  const LogLines lines;
  for_many_seeds([](World& world) {
    world.run([&] {
      const std::size_t threads = 1 + world.random(2);
      BlockingPool pool("pool", {.threads = threads, .max_waiting = 1 + world.random(2)});
      std::size_t inside = 0;
      const auto call_one = [&] {
        Frame frame;
        int ran = 0;
        const auto work = [&] {
          const UsesFrame here(frame);
          EXPECT_LE(++inside, threads);
          ++ran;
          wander(world);
          --inside;
        };
        try {
          if (chance(world, 5)) {
            pool.call(work, some_limit(world));
          } else {
            pool.call([&](const Signal& please_stop) {
              work();
              if (chance(world, 3)) static_cast<void>(please_stop.wait(absl::Milliseconds(20)));
            }, some_limit(world));
          }
          EXPECT_EQ(ran, 1);
        } catch (const Timedout&) {
          EXPECT_LE(ran, 1);
        } catch (const Closed&) {
          EXPECT_EQ(ran, 0);
        }
        frame.is_left = true;
      };
      Threads callers;
      for (int t = 0; t < 3; ++t) {
        callers.push_back(Thread::run("caller", [&](Signal) {
          auto fiber = spawn("caller", [&] {
            for (int i = 0; i < 3; ++i) call_one();
          });
          for (int i = 0; i < 3; ++i) call_one();
          if (chance(world, 3)) fiber.cancel();
          join_or_cancelled(fiber);
        }));
      }
      if (chance(world, 3)) {
        sleep(some_time(world));
        pool.stop();
      }
      join(callers);
      EXPECT_EQ(pool.waiting(), 0u);
      EXPECT_EQ(inside, 0u);
    });
  });
}

TEST(BlockingPoolSeedsTest, OnlyItsOwnFunctionsMayNotCallIt) {
  for_many_seeds([](World& world) {
    world.run([&] {
      BlockingPool pool("pool", {.threads = 2});
      BlockingPool other("other", {.threads = 1});
      Threads callers;
      for (int t = 0; t < 3; ++t) {
        callers.push_back(Thread::run("caller", [&](Signal) {
          EXPECT_EQ(pool.call([&] {
            wander(world);
            EXPECT_THROW(pool.call([] {}), Misuse);
            return other.call([&] { return 7; });
          }), 7);
        }));
      }
      join(callers);
    });
  });
}

// Who gives up makes room.
TEST(BlockingPoolSeedsTest, WhoWaitsForRoomGetsThatOfACallerWhoGaveUp) {
  World world;
  world.run([&] {
    BlockingPool pool("pool", {.threads = 1, .max_waiting = 1});
    Signal go_on;
    auto running = spawn("running", [&] { pool.call([&] { go_on.wait(); }); });
    auto waiting = spawn("waiting", [&] { EXPECT_THROW(pool.call([] {}, absl::Seconds(1)), Timedout); });
    auto for_room = spawn("waits for room", [&] { return pool.call([] { return 3; }); });
    sleep(absl::Seconds(2));
    EXPECT_EQ(pool.waiting(), 1u);
    go_on.go();
    EXPECT_EQ(for_room.join(), 3);
  });
}

}  // namespace
}  // namespace cooperative::testing
