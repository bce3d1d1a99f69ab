#include "mothreads/limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/till.h"
#include "mothreads/until.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0 {
namespace {

using internal::Wait;
using testing::ScriptedContext;
using testing::VirtualClock;

constexpr std::optional<Why> kNotYet = std::nullopt;

TEST(LimitTest, OfNothingNeverComes) {
  EXPECT_TRUE(Limit().is_never());
  EXPECT_TRUE(Limit(Until()).is_never());
  EXPECT_TRUE(Limit(absl::InfiniteDuration()).is_never());
  EXPECT_EQ(Limit().has_come(), kNotYet);
  EXPECT_EQ(Limit().time(), std::nullopt);
  EXPECT_TRUE(Until(Limit()).is_never());
}

TEST(LimitTest, CountsADurationFromItsStart) {
  VirtualClock clock;
  UseClock use(clock);
  const Until five(absl::Seconds(5));
  const Limit limit(five);
  clock.advance(absl::Seconds(4));
  EXPECT_EQ(limit.has_come(), kNotYet);
  const Limit later(five);
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(limit.has_come(), Why::timed_out);
  EXPECT_EQ(later.has_come(), kNotYet);
}

TEST(LimitTest, CountsFromTheTimeThatItsMakerKnows) {
  const Instant now{std::chrono::seconds(100)};
  const Until five(absl::Seconds(5));
  EXPECT_EQ(Limit(five, now).time(), now + std::chrono::seconds(5));
  const Until far(absl::Hours(24 * 365 * 400));  // more than the clock can count
  EXPECT_TRUE(Limit(far, now).is_never());
}

TEST(LimitTest, GivenToAVerbThatTakesAnUntilStaysWhatItIs) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal stop;
  const Until until = stop | absl::Seconds(5);
  const Limit limit(until);
  clock.advance(absl::Seconds(2));
  const Until given = limit;
  const Limit again(given);
  EXPECT_EQ(again.time(), limit.time());
  EXPECT_EQ(again.has_come(), kNotYet);
  stop.go();
  EXPECT_EQ(again.has_come(), Why::stopped);
}

TEST(LimitTest, OfZeroHasComeAndEndsNoSteps) {
  const Until zero(absl::ZeroDuration());
  const Limit limit(zero);
  EXPECT_TRUE(limit.is_now());
  EXPECT_EQ(limit.has_come(), Why::timed_out);
  EXPECT_EQ(limit.ends_steps(), kNotYet);
  const Until given = limit;
  EXPECT_TRUE(Limit(given).is_now());
}

TEST(LimitTest, OfASignalAndZeroEndsSteps) {
  const Signal stop;
  const Until until = stop | absl::ZeroDuration();
  const Limit limit(until);
  EXPECT_FALSE(limit.is_now());
  EXPECT_EQ(limit.ends_steps(), Why::timed_out);
  stop.go();
  EXPECT_EQ(limit.ends_steps(), Why::stopped);
}

TEST(LimitTest, OfATillCountsAsTime) {
  VirtualClock clock;
  UseClock use(clock);
  const Till till(absl::Seconds(1));
  const Until until(till);
  const Limit limit(until);
  EXPECT_FALSE(limit.is_only_time());
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(limit.has_come(), Why::timed_out);
}

TEST(LimitTest, SoonerIsWhicheverComesFirst) {
  const Instant early{std::chrono::seconds(1)};
  const Instant late{std::chrono::seconds(2)};
  EXPECT_EQ(Limit().sooner(late).time(), late);
  EXPECT_EQ(Limit().sooner(late).sooner(early).time(), early);
  EXPECT_EQ(Limit().sooner(early).sooner(late).time(), early);
}

// One limit, however many waits: the second has what the first has left.
TEST(LimitTest, ServesSeveralWaitsWithOneTime) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  const Instant start = clock.now();
  context.script({[&] { clock.advance_to_next(); }, [&] { clock.advance_to_next(); }});
  context.run([&] {
    const Until five(absl::Seconds(5));
    const Limit limit(five);
    Wait wait({"waits", nullptr, nullptr});
    EXPECT_EQ(wait.park(limit, start + std::chrono::seconds(3)), std::nullopt);
    EXPECT_EQ(wait.park(limit), Why::timed_out);
    Wait after({"waits", nullptr, nullptr});
    EXPECT_EQ(after.park(limit), Why::timed_out);
  });
  EXPECT_EQ(clock.now(), start + std::chrono::seconds(5));
  EXPECT_EQ(context.sleeps(), 2);
}

}  // namespace
}  // namespace mothreads
