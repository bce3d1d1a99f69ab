#include "catools/caget.h"

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "catools/caput.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/ended_early.h"
#include "mothreads/signal.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Source>
class CagetTest : public ServedTest<Source> {};
TYPED_TEST_SUITE(CagetTest, Sources);

TYPED_TEST(CagetTest, GetsAValueOfEachType) {
  in_each_world([&] {
    EXPECT_EQ(caget<double>(this->pv("double")), 3.5);
    EXPECT_EQ(caget<float>(this->pv("double")), 3.5F);
    EXPECT_EQ(caget<int>(this->pv("long")), 42);
    EXPECT_EQ(caget<std::int64_t>(this->pv("long")), 42);
    EXPECT_EQ(caget<std::uint8_t>(this->pv("long")), 42);
    EXPECT_EQ(caget<std::string>(this->pv("string")), "hello");
    EXPECT_EQ(caget<std::string>(this->pv("enum")), "on");
    EXPECT_EQ(caget<int>(this->pv("enum")), 1);
    EXPECT_TRUE(caget<bool>(this->pv("enum")));
    EXPECT_EQ(caget<std::string>(this->pv("long")), "42");
  });
}

TYPED_TEST(CagetTest, AnUntypedValueHasTheTypeOfTheVariable) {
  EXPECT_EQ(caget(this->pv("double")).data(), Data(3.5));
  EXPECT_EQ(caget(this->pv("long")).data(), Data(std::int32_t{42}));
  EXPECT_EQ(caget(this->pv("enum")).data(), Data(Enum{1}));
  EXPECT_EQ(caget(this->pv("string")).data(), Data(std::string("hello")));
  EXPECT_EQ(caget(this->pv("long"), {.datatype = Type::string}).data(), Data(std::string("42")));
  EXPECT_EQ(caget(this->pv("long"), {.datatype = Type::float64}).data(), Data(42.0));
}

TYPED_TEST(CagetTest, WhatDoesNotFitIsAnErrorAndIsNeverCut) {
  in_each_world([&] {
    try {
      caget<int>(this->pv("double"));
      ADD_FAILURE() << "3.5 became an int";
    } catch (const Error& error) {
      EXPECT_EQ(error.name(), this->pv("double"));
      EXPECT_EQ(error.code(), Code::no_conversion);
      EXPECT_THAT(error.what(), HasSubstr("3.5 does not fit into 32 bits"));
    }
    EXPECT_THROW(caget<bool>(this->pv("long")), mothreads::Closed);
    EXPECT_THROW(caget<double>(this->pv("string")), Error);
  });
}

TYPED_TEST(CagetTest, TheFormatsBringWhatBelongsToThem) {
  const Value raw = caget(this->pv("long"));
  EXPECT_FALSE(raw.has_alarm());
  EXPECT_FALSE(raw.time());
  EXPECT_EQ(raw.control(), nullptr);

  const absl::Time before = absl::Now();
  caput(this->pv("long"), 42, {.wait = true});
  const Value timed = caget(this->pv("long"), {.format = Format::time});
  EXPECT_TRUE(timed.has_alarm());
  EXPECT_EQ(timed.severity(), Severity::none);
  ASSERT_TRUE(timed.time());
  EXPECT_GE(*timed.time(), before - absl::Seconds(1));
  EXPECT_LE(*timed.time(), absl::Now() + absl::Seconds(1));

  const Value control = caget(this->pv("long"), {.format = Format::control});
  ASSERT_NE(control.control(), nullptr);
  const Limits& limits = control.control()->limits;
  EXPECT_EQ(limits.low_display, 0);
  EXPECT_EQ(limits.high_display, 100);
  EXPECT_EQ(limits.low_alarm, 2);
  EXPECT_EQ(limits.high_alarm, 98);
  EXPECT_EQ(limits.low_warning, 10);
  EXPECT_EQ(limits.high_warning, 90);
  EXPECT_EQ(limits.low_control, 5);
  EXPECT_EQ(limits.high_control, 96);
  EXPECT_EQ(control.control()->units, "");
  EXPECT_FALSE(control.control()->precision);

  const Value amperes = caget(this->pv("double"), {.format = Format::control});
  EXPECT_EQ(amperes.control()->units, "mA");
  EXPECT_EQ(amperes.control()->precision, 3);
  EXPECT_THAT(caget(this->pv("enum"), {.format = Format::control}).control()->texts, ElementsAre("off", "on", "standby"));
  EXPECT_EQ(caget(this->pv("enum"), {.format = Format::control}).template as<std::string>(), "on");
  EXPECT_TRUE(caget(this->pv("string"), {.format = Format::control}).time());
}

TYPED_TEST(CagetTest, ARecordThatWasNeverProcessedHasAnInvalidAlarm) {
  const Value value = caget(this->pv("never"), {.format = Format::time});
  EXPECT_EQ(value.severity(), Severity::invalid);
  EXPECT_EQ(value.condition(), Condition::undefined);
}

TYPED_TEST(CagetTest, ArraysHaveTheElementsThatCame) {
  in_each_world([&] {
    caput(this->pv("wave"), std::vector<double>{1, 2.5, -3}, {.wait = true});
    EXPECT_THAT(caget<std::vector<double>>(this->pv("wave")), ElementsAre(1, 2.5, -3));
    EXPECT_THAT(caget<std::vector<double>>(this->pv("wave"), {.count = 2}), ElementsAre(1, 2.5));
    EXPECT_THAT(caget<std::vector<double>>(this->pv("wave"), {.count = 5}), ElementsAre(1, 2.5, -3, 0, 0));
    EXPECT_EQ(caget<std::vector<double>>(this->pv("wave"), {.count = 1000}).size(), 10U);
    EXPECT_THROW(caget<std::vector<int>>(this->pv("wave")), Error);
    EXPECT_THROW(caget<double>(this->pv("wave")), Error);
    const Value value = caget(this->pv("wave"));
    EXPECT_TRUE(value.is_array());
    EXPECT_EQ(value.size(), 3U);
    EXPECT_EQ(value.element_count(), 10U);
    EXPECT_THAT(value.template span<double>(), ElementsAre(1, 2.5, -3));
    EXPECT_TRUE(caget(this->pv("wave"), {.count = 1}).is_array());
  });
}

TYPED_TEST(CagetTest, AnArrayWithRoomForOneThatIsEmptyHasNoElement) {
  const Value empty = caget(this->pv("one"));
  EXPECT_EQ(empty.size(), 0U);
  EXPECT_THROW(empty.template as<double>(), Error);
  EXPECT_TRUE(caget<std::vector<double>>(this->pv("one")).empty());
}

TYPED_TEST(CagetTest, CharactersAreAText) {
  const std::string text(90, 'x');
  caput(this->pv("chars"), text, {.wait = true});
  EXPECT_EQ(caget<std::string>(this->pv("chars")), text);
  EXPECT_EQ(caget<std::vector<std::uint8_t>>(this->pv("chars")).size(), 91U);
  EXPECT_EQ(caget<std::string>(this->pv("string.DESC$")), "");
}

TYPED_TEST(CagetTest, AListComesInItsOrder) {
  in_each_world([&] {
    EXPECT_THAT(caget<double>(this->pvs({"double", "long", "other"})), ElementsAre(3.5, 42, 7));
    EXPECT_THAT(caget<std::string>({this->pv("string"), this->pv("enum")}), ElementsAre("hello", "on"));
    EXPECT_TRUE(caget<double>(std::vector<std::string>()).empty());
  });
}

TYPED_TEST(CagetTest, AListOfTheSameVariableHasItEachTime) {
  const std::vector<std::string> names(1000, this->pv("double"));
  EXPECT_EQ(caget<double>(names), std::vector<double>(1000, 3.5));
}

TYPED_TEST(CagetTest, EachSaysForItselfWhatFailed) {
  in_each_world([&] {
    const std::vector<Reply<double>> replies = caget_each<double>(this->pvs({"double", "string", "missing", "other"}), absl::Milliseconds(300));
    ASSERT_EQ(replies.size(), 4U);
    EXPECT_EQ(*replies[0], 3.5);
    ASSERT_FALSE(replies[1]);
    EXPECT_EQ(replies[1].error().code(), Code::no_conversion);
    ASSERT_FALSE(replies[2]);
    EXPECT_EQ(replies[2].name(), this->pv("missing"));
    EXPECT_EQ(replies[2].error().code(), Code::timed_out);
    EXPECT_EQ(replies[2].error().why(), mothreads::Why::timed_out);
    EXPECT_EQ(*replies[3], 7);
  });
}

TYPED_TEST(CagetTest, AMissingVariableTimesOut) {
  in_each_world([&] {
    EXPECT_THROW(caget(this->pv("missing"), absl::Milliseconds(50)), mothreads::Timedout);
    try {
      caget(this->pv("missing"), absl::Milliseconds(1));
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), this->pv("missing") + ": no server answered in time");
      EXPECT_EQ(static_cast<int>(error.code()), 80);
    }
    EXPECT_THROW(caget(this->pv("missing"), absl::ZeroDuration()), mothreads::Timedout);
  });
}

TYPED_TEST(CagetTest, ASignalStopsIt) {
  in_each_world([&] {
    mothreads::Signal stop;
    std::thread stopper([&] { stop.go(); });
    try {
      caget(this->pv("missing"), stop | absl::Seconds(10));
      ADD_FAILURE();
    } catch (const mothreads::Stopped& stopped) {
      EXPECT_EQ(stopped.object(), this->pv("missing"));
      EXPECT_EQ(stopped.why(), mothreads::Why::stopped);
    }
    stopper.join();
  });
}

TYPED_TEST(CagetTest, ANameThatIsNoneIsAnError) {
  EXPECT_THROW(caget(""), Error);
  EXPECT_THROW(caget(std::string("a\0b", 3)), Error);
}

TYPED_TEST(CagetTest, OtherFibersGoOnMeanwhile) {
  int turns = 0;
  bool is_over = false;
  auto other = cooperative::spawn("other", [&] {
    while (!is_over) {
      ++turns;
      cooperative::yield();
    }
  });
  EXPECT_THROW(caget(this->pv("missing"), absl::Milliseconds(20)), mothreads::Timedout);
  is_over = true;
  other.join();
  EXPECT_GT(turns, 1);
}

TYPED_TEST(CagetTest, ACancelledFiberLeavesNothingBehind) {
  auto waiter = cooperative::spawn("waiter", [&] { static_cast<void>(caget(this->pv("missing"), absl::Seconds(30))); });
  cooperative::yield();
  waiter.cancel();
  EXPECT_THROW(waiter.join(), cooperative::WasCancelled);
  EXPECT_EQ(caget<double>(this->pv("double")), 3.5);
}

TYPED_TEST(CagetTest, ManyThreadsAndSchedulersAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      auto get = [&] {
        for (int round = 0; round < 50; ++round) EXPECT_EQ(caget<double>(this->pvs({"double", "other"})), (std::vector<double>{3.5, 7}));
      };
      if (i % 2 == 0) return get();
      auto one = cooperative::spawn("one", get);
      auto two = cooperative::spawn("two", get);
      one.join();
      two.join();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TYPED_TEST(CagetTest, AnArrayOfManyElementsComesWhole) {
  std::vector<double> all(200'000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<double>(i);
  caput(this->pv("large"), all, {.wait = true});
  EXPECT_EQ(caget<std::vector<double>>(this->pv("large")), all);
}

TYPED_TEST(CagetTest, TheClassOfAVariableIsAText) {
  const std::string name = caget<std::string>(this->pv("wave"), {.format = Format::class_name});
  EXPECT_EQ(name, (std::is_same_v<TypeParam, SoftIoc> ? "waveform" : "served"));
}

}  // namespace
}  // namespace catools::testing
