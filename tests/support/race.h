#pragma once

// Races, written down: one waiter sleeps, and all that can end its wait happens in that one sleep, in each order. The first decides.
//
//     class QueuePopRaceTest : public testing::RaceTest {};
//
//     TEST_P(QueuePopRaceTest, TheFirstThatHappensDecides) {
//       Queue<int> queue("raced");
//       run({{"add", [&] { queue.add(7); }}}, [&] { EXPECT_EQ(queue.pop(stop | absl::Seconds(1)).why(), GetParam().why); });
//     }
//
//     INSTANTIATE_TEST_SUITE_P(All, QueuePopRaceTest, ::testing::Values(Race{"AddStop", {"add", "stop"}, Why::ready}), name_of_race);

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0::testing {

struct Race {
  const char* name;
  std::vector<std::string> happens;  // in this order: "time", a second; "stop", of `stop`; what the test has
  Why why;
};

inline std::string name_of_race(const ::testing::TestParamInfo<Race>& race) { return race.param.name; }

class RaceTest : public ::testing::TestWithParam<Race> {
 protected:
  using Events = std::map<std::string, std::function<void()>>;

  // Runs `wait`, in whose only sleep the race is run; `events` are those that the test has beside time and stop. Fails when it does
  // not sleep just once, or leaves a timer behind.
  void run(const Events& events, const std::function<void()>& wait);

  VirtualClock clock;  // the waiter's
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
};

}  // namespace mothreads::testing
