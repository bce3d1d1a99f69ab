#include "catools/caput.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Source>
class CaputTest : public ServedTest<Source> {};
TYPED_TEST_SUITE(CaputTest, Sources);

TYPED_TEST(CaputTest, PutsWhatAGetThenFinds) {
  in_each_world([&] {
    caput(this->pv("other"), 8.25);
    EXPECT_EQ(caget<double>(this->pv("other")), 8.25);
    caput(this->pv("other"), 7, {.wait = true});
    EXPECT_EQ(caget<double>(this->pv("other")), 7);
    caput(this->pv("string"), "gr\xc3\xbc\xc3\x9f", {.wait = true});
    EXPECT_EQ(caget<std::string>(this->pv("string")), "gr\xc3\xbc\xc3\x9f");
    caput(this->pv("string"), std::string(), {.wait = true});
    EXPECT_EQ(caget<std::string>(this->pv("string")), "");
    caput(this->pv("enum"), "standby", {.wait = true});
    EXPECT_EQ(caget<int>(this->pv("enum")), 2);
    caput(this->pv("enum"), Enum{0}, {.wait = true});
    EXPECT_EQ(caget<std::string>(this->pv("enum")), "off");
    caput(this->pv("long"), true, {.wait = true});
    EXPECT_EQ(caget<int>(this->pv("long")), 5);  // the record's own lower limit
    caput(this->pv("long"), "43", {.wait = true});
    EXPECT_EQ(caget<int>(this->pv("long")), 43);
    caput(this->pv("long"), caget(this->pv("other")), {.wait = true});
    EXPECT_EQ(caget<int>(this->pv("long")), 7);
  });
}

TYPED_TEST(CaputTest, PutsArrays) {
  caput(this->pv("wave"), std::array<int, 3>{1, 2, 3}, {.wait = true});
  EXPECT_THAT(caget<std::vector<double>>(this->pv("wave")), ElementsAre(1, 2, 3));
  caput(this->pv("shorts"), std::vector<double>{-1, 32767}, {.wait = true});
  EXPECT_THAT(caget<std::vector<int>>(this->pv("shorts")), ElementsAre(-1, 32767));
  caput(this->pv("strings"), std::vector<std::string>{"a", "", "c"}, {.wait = true});
  EXPECT_THAT(caget<std::vector<std::string>>(this->pv("strings")), ElementsAre("a", "", "c"));
  caput(this->pv("wave"), 5, {.wait = true});
  EXPECT_THAT(caget<std::vector<double>>(this->pv("wave")), ElementsAre(5));
}

TYPED_TEST(CaputTest, WhatDoesNotFitIsAnErrorAndIsNotSent) {
  in_each_world([&] {
    caput(this->pv("long"), 50, {.wait = true});
    const auto refused = [&](const auto& name, const auto& value, Code code, const char* text) {
      try {
        caput(this->pv(name), value, {.wait = true});
        ADD_FAILURE() << name << ": " << text;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_EQ(error.name(), this->pv(name));
        EXPECT_THAT(error.what(), HasSubstr(text));
      }
    };
    refused("long", std::int64_t{1} << 40, Code::no_conversion, "does not fit into 32 bits");
    refused("long", 3.5, Code::no_conversion, "3.5 does not fit");
    refused("double", (std::int64_t{1} << 53) + 1, Code::no_conversion, "64 bits");
    refused("shorts", std::vector<int>{1, 40000}, Code::no_conversion, "40000 does not fit");
    refused("string", std::string(40, 'x'), Code::bad_string, "40 bytes");
    refused("chars", std::string(101, 'x'), Code::bad_count, "101 bytes");
    refused("long", std::vector<int>{1, 2}, Code::bad_count, "2 elements");
    refused("wave", std::vector<int>{}, Code::bad_count, "0 elements");
    EXPECT_EQ(caget<int>(this->pv("long")), 50);
  });
}

TYPED_TEST(CaputTest, TheServersRefusalIsAnErrorWhereSomebodyWaits) {
  in_each_world([&] {
    try {
      caput(this->pv("enum"), "no such choice", {.wait = true});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::put_failed);
    }
    EXPECT_THROW(caput(this->pv("double"), "no number", {.wait = true}), Error);
    try {
      caput(this->pv("readonly"), 2, {.wait = true});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::no_write_access);
    }
    EXPECT_THROW(caput(this->pv("readonly"), 2), Error);
  });
}

TYPED_TEST(CaputTest, SuccessivePutsGoOutInTheirOrder) {
  for (int i = 0; i <= 500; ++i) caput(this->pv("other"), i);
  EXPECT_EQ(caget<int>(this->pv("other")), 500);
  std::vector<std::string> names(100, this->pv("other"));
  std::vector<int> values(100);
  for (int i = 0; i < 100; ++i) values[static_cast<std::size_t>(i)] = i;
  caput(names, values);
  EXPECT_EQ(caget<int>(this->pv("other")), 99);
}

TYPED_TEST(CaputTest, OneValueForAllOrOneForEach) {
  const std::vector<std::string> names = this->pvs({"other", "merged"});
  caput(names, 3, {.wait = true});
  EXPECT_THAT(caget<int>(names), ElementsAre(3, 3));
  caput(names, std::vector<double>{7, 8}, {.wait = true});
  EXPECT_THAT(caget<int>(names), ElementsAre(7, 8));
  caput(names, "55", {.wait = true});  // one text, not its characters
  EXPECT_THAT(caget<int>(names), ElementsAre(55, 55));
  EXPECT_THROW(caput(names, std::vector<int>{1}, {.wait = true}), mothreads::Misuse);
  const std::vector<Reply<void>> replies = caput_each({this->pv("other"), this->pv("missing")}, 1, {.wait = true}, absl::Milliseconds(300));
  EXPECT_TRUE(replies[0]);
  ASSERT_FALSE(replies[1]);
  EXPECT_EQ(replies[1].error().why(), mothreads::Why::timed_out);
}

TYPED_TEST(CaputTest, ALongTextGoesIntoAFieldOfCharacters) {
  const std::string text(41 - 2, 'd');
  caput(this->pv("string.DESC$"), text, {.wait = true});
  EXPECT_EQ(caget<std::string>(this->pv("string.DESC$")), text);
  EXPECT_EQ(caget(this->pv("string.DESC$")).data(), Data(text));
}

TYPED_TEST(CaputTest, TheTypeMayBeChosen) {
  caput(this->pv("double"), "2.5", {.wait = true, .datatype = Type::string});
  EXPECT_EQ(caget<double>(this->pv("double")), 2.5);
  EXPECT_THROW(caput(this->pv("double"), 2.5, {.datatype = Type::int16}), Error);
  EXPECT_THROW(caput(this->pv("double"), "2.5", {.datatype = Type::float64}), Error);
  caput(this->pv("double"), 3.5, {.wait = true});
}

TYPED_TEST(CaputTest, AMissingVariableTimesOutAndASignalStops) {
  in_each_world([&] {
    EXPECT_THROW(caput(this->pv("missing"), 1, absl::Milliseconds(20)), mothreads::Timedout);
    mothreads::Signal gone;
    gone.go();
    EXPECT_THROW(caput(this->pv("missing"), 1, {.wait = true}, gone), mothreads::Stopped);
  });
}

}  // namespace
}  // namespace catools::testing
