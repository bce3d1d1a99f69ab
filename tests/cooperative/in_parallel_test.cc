#include "cooperative/in_parallel.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/with_timeout.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Names = std::vector<std::string>;

// Puts down when it is left.
struct Leaves {
  Names& order;
  const char* name;
  ~Leaves() { order.push_back(name); }
};

// Sleeps for ever, and needs some turns to be unwound.
auto slow_to_leave(Names& order, const char* name) {
  return [&order, name] {
    const Leaves leaves{order, name};
    struct Lingers {
      ~Lingers() {
        for (int i = 0; i < 3; ++i) yield();
      }
    } lingers;
    sleep(absl::InfiniteDuration());
  };
}

// --- in_parallel -----------------------------------------------------------------------------------------------------------------

TEST(InParallelTest, GivesTheResultsInTheirOrder) {
  Event<int> event;
  const auto results = in_parallel([&] { return event.wait(); }, [&] { event.signal(7); },
                                   [] { return std::make_unique<std::string>("third"); });
  static_assert(std::is_same_v<decltype(results), const std::tuple<int, std::monostate, std::unique_ptr<std::string>>>);
  EXPECT_EQ(std::get<0>(results), 7);
  EXPECT_EQ(*std::get<2>(results), "third");
}

TEST(InParallelTest, TheyRunAtATime) {
  Names order;
  const auto twice = [&](const char* name) {
    return [&order, name] {
      order.push_back(name);
      yield();
      order.push_back(name);
    };
  };
  in_parallel(twice("a"), twice("b"));
  EXPECT_THAT(order, ElementsAre("a", "b", "a", "b"));
}

TEST(InParallelTest, OfNothingDoesNotWait) {
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_EQ(in_parallel(), std::tuple<>());
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST(InParallelTest, TheFirstExceptionCancelsTheOthersAndWaitsForThem) {
  Names order;
  EXPECT_EQ(what_of<std::out_of_range>([&] {
              in_parallel(slow_to_leave(order, "first"),
                          [&]() -> int {
                            yield();
                            order.push_back("throws");
                            throw std::out_of_range("too far");
                          },
                          slow_to_leave(order, "third"));
            }),
            "too far");
  EXPECT_THAT(order, ElementsAre("throws", "third", "first"));  // told newest first
}

TEST(InParallelTest, OfSeveralExceptionsTheEarliestIsThrownAndTheOthersLogged) {
  LogLines log;
  auto caller = spawn("caller", [] {
    in_parallel(
        [] {
          try {
            sleep(absl::InfiniteDuration());
          } catch (const FiberCancelled&) {
            throw std::runtime_error("could not tidy up");
          }
        },
        [] { throw std::runtime_error("original"); });
  });
  EXPECT_EQ(what_of<std::runtime_error>([&] { caller.join(); }), "original");
  EXPECT_THAT(log.with("caller, part 1: a function that nobody waits for any more failed: could not tidy up"), SizeIs(1));
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
}

TEST(InParallelTest, ACallerWhoIsCancelledTakesThemWithHim) {
  Names order;
  auto caller = spawn("caller", [&] {
    const Leaves leaves{order, "caller"};
    in_parallel(slow_to_leave(order, "a"), slow_to_leave(order, "b"));
  });
  yield();
  yield();
  EXPECT_THROW(caller.cancel().join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("b", "a", "caller"));
}

TEST(InParallelTest, AStopOfTheCallerCancelsThem) {
  Names order;
  std::string said;
  auto caller = spawn("caller", [&](Signal) {
    said = what_of<WasCancelled>([&] { in_parallel(slow_to_leave(order, "a"), [] { return 1; }); });
  });
  yield();
  yield();
  caller.stop().join();
  EXPECT_EQ(said, "a function of in_parallel was cancelled: there is no result");
  EXPECT_THAT(order, ElementsAre("a"));
}

TEST(InParallelTest, TooManyFibersLeaveNoneBehind) {
  bool ran = false;
  Thread::run("test", [&](Signal) {
    Scheduler::current().set_options({.max_fibers = 1});
    EXPECT_THROW(in_parallel([&] { ran = true; }, [&] { ran = true; }), FiberLimit);
    EXPECT_EQ(spawn("again", [] { return 1; }).join(), 1);
  }).join();
  EXPECT_FALSE(ran);
}

// --- with_timeout ----------------------------------------------------------------------------------------------------------------

TEST(WithTimeoutTest, GivesTheResultOrThrowsWhatItThrew) {
  EXPECT_EQ(with_timeout(absl::Hours(1), [] { return std::make_unique<int>(3); }) != nullptr, true);
  static_assert(std::is_void_v<decltype(with_timeout(absl::Hours(1), [] {}))>);
  EXPECT_EQ(what_of<std::out_of_range>([] { with_timeout(absl::Hours(1), [] { throw std::out_of_range("too far"); }); }), "too far");
  // A Timedout of the function's own is not mistaken for this one.
  EXPECT_EQ(what_of<Timedout>([] { with_timeout(absl::Hours(1), [] { throw Timedout("inner", "inner"); }); }), "inner");
}

TEST(WithTimeoutTest, WhenTheLimitComesFirstTheFunctionIsCancelledAndAwaited) {
  on_virtual_time([](VirtualClock& clock) {
    Names order;
    auto time = spawn("time", [&] {
      clock.advance(absl::Seconds(2));
      yield();
      EXPECT_THAT(order, IsEmpty());
      clock.advance(absl::Seconds(1));
    });
    EXPECT_EQ(what_of<Timedout>([&] { with_timeout(absl::Seconds(3), slow_to_leave(order, "function")); }),
              "with_timeout: the limit came before the function had ended");
    EXPECT_THAT(order, ElementsAre("function"));
    time.join();
  });
}

TEST(WithTimeoutTest, ASignalMayBeTheLimit) {
  Names order;
  Signal enough;
  auto other = spawn("other", [&] { enough.go(); });
  EXPECT_THROW(with_timeout(enough, slow_to_leave(order, "function")), Stopped);
  EXPECT_THAT(order, ElementsAre("function"));
  other.join();
}

// The limit had come, but by its turn the caller finds that the function has ended.
TEST(WithTimeoutTest, AResultThatIsThereIsNotLost) {
  EXPECT_EQ(with_timeout(absl::ZeroDuration(), [] { return 5; }), 5);
}

TEST(WithTimeoutTest, WhatTheFunctionThrowsAfterTheLimitIsLogged) {
  LogLines log;
  EXPECT_THROW(with_timeout(absl::ZeroDuration(),
                            [] {
                              try {
                                sleep(absl::InfiniteDuration());
                              } catch (const FiberCancelled&) {
                                throw std::runtime_error("could not tidy up");
                              }
                            }),
               Timedout);
  EXPECT_THAT(log.with("with_timeout: a function that nobody waits for any more failed: could not tidy up"), SizeIs(1));
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
}

TEST(WithTimeoutTest, ACallerWhoIsCancelledTakesTheFunctionWithHim) {
  Names order;
  auto caller = spawn("caller", [&] {
    const Leaves leaves{order, "caller"};
    with_timeout(absl::InfiniteDuration(), slow_to_leave(order, "function"));
  });
  yield();
  yield();
  EXPECT_THROW(caller.cancel().join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("function", "caller"));
}

// The inner limit is the function's own affair; the outer one cancels through it.
TEST(WithTimeoutTest, MayBeNested) {
  Names order;
  Signal enough;
  auto other = spawn("other", [&] {
    yield();
    enough.go();
  });
  EXPECT_THROW(with_timeout(enough, [&] { with_timeout(absl::InfiniteDuration(), slow_to_leave(order, "innermost")); }), Stopped);
  EXPECT_THAT(order, ElementsAre("innermost"));
  other.join();
}

}  // namespace
}  // namespace cooperative
