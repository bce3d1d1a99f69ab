// What signals keep, and what keeps them: nothing more than can still be needed, nothing less than is still used.

#include "mothreads/internal/signal_state.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"

namespace mothreads::inline v0 {
namespace {

// A request that waits for "stop or five seconds" leaves nothing on the long-lived stop signal once its time has come.
TEST(SignalState, CombinationThatWentLeavesItsOtherInputs) {
  testing::VirtualClock clock;
  UseClock use(clock);
  Signal please_stop("please_stop");
  int ran = 0;
  const auto one_request = [&] {
    (please_stop | Till(absl::Seconds(5))).then([&ran] { ++ran; });
    clock.advance(absl::Seconds(5));
  };
  one_request();
  const std::int64_t before = testing::live_allocations();
  for (int i = 0; i < 1000; ++i) one_request();
  EXPECT_EQ(ran, 1001);
  EXPECT_EQ(testing::live_allocations(), before);
}

TEST(SignalState, CombinationThatCanNoLongerGoIsFreed) {
  auto used = std::make_shared<int>(1);
  const std::int64_t before = testing::live_allocations();
  std::weak_ptr<int> watched = used;
  {
    Signal a("a"), b("b");
    (a & b).then([kept = std::move(used)] {});
    a.go();
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(testing::live_allocations(), before);  // the count of `watched` is still there
}

// "Reset the event": the function replaces the only handle of the signal that is just going.
TEST(SignalState, FunctionMayDropTheLastHandle) {
  std::optional<Signal> signal(std::in_place, "first");
  int later = 0;
  signal->then([&] { signal.emplace("next"); });
  signal->then([&] { ++later; });
  signal->go();
  EXPECT_EQ(later, 1);
  EXPECT_FALSE(*signal);
  EXPECT_EQ(signal->name(), "next");
}

// A waiter that is released while go() still has functions to run destroys the signal that go() was called on.
TEST(SignalState, ReleasedWaiterMayDropTheLastHandle) {
  for (int i = 0; i < 20; ++i) {
    auto signal = std::make_unique<Signal>("short-lived");
    Signal ready, dropped;
    int ran = 0;
    signal->then([&] {
      dropped.wait();  // blocks go(), so that the handle is certainly gone before it goes on
      ++ran;
    });
    auto waiter = Thread::run("waiter", [&](Signal) {
      ready.go();
      signal->wait();
      signal.reset();
      dropped.go();
    });
    ready.wait();
    signal->go();
    waiter.join();
    EXPECT_EQ(ran, 1);
  }
}

TEST(SignalState, EmptyFunctionIsRefused) {
  Signal signal;
  void (*none)() = nullptr;
  EXPECT_THROW(signal.then(none), Misuse);
}

}  // namespace
}  // namespace mothreads
