#include "cooperative/internal/world/world_order.h"

#include <cstdint>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/internal/world/world_trace.h"

namespace cooperative::inline v0::internal {
namespace {

using ::testing::ElementsAre;

using Able = std::vector<WorldId>;
using Kind = WorldOrder::Kind;

// Four threads that could always go on, at one operation after the other.
std::vector<WorldId> turns_of(WorldOrder& order, int count, WorldTrace* trace = nullptr) {
  std::vector<WorldId> turns;
  WorldId last = 1;
  for (int i = 0; i < count; ++i) {
    const WorldOrder::Answer answer = order.choose({.who = last, .kind = Kind::operation}, Able{1, 2, 3, 4});
    if (trace != nullptr && answer.is_forced) trace->add({.who = last, .to = answer.to, .point = order.point()});
    turns.push_back(last = answer.to);
  }
  return turns;
}

WorldOrder unforced() {
  WorldOrder order({});
  order.replay({});
  return order;
}

TEST(WorldOrderTest, WithoutForceWhoRunsGoesOn) {
  WorldOrder order = unforced();
  EXPECT_THAT(turns_of(order, 4), ElementsAre(1, 1, 1, 1));
  EXPECT_EQ(order.in_a_row(), 4u);
}

TEST(WorldOrderTest, WithoutForceTheNextInTheRingFollowsAWait) {
  WorldOrder order = unforced();
  EXPECT_EQ(order.choose({.who = 2}, Able{1, 3, 4}).to, 3u);
  EXPECT_EQ(order.choose({.who = 4}, Able{1, 3}).to, 1u);
  EXPECT_EQ(order.choose({.who = 3, .only_yields = true}, Able{1, 3, 4}).to, 4u);
  EXPECT_EQ(order.choose({.who = 3}, Able{kWorldTimers, 4, kWorldCaller}).to, kWorldTimers);
  EXPECT_EQ(order.choose({.who = kWorldTimers}, Able{4, kWorldCaller}).to, 4u);
  EXPECT_EQ(order.choose({.who = 4}, Able{kWorldCaller}).to, kWorldCaller);
}

TEST(WorldOrderTest, WithoutForceWhoLoopsForEverLetsOthersIn) {
  WorldOrder order = unforced();
  const std::vector<WorldId> turns = turns_of(order, static_cast<int>(WorldOrder::kMostInARow) + 1);
  EXPECT_EQ(turns[WorldOrder::kMostInARow - 1], 1u);
  EXPECT_EQ(turns[WorldOrder::kMostInARow], 2u);
}

TEST(WorldOrderTest, TheSameSeedGivesTheSameAnswers) {
  for (const bool priority_changes : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      WorldOrder one({.seed = seed, .priority_changes = priority_changes});
      WorldOrder other({.seed = seed, .priority_changes = priority_changes});
      EXPECT_EQ(turns_of(one, 200), turns_of(other, 200));
      EXPECT_EQ(one.hash(), other.hash());
    }
  }
}

TEST(WorldOrderTest, ItsForcedSwitchesAloneGiveTheSameAnswers) {
  for (const bool priority_changes : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      WorldTrace trace;
      trace.clear();
      WorldOrder order({.seed = seed, .priority_changes = priority_changes});
      const std::vector<WorldId> turns = turns_of(order, 200, &trace);
      WorldOrder again({});
      again.replay(trace.all());
      EXPECT_EQ(turns_of(again, 200), turns);
      EXPECT_EQ(again.hash(), order.hash());
    }
  }
}

TEST(WorldOrderTest, ASwitchToWhoCannotGoOnIsLeftOut) {
  WorldOrder order({});
  order.replay(std::vector<WorldSwitch>{{.who = 1, .to = 7, .point = 1}, {.who = 1, .to = 3, .point = 2}});
  EXPECT_THAT(turns_of(order, 3), ElementsAre(1, 3, 3));
}

TEST(WorldOrderTest, WithPrioritiesThreadsChangeAtThoseManyPlacesLessOne) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    for (unsigned depth = 1; depth <= 4; ++depth) {
      WorldOrder order({.seed = seed, .priority_changes = true, .depth = depth, .steps = 100});
      const std::vector<WorldId> turns = turns_of(order, 200);
      unsigned changes = 0;
      for (std::size_t i = 1; i < turns.size(); ++i) changes += turns[i] != turns[i - 1] ? 1 : 0;
      EXPECT_LE(changes, depth - 1);
    }
  }
}

TEST(WorldOrderTest, WithPrioritiesWhoLoopsLosesItsOwn) {
  WorldOrder order({.seed = 1, .priority_changes = true, .depth = 1});
  const std::vector<WorldId> turns = turns_of(order, static_cast<int>(WorldOrder::kMostInARow) * 6);
  for (WorldId one = 1; one <= 4; ++one) EXPECT_THAT(turns, ::testing::Contains(one));
}

TEST(WorldOrderTest, ByChanceAllHaveTurns) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    WorldOrder order({.seed = seed});
    const std::vector<WorldId> turns = turns_of(order, 1'000);
    for (WorldId one = 1; one <= 4; ++one) EXPECT_THAT(turns, ::testing::Contains(one)) << seed;
  }
}

}  // namespace
}  // namespace cooperative::internal
