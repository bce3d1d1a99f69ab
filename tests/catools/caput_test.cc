#include "catools/caput.h"

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/connect.h"
#include "cooperative/event_queue.h"
#include "cooperative/sleep.h"
#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Duration kSoon = absl::Seconds(5);

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
    refused("string", std::string("ab\0cd", 5), Code::bad_string, "zero byte at place 2");
    refused("strings", std::vector<std::string>{"a", std::string("b\0", 2)}, Code::bad_string, "zero byte at place 1");
    refused("chars", std::string("\0cd", 3), Code::bad_string, "zero byte at place 0");
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
  caput(this->pvs({"wave", "shorts"}), std::vector<int>{4, 5, 6}, {.wait = true, .repeat_value = true});
  EXPECT_THAT(caget<std::vector<int>>(this->pv("wave")), ElementsAre(4, 5, 6));
  EXPECT_THAT(caget<std::vector<int>>(this->pv("shorts")), ElementsAre(4, 5, 6));
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

TYPED_TEST(CaputTest, AlarmsAreAcknowledged) {
  const auto look = [&] { return caget(this->pv("long"), {.format = Format::acknowledgement}); };
  const auto acknowledge = [&](Severity severity) {
    caput(this->pv("long"), static_cast<int>(severity), {.wait = true, .to = PutTo::acknowledged_severity});
  };
  acknowledge(Severity::invalid);
  EXPECT_EQ(look().acknowledgement()->severity, Severity::none);
  caput(this->pv("long"), 95, {.wait = true});
  EXPECT_EQ(look().severity(), Severity::minor);
  caput(this->pv("long"), 50, {.wait = true});
  const Value passed = look();
  EXPECT_EQ(passed.severity(), Severity::none);
  EXPECT_EQ(passed.as<int>(), 50);
  EXPECT_EQ(passed.acknowledgement()->severity, Severity::minor);
  EXPECT_TRUE(passed.acknowledgement()->is_for_transient);
  acknowledge(Severity::minor);
  EXPECT_EQ(look().acknowledgement()->severity, Severity::none);
  for (const bool is_for_transient : {false, true}) {
    caput(this->pv("long"), is_for_transient, {.wait = true, .to = PutTo::acknowledge_transient});
    EXPECT_EQ(look().acknowledgement()->is_for_transient, is_for_transient);
  }
  EXPECT_EQ(caget<int>(this->pv("long")), 50);
  EXPECT_FALSE(caget(this->pv("long")).acknowledgement());
  EXPECT_THROW(caput(this->pv("long"), "minor", {.to = PutTo::acknowledged_severity}), Error);
}

TYPED_TEST(CaputTest, AMissingVariableTimesOutAndASignalStops) {
  in_each_world([&] {
    EXPECT_THROW(caput(this->pv("missing"), 1, absl::Milliseconds(20)), mothreads::Timedout);
    mothreads::Signal gone;
    gone.go();
    EXPECT_THROW(caput(this->pv("missing"), 1, {.wait = true}, gone), mothreads::Stopped);
  });
}

TYPED_TEST(CaputTest, AFunctionIsCalledOnceWhenTheServerHasDoneIt) {
  cooperative::EventQueue<bool> ended;
  const std::thread::id here = std::this_thread::get_id();
  const auto on_done = [&](const Reply<void>& reply) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    EXPECT_EQ(reply.name(), this->pv("enum"));
    if (reply) static_cast<void>(caget(this->pv("double")));  // it may wait
    ended.signal(static_cast<bool>(reply));
  };
  caput(this->pv("enum"), "standby", on_done);
  EXPECT_TRUE(ended.wait(kSoon));
  EXPECT_EQ(caget<int>(this->pv("enum")), 2);
  caput(this->pv("enum"), "no such choice", on_done);  // sent, and refused later
  EXPECT_FALSE(ended.wait(kSoon));
  caput(this->pv("enum"), "off", on_done, {.wait = true});
  EXPECT_TRUE(ended.wait(kSoon));
  EXPECT_THROW(caput(this->pv("enum"), "no such choice", on_done, {.wait = true}), Error);
  EXPECT_FALSE(ended.wait(kSoon));
  cooperative::yield();
  EXPECT_EQ(ended.size(), 0U);
}

TYPED_TEST(CaputTest, AFunctionHearsOfWhatIsNotSent) {
  cooperative::EventQueue<Code> ended;
  const auto on_done = [&](const Reply<void>& reply) { ended.signal(reply.error().code()); };
  EXPECT_THROW(caput(this->pv("readonly"), 2, on_done), Error);
  EXPECT_EQ(ended.wait(kSoon), Code::no_write_access);
  EXPECT_THROW(caput(this->pv("long"), 3.5, on_done), Error);
  EXPECT_EQ(ended.wait(kSoon), Code::no_conversion);
  EXPECT_THROW(caput(this->pv("missing"), 1, on_done, {}, absl::Milliseconds(20)), mothreads::Timedout);
  EXPECT_EQ(ended.wait(kSoon), Code::timed_out);
  mothreads::Signal gone;
  gone.go();
  EXPECT_THROW(caput(this->pv("missing"), 1, on_done, {.wait = true}, gone), mothreads::Stopped);
  EXPECT_EQ(ended.wait(kSoon), Code::timed_out);
  EXPECT_THROW(caput(this->pv("long"), 1, absl::AnyInvocable<void(const Reply<void>&)>()), mothreads::Misuse);
}

TYPED_TEST(CaputTest, AFunctionForSeveralTakesThePlaceInTheList) {
  cooperative::EventQueue<std::pair<std::size_t, bool>> ended;
  const std::vector<std::string> names = this->pvs({"other", "enum", "merged"});
  const auto on_done = [&](const Reply<void>& reply, std::size_t index) { ended.signal(std::pair(index, static_cast<bool>(reply))); };
  caput(names, std::vector<std::string>{"1", "no such choice", "3"}, on_done);
  std::vector<std::pair<std::size_t, bool>> all{ended.wait(kSoon), ended.wait(kSoon), ended.wait(kSoon)};
  EXPECT_THAT(all, ::testing::UnorderedElementsAre(std::pair(0U, true), std::pair(1U, false), std::pair(2U, true)));
  EXPECT_THAT(caget<int>({names[0], names[2]}), ElementsAre(1, 3));

  cooperative::EventQueue<bool> each;
  const std::vector<Reply<void>> replies =
      caput_each({this->pv("other"), this->pv("missing")}, 5, [&](const Reply<void>& reply) { each.signal(static_cast<bool>(reply)); }, {.wait = true},
                 absl::Milliseconds(300));
  EXPECT_TRUE(replies[0]);
  EXPECT_EQ(replies[1].error().why(), mothreads::Why::timed_out);
  std::vector<bool> both{each.wait(kSoon), each.wait(kSoon)};
  EXPECT_THAT(both, ::testing::UnorderedElementsAre(true, false));
}

TYPED_TEST(CaputTest, PutsWithAFunctionGoOutInTheOrderOfTheCalls) {
  connect(this->pv("other"));
  cooperative::EventQueue<bool> ended;
  for (int i = 0; i < 100; ++i) {
    caput(this->pv("other"), 2 * i, [&](const Reply<void>& reply) { ended.signal(static_cast<bool>(reply)); });
    caput(this->pv("other"), 2 * i + 1);
  }
  EXPECT_EQ(caget<int>(this->pv("other")), 199);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(ended.wait(kSoon));
}

TYPED_TEST(CaputTest, WhatAFunctionThrowsIsLogged) {
  mothreads::testing::LogLines lines;
  caput(this->pv("other"), 1, [](const Reply<void>&) { throw std::runtime_error("cannot draw"); }, {.wait = true});
  while (lines.with("cannot draw").empty()) cooperative::sleep(absl::Milliseconds(1));
  EXPECT_EQ(lines.with("the function of a put threw: cannot draw").size(), 1U);
}

}  // namespace
}  // namespace catools::testing
