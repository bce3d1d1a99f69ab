#include "mothreads/internal/wait/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace mothreads::inline v0::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr std::int64_t kTick = 1024;

struct Timer : TimerNode {
  explicit Timer(int with_id = 0) : TimerNode(kNone), id(with_id) {}
  static constexpr TimerOps kNone{nullptr, nullptr};
  int id;
};

std::vector<int> expire(TimerWheel& wheel, std::int64_t now) {
  ExpiredTimers expired;
  wheel.expire(now, expired);
  std::vector<int> ids;
  while (TimerNode* node = expired.pop_front()) {
    EXPECT_FALSE(node->is_linked());
    ids.push_back(static_cast<Timer*>(node)->id);
  }
  EXPECT_TRUE(expired.is_empty());
  return ids;
}

TEST(TimerWheelTest, IsEmptyAtFirst) {
  TimerWheel wheel(12345);
  EXPECT_TRUE(wheel.is_empty());
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.first_time(), TimerWheel::kNever);
  EXPECT_EQ(wheel.next_wake(), TimerWheel::kNever);
  EXPECT_THAT(expire(wheel, INT64_MAX), IsEmpty());
}

TEST(TimerWheelTest, ATimerIsDueAtItsTimeAndNotBefore) {
  for (const std::int64_t start : {std::int64_t{0}, std::int64_t{1}, kTick - 1, kTick, std::int64_t{1'000'000'000'007}}) {
    for (const std::int64_t in : {std::int64_t{1}, kTick - 1, kTick, kTick + 1, 63 * kTick, 64 * kTick, 65 * kTick + 5}) {
      TimerWheel wheel(start);
      Timer timer(1);
      wheel.add(timer, start + in);
      EXPECT_EQ(wheel.first_time(), start + in);
      EXPECT_THAT(expire(wheel, start + in - 1), IsEmpty()) << start << " + " << in;
      EXPECT_TRUE(timer.is_linked());
      EXPECT_THAT(expire(wheel, start + in), ElementsAre(1)) << start << " + " << in;
      EXPECT_TRUE(wheel.is_empty());
    }
  }
}

TEST(TimerWheelTest, WhatIsPastDueIsDueAtOnce) {
  TimerWheel wheel(1'000'000);
  Timer past(1);
  Timer now(2);
  Timer negative(3);
  wheel.add(now, 1'000'000);
  wheel.add(past, 5);
  wheel.add(negative, -7);
  EXPECT_EQ(wheel.first_time(), -7);
  EXPECT_LE(wheel.next_wake(), 1'000'000);
  EXPECT_THAT(expire(wheel, 1'000'000), ElementsAre(3, 1, 2));
}

// Every boundary between levels: the last time of a level, the first of the next, and one more.
TEST(TimerWheelTest, TimesAtTheLimitsOfEveryLevelAreExact) {
  for (int level = 0; level <= 8; ++level) {
    const std::int64_t span = kTick << (6 * level);
    const std::int64_t last_slot = level < 8 ? 63 * span + 1 : INT64_MAX;
    for (const std::int64_t in : {span - 1, span, span + 1, last_slot, span / 64 * 63 + span * (level < 8 ? 62 : 0)}) {
      for (const std::int64_t start : {std::int64_t{0}, std::int64_t{kTick * 77 + 3}}) {
        if (in <= 0 || in > INT64_MAX - start) continue;
        TimerWheel wheel(start);
        Timer timer(1);
        wheel.add(timer, start + in);
        EXPECT_EQ(wheel.first_time(), start + in);
        EXPECT_THAT(expire(wheel, start + in - 1), IsEmpty()) << "level " << level << ", in " << in;
        EXPECT_EQ(wheel.first_time(), start + in);
        EXPECT_THAT(expire(wheel, start + in), ElementsAre(1)) << "level " << level << ", in " << in;
      }
    }
  }
}

TEST(TimerWheelTest, TheFarthestTimeThereIsCanBeWaitedFor) {
  TimerWheel wheel(0);
  Timer farthest(1);
  Timer one_before(2);
  wheel.add(farthest, INT64_MAX);
  wheel.add(one_before, INT64_MAX - 1);
  EXPECT_EQ(wheel.first_time(), INT64_MAX - 1);
  EXPECT_THAT(expire(wheel, INT64_MAX / 2), IsEmpty());
  EXPECT_THAT(expire(wheel, INT64_MAX - 2), IsEmpty());
  EXPECT_THAT(expire(wheel, INT64_MAX - 1), ElementsAre(2));
  EXPECT_THAT(expire(wheel, INT64_MAX), ElementsAre(1));
}

TEST(TimerWheelTest, EqualTimesKeepTheOrderOfAdding) {
  TimerWheel wheel(0);
  std::vector<std::unique_ptr<Timer>> timers;
  const std::int64_t when = 70 * kTick * 64 + 13;
  std::int64_t now = 0;
  for (int i = 0; i < 50; ++i) {
    timers.push_back(std::make_unique<Timer>(i));
    wheel.add(*timers.back(), when);
    // The later ones are added nearer to their time, so at other levels.
    now += (when - now) / 5;
    EXPECT_THAT(expire(wheel, now), IsEmpty());
  }
  std::vector<int> in_order(50);
  for (int i = 0; i < 50; ++i) in_order[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(expire(wheel, when), in_order);
}

TEST(TimerWheelTest, TimesWithinOneTickComeInOrder) {
  TimerWheel wheel(0);
  Timer c(3), a(1), b(2);
  wheel.add(c, 5 * kTick + 900);
  wheel.add(a, 5 * kTick + 1);
  wheel.add(b, 5 * kTick + 500);
  EXPECT_EQ(wheel.next_wake(), 5 * kTick + 1);
  EXPECT_THAT(expire(wheel, 5 * kTick + 500), ElementsAre(1, 2));
  EXPECT_EQ(wheel.first_time(), 5 * kTick + 900);
  EXPECT_THAT(expire(wheel, 5 * kTick + 899), IsEmpty());
  EXPECT_THAT(expire(wheel, 5 * kTick + 900), ElementsAre(3));
}

TEST(TimerWheelTest, ARemovedTimerIsNeverDue) {
  TimerWheel wheel(0);
  Timer a(1), b(2), c(3);
  for (Timer* timer : {&a, &b, &c}) wheel.add(*timer, 100 * kTick);
  wheel.remove(b);
  EXPECT_FALSE(b.is_linked());
  wheel.remove(b);  // nothing
  EXPECT_EQ(wheel.size(), 2U);
  wheel.remove(a);
  EXPECT_EQ(wheel.first_time(), 100 * kTick);
  EXPECT_THAT(expire(wheel, 1000 * kTick), ElementsAre(3));
  wheel.remove(c);  // nothing
  wheel.add(b, 2000 * kTick);
  EXPECT_THAT(expire(wheel, 2000 * kTick), ElementsAre(2));
}

TEST(TimerWheelTest, ForEachSeesEveryTimerAndMayRemoveTheOneItIsAt) {
  TimerWheel wheel(0);
  std::vector<std::unique_ptr<Timer>> timers;
  // Several in one slot, and slots at several levels.
  for (int i = 0; i < 40; ++i) {
    timers.push_back(std::make_unique<Timer>(i));
    wheel.add(*timers.back(), i % 4 == 0 ? 5 * kTick : static_cast<std::int64_t>(i) * i * i * kTick);
  }
  const auto ids = [&] {
    std::multiset<int> seen;
    wheel.for_each([&](TimerNode& node) { seen.insert(static_cast<Timer&>(node).id); });
    return seen;
  };
  std::multiset<int> expected;
  for (int i = 0; i < 40; ++i) expected.insert(i);
  EXPECT_EQ(ids(), expected);
  int calls = 0;
  wheel.for_each([&](TimerNode& node) {
    ++calls;
    if (static_cast<Timer&>(node).id % 2 == 0) wheel.remove(node);
  });
  EXPECT_EQ(calls, 40);
  for (int i = 0; i < 40; i += 2) expected.erase(i);
  EXPECT_EQ(ids(), expected);
  EXPECT_EQ(wheel.size(), 20U);
  wheel.for_each([&](TimerNode& node) { wheel.remove(node); });
  EXPECT_TRUE(wheel.is_empty());
  EXPECT_EQ(wheel.next_wake(), TimerWheel::kNever);
}

TEST(TimerWheelTest, NextWakeIsExactWhileFewTimersShareASlotAndNeverLate) {
  TimerWheel wheel(0);
  Timer far(1);
  wheel.add(far, 1'000'000'000);
  EXPECT_EQ(wheel.next_wake(), 1'000'000'000);
  std::vector<std::unique_ptr<Timer>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<Timer>(i));
    wheel.add(*crowd.back(), 1'000'000'000 + i);
  }
  EXPECT_LE(wheel.next_wake(), wheel.first_time());
  EXPECT_GT(wheel.next_wake(), 0);
}

// Whoever wakes at next_wake() each time comes to every timer, in a bounded number of steps.
TEST(TimerWheelTest, FollowingNextWakeReachesEveryTimerWithFewSteps) {
  TimerWheel wheel(0);
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 100; ++i) {
    timers.push_back(std::make_unique<Timer>(i));
    wheel.add(*timers.back(), 1'000'000'000'000 + i);
  }
  int steps = 0;
  std::size_t came = 0;
  while (came < timers.size()) {
    const std::int64_t wake = wheel.next_wake();
    ASSERT_NE(wake, TimerWheel::kNever);
    came += expire(wheel, wake).size();
    ASSERT_LE(++steps, 100 + 9) << "it is woken without need";
  }
}

// Random operations against the plainest model there is.
class TimerWheelModelTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(TimerWheelModelTest, BehavesAsASortedListDoes) {
  const unsigned seed = GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::int64_t now = static_cast<std::int64_t>(random() % (std::uint64_t{1} << (random() % 62)));
  TimerWheel wheel(now);
  std::multimap<std::int64_t, int> model;  // equal keys keep the order of insertion
  std::map<int, std::unique_ptr<Timer>> timers;
  int next_id = 0;
  const auto some_time = [&] {
    // From nanoseconds to centuries, all magnitudes alike; now and then a time that is taken already, or past.
    if (!model.empty() && random() % 4 == 0) return std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()))->first;
    if (random() % 16 == 0) return now - static_cast<std::int64_t>(random() % 5000);
    const auto ahead = static_cast<std::int64_t>(random() >> (1 + random() % 62));
    return ahead > INT64_MAX - now ? INT64_MAX : now + ahead;
  };
  for (int step = 0; step < 3000; ++step) {
    const auto what = random() % 10;
    if (what < 5) {
      auto timer = std::make_unique<Timer>(next_id);
      const std::int64_t when = some_time();
      wheel.add(*timer, when);
      model.emplace(when, next_id);
      timers.emplace(next_id++, std::move(timer));
    } else if (what < 7) {
      if (model.empty()) continue;
      const auto victim = std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
      wheel.remove(*timers.at(victim->second));
      timers.erase(victim->second);
      model.erase(victim);
    } else {
      std::int64_t target = some_time();
      if (random() % 2 == 0 && !model.empty()) target = std::min(model.begin()->first, INT64_MAX - 2) + static_cast<std::int64_t>(random() % 3) - 1;
      if (random() % 4 == 0) target = wheel.next_wake() == TimerWheel::kNever ? now : wheel.next_wake();
      if (target < now || target > INT64_MAX / 2) continue;
      now = target;
      std::vector<int> expected;
      while (!model.empty() && model.begin()->first <= now) {
        expected.push_back(model.begin()->second);
        model.erase(model.begin());
      }
      ASSERT_EQ(expire(wheel, now), expected) << "step " << step;
      for (const int id : expected) timers.erase(id);
    }
    ASSERT_EQ(wheel.size(), model.size());
    ASSERT_EQ(wheel.is_empty(), model.empty());
    const std::int64_t first = model.empty() ? TimerWheel::kNever : model.begin()->first;
    ASSERT_EQ(wheel.first_time(), first) << "step " << step;
    ASSERT_LE(wheel.next_wake(), first) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerWheelModelTest, ::testing::Range(1U, 41U));

TEST(ExpiredTimersTest, ComeInTheOrderOfTheirTimesAndOfInsertion) {
  ExpiredTimers expired;
  std::vector<std::unique_ptr<Timer>> timers;
  const auto insert = [&](int id, std::int64_t when) {
    timers.push_back(std::make_unique<Timer>(id));
    timers.back()->when = when;
    expired.insert_by_time(*timers.back());
  };
  EXPECT_TRUE(expired.is_empty());
  EXPECT_EQ(expired.pop_front(), nullptr);
  insert(3, 20);
  insert(1, 10);
  insert(4, 20);
  insert(5, 30);
  insert(2, 10);
  std::vector<int> ids;
  while (TimerNode* node = expired.pop_front()) ids.push_back(static_cast<Timer*>(node)->id);
  EXPECT_THAT(ids, ElementsAre(1, 2, 3, 4, 5));
  insert(6, 1);
  EXPECT_EQ(static_cast<Timer*>(expired.pop_front())->id, 6);
}

}  // namespace
}  // namespace mothreads::internal
