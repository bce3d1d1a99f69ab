#include "catools/pv.h"

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "cooperative/event_queue.h"
#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::ElementsAre;

const absl::Duration kSoon = absl::Seconds(5);

template <typename Source>
class PvTest : public ServedTest<Source> {
 protected:
  void SetUp() override { catools::caput(ServedTest<Source>::pvs({"other", "merged"}), 0, {.wait = true}); }
};
TYPED_TEST_SUITE(PvTest, Sources);

TYPED_TEST(PvTest, GetWaitsForTheFirstAndGivesTheLatest) {
  in_each_world([&] {
    caput(this->pv("other"), 0, {.wait = true});
    PV<double> other(this->pv("other"));
    EXPECT_EQ(other.get(), 0);
    EXPECT_EQ(other.get_next(kSoon).value(), 0);
    other.caput(4);
    EXPECT_EQ(other.get_next(kSoon).value(), 4);
    EXPECT_EQ(other.get(), 4);
    EXPECT_EQ(other.latest(), 4);
    EXPECT_EQ(other.caget(), 4);
    EXPECT_TRUE(other.is_connected());
    EXPECT_EQ(other.name(), this->pv("other"));
  });
}

TYPED_TEST(PvTest, WithCaputWaitTheServerHasDoneIt) {
  const PV<int> other(this->pv("other"), {.caput_wait = true});
  other.caput(111);
  EXPECT_EQ(caget<int>(this->pv("other")), 111);
  EXPECT_THROW(PV<int>(this->pv("enum"), {.caput_wait = true}).caput("no such choice"), Error);
}

TYPED_TEST(PvTest, ResetLeavesWhatHasComeBehind) {
  PV<int> other(this->pv("other"));
  EXPECT_EQ(other.get(), 0);
  other.reset();
  EXPECT_EQ(other.get_next(absl::Milliseconds(1)).why(), mothreads::Why::timed_out);
  other.caput(5);
  EXPECT_EQ(other.get_next(kSoon).value(), 5);
}

TYPED_TEST(PvTest, AMissingOneTimesOutAndAClosedOneSaysSo) {
  in_each_world([&] {
    PV<double> missing(this->pv("missing"));
    EXPECT_THROW(missing.get(absl::Milliseconds(10)), mothreads::Timedout);
    EXPECT_FALSE(missing.latest());
    EXPECT_FALSE(missing.is_connected());
    std::thread closer([&] { missing.close(); });
    EXPECT_THROW(missing.get(kSoon), mothreads::Closed);
    closer.join();
    EXPECT_EQ(missing.get_next().why(), mothreads::Why::closed);
  });
}

TYPED_TEST(PvTest, WhatDoesNotFitIsAnError) {
  const PV<int> number(this->pv("double"));
  EXPECT_THROW(number.get(), Error);
  EXPECT_EQ(PV<std::string>(this->pv("string")).get(), caget<std::string>(this->pv("string")));
}

TYPED_TEST(PvTest, AnArrayHasTheLatestOfEach) {
  const std::vector<std::string> names = this->pvs({"other", "merged"});
  PVArray<double> both(names, {.caput_wait = true});
  EXPECT_THAT(both.get(), ElementsAre(0, 0));
  EXPECT_TRUE(both.all_ok());
  EXPECT_THAT(both.ok(), ElementsAre(true, true));
  both.caput(std::vector<int>{444, 555});
  EXPECT_THAT(both.caget(), ElementsAre(444, 555));
  EXPECT_EQ(both.values()[0]->severity(), Severity::none);
  EXPECT_EQ(both.names(), names);

  const PVArray<double> partly(this->pvs({"other", "missing"}));
  EXPECT_THROW(partly.get(absl::Milliseconds(100)), mothreads::Timedout);
  EXPECT_THAT(partly.latest(), ElementsAre(std::optional<double>(444), std::nullopt));
  EXPECT_FALSE(partly.all_ok());
}

TYPED_TEST(PvTest, AFunctionGetsThePvAtEachUpdate) {
  cooperative::EventQueue<int> seen;
  {
    PV<int> other(this->pv("other"),
                  [&](PV<int>& pv) {
                    EXPECT_EQ(pv.name(), this->pv("other"));
                    EXPECT_TRUE(pv.is_connected());
                    seen.signal(pv.get());
                  },
                  {.caput_wait = true});
    const PV<int> moved = std::move(other);
    EXPECT_EQ(seen.wait(kSoon), 0);
    moved.caput(6);
    EXPECT_EQ(seen.wait(kSoon), 6);
    EXPECT_EQ(moved.latest(), 6);
  }
  caput(this->pv("other"), 7, {.wait = true});
  EXPECT_EQ(seen.size(), 0U);
  EXPECT_TRUE(subscriptions().empty());

  PV<int> once(this->pv("other"), [&](PV<int>& pv) {
    seen.signal(pv.get());
    pv.close();
  });
  EXPECT_EQ(seen.wait(kSoon), 7);
  EXPECT_THROW(static_cast<void>(once.get_next()), mothreads::Misuse);
  EXPECT_THROW(PV<int>("x", absl::AnyInvocable<void(PV<int>&)>()), mothreads::Misuse);
}

TYPED_TEST(PvTest, AFunctionOfAnArrayGetsThePlaceThatChanged) {
  cooperative::EventQueue<std::size_t> seen;
  PVArray<double> both(this->pvs({"other", "merged"}), [&](PVArray<double>& array, std::size_t index) {
    EXPECT_TRUE(array.seen()[index]);
    seen.signal(index);
  });
  EXPECT_EQ(seen.wait(kSoon) + seen.wait(kSoon), 1U);
  both.caput(std::vector<int>{9, 8});
  EXPECT_EQ(seen.wait(kSoon) + seen.wait(kSoon), 1U);
  EXPECT_THAT(both.latest(), ElementsAre(9.0, 8.0));
  EXPECT_THAT(both.severities(), ElementsAre(Severity::none, Severity::none));
  EXPECT_THAT(both.conditions(), ElementsAre(Condition::none, Condition::none));
  EXPECT_TRUE(both.times()[0] && both.times()[1]);
  both.caput(5);  // the same for all
  EXPECT_THAT(both.caget(), ElementsAre(5, 5));
  both.close();
}

}  // namespace
}  // namespace catools::testing
