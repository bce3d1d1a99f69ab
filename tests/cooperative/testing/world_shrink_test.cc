#include "cooperative/internal/world/world_shrink.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/internal/world/world_trace.h"

namespace cooperative::inline v0::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

WorldSwitches numbered(std::uint64_t count) {
  WorldSwitches switches;
  for (std::uint64_t i = 1; i <= count; ++i) switches.push_back({.who = 1, .to = 2, .point = i});
  return switches;
}

bool holds(std::span<const WorldSwitch> switches, std::uint64_t point) {
  return std::any_of(switches.begin(), switches.end(), [&](const WorldSwitch& one) { return one.point == point; });
}

// Fails with all of these, and does what it is told.
auto fails_with(std::vector<std::uint64_t> points) {
  return [points = std::move(points)](std::span<const WorldSwitch> switches) -> WorldAttempt {
    const bool fails = std::all_of(points.begin(), points.end(), [&](std::uint64_t point) { return holds(switches, point); });
    return {.fails = fails, .done = WorldSwitches(switches.begin(), switches.end()), .others = {}};
  };
}

std::vector<std::uint64_t> points_of(const WorldSwitches& switches) {
  std::vector<std::uint64_t> points;
  for (const WorldSwitch& one : switches) points.push_back(one.point);
  return points;
}

TEST(WorldShrinkTest, LeavesWhatTheFailureNeedsInItsOrder) {
  EXPECT_THAT(points_of(shrink(numbered(214), fails_with({17}), 1'000).switches), ElementsAre(17));
  EXPECT_THAT(points_of(shrink(numbered(214), fails_with({17, 23}), 1'000).switches), ElementsAre(17, 23));
  EXPECT_THAT(points_of(shrink(numbered(214), fails_with({1, 100, 214}), 1'000).switches), ElementsAre(1, 100, 214));
  EXPECT_THAT(points_of(shrink(numbered(3), fails_with({1, 2, 3}), 1'000).switches), ElementsAre(1, 2, 3));
}

TEST(WorldShrinkTest, AFailureThatNeedsNoneIsFoundAtOnce) {
  const Shrunk shrunk = shrink(numbered(214), fails_with({}), 1'000);
  EXPECT_THAT(shrunk.switches, IsEmpty());
  EXPECT_EQ(shrunk.runs, 1u);
  EXPECT_EQ(shrink({}, fails_with({}), 1'000).runs, 0u);
}

TEST(WorldShrinkTest, TakesLogarithmicallyManyRunsForOneAmongMany) {
  EXPECT_LT(shrink(numbered(10'000), fails_with({7'777}), 1'000).runs, 60u);
}

TEST(WorldShrinkTest, EndsAfterSoManyRunsWithAListThatFails) {
  std::vector<std::uint64_t> odd;
  for (std::uint64_t i = 1; i <= 100; i += 2) odd.push_back(i);
  const auto fails = fails_with(odd);
  const Shrunk shrunk = shrink(numbered(100), fails, 30);
  EXPECT_LE(shrunk.runs, 32u);
  EXPECT_TRUE(fails(shrunk.switches).fails);
}

TEST(WorldShrinkTest, LeavesOutWhatWasNotDone) {
  const Shrunk shrunk = shrink(numbered(20), [](std::span<const WorldSwitch> switches) -> WorldAttempt {
    WorldSwitches done(switches.begin(), switches.end());
    std::erase_if(done, [](const WorldSwitch& one) { return one.point > 5; });
    return {.fails = holds(switches, 5), .done = done, .others = {}};
  }, 1'000);
  EXPECT_THAT(points_of(shrunk.switches), ElementsAre(5));
}

// Fails with 1, 2 and 3, or with 8 and 9, where 9 has its place only after 8.
WorldAttempt fails_in_two_ways(std::span<const WorldSwitch> switches) {
  WorldAttempt attempt;
  attempt.done.assign(switches.begin(), switches.end());
  const bool by_three = holds(switches, 1) && holds(switches, 2) && holds(switches, 3);
  attempt.fails = by_three || (holds(switches, 8) && holds(switches, 9));
  if (switches.empty()) {
    attempt.others = numbered(8);
  } else if (holds(switches, 8)) {
    attempt.others = {{.who = 1, .to = 2, .point = 9}};
  }
  return attempt;
}

TEST(WorldShrinkTest, FindsAShorterListThatIsNoPartOfTheFirst) {
  EXPECT_THAT(points_of(shrink(numbered(5), fails_in_two_ways, 1'000).switches), ElementsAre(8, 9));
  EXPECT_THAT(points_of(shrink(numbered(5), fails_in_two_ways, 10).switches), ElementsAre(1, 2, 3));
}

TEST(WorldShrinkTest, AListIsReadAsItIsWritten) {
  const WorldSwitches switches{{.who = 3, .to = 4, .point = 17}, {.who = kWorldTimers, .to = kWorldCaller, .point = 1'000'000'000'000}};
  EXPECT_EQ(to_text(switches), "3.17:4,0.1000000000000:4294967295");
  EXPECT_THAT(switches_from(to_text(switches)), Optional(switches));
  EXPECT_THAT(switches_from(to_text({})), Optional(IsEmpty()));
  for (const char* wrong : {"", "3", "3.17", "3.17:", "3.17:4,", "3.17:4;", "a.b:c", "-3.17:4", "3.17:4 "}) {
    EXPECT_FALSE(switches_from(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace cooperative::internal
