#include "catools/server/served.h"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catools/server/server.h"
#include "mothreads/misuse.h"
#include "tests/catools/server/ca_client.h"
#include "tests/catools/server/one_server.h"
#include "tests/support/exceptions.h"

namespace catools::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::testing::what_of;
using testing::CaClient;
using testing::payload_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Mode { off, on, fast };

class ServedTest : public testing::OneServerTest {};

TEST_F(ServedTest, EveryTypeAndItsNumber) {
  server_->add<double>("DOUBLE", 1.5);
  server_->add<float>("FLOAT", 1.5F);
  server_->add<std::int32_t>("LONG", -7);
  server_->add<std::int16_t>("SHORT", -8);
  server_->add<std::uint8_t>("BYTE", 200);
  server_->add<char>("CHAR", 'x');
  server_->add<std::string>("TEXT", "hello");
  server_->add<Mode>("MODE", Mode::fast, {.texts = {"off", "on", "fast"}});
  server_->add<std::vector<double>>("DOUBLES", {1, 2}, {.max_count = 9});
  server_->add<std::vector<char>>("CHARS", {'a', 'b'});
  server_->add<std::vector<std::string>>("TEXTS", {"a", "b"});
  CaClient client(server_->address());
  const std::tuple<const char*, int, unsigned, const char*> kTable[] = {
      {"DOUBLE", 6, 1, "1.5"}, {"FLOAT", 2, 1, "1.5"},   {"LONG", 5, 1, "-7"},  {"SHORT", 1, 1, "-8"},   {"BYTE", 4, 1, "200"}, {"CHAR", 4, 1, "120"},
      {"TEXT", 0, 1, "hello"}, {"MODE", 3, 1, "fast"}, {"DOUBLES", 6, 9, "1"}, {"CHARS", 4, 2, "97"}, {"TEXTS", 0, 2, "a"},
  };
  for (const auto& [name, type, count, text] : kTable) {
    const CaClient::Channel channel = client.create(name).value();
    EXPECT_EQ(channel.type, type) << name;
    EXPECT_EQ(channel.count, count) << name;
    EXPECT_EQ(client.read(channel, 0).text_at(0), text) << name;
  }
}

TEST_F(ServedTest, WhatIsSetCanBeGot) {
  Served<Mode> mode = server_->add<Mode>("MODE", Mode::off, {.texts = {"off", "on"}});
  mode.set(Mode::on);
  EXPECT_EQ(mode.get(), Mode::on);
  Served<std::vector<char>> chars = server_->add<std::vector<char>>("CHARS", {}, {.max_count = 3});
  chars.set({'a', 'b'});
  EXPECT_THAT(chars.get(), ElementsAre('a', 'b'));
  Served<std::string> text = server_->add<std::string>("TEXT", "");
  text.set(std::string(39, 'x'));
  EXPECT_EQ(text.get(), std::string(39, 'x'));
}

TEST_F(ServedTest, WhatItCannotHoldIsRefusedByName) {
  const auto refusal = [](auto&& action) { return what_of<std::invalid_argument>(action); };
  Served<std::string> text = server_->add<std::string>("TEXT", "a");
  EXPECT_THAT(refusal([&] { text.set(std::string(40, 'x')); }), HasSubstr("\"TEXT\" was given a text of 40 bytes"));
  Served<std::vector<double>> numbers = server_->add<std::vector<double>>("NUMBERS", {1, 2});
  EXPECT_THAT(refusal([&] { numbers.set({1, 2, 3}); }), HasSubstr("\"NUMBERS\" holds up to 2 elements"));
  Served<Mode> mode = server_->add<Mode>("MODE", Mode::off, {.texts = {"off"}});
  EXPECT_THAT(refusal([&] { mode.set(Mode::fast); }), HasSubstr("\"MODE\": there is no choice 2"));
  EXPECT_EQ(text.get(), "a");
}

TEST_F(ServedTest, AZeroByteWithinATextIsRefused) {
  const std::string cut("ab\0cd", 5);
  Served<std::string> text = server_->add<std::string>("TEXT", "a");
  EXPECT_THAT(what_of<std::invalid_argument>([&] { text.set(cut); }), HasSubstr("\"TEXT\" was given a text with a zero byte"));
  EXPECT_THAT(what_of<std::invalid_argument>([&] { server_->add<std::string>("CUT", cut); }), HasSubstr("zero byte"));
  EXPECT_THAT(what_of<Misuse>([&] { server_->add<double>("CUT", 1.0, {.units = cut}); }), HasSubstr("zero byte"));
  EXPECT_THAT(what_of<Misuse>([&] { server_->add<Mode>("CUT", Mode::off, {.texts = {cut}}); }), HasSubstr("zero byte"));
  EXPECT_EQ(text.get(), "a");
}

TEST_F(ServedTest, AMonitorIsToldOfChanges) {
  Served<double> value = server_->add<double>("VALUE", 1.0);
  Served<std::string> text = server_->add<std::string>("TEXT", "a");
  CaClient client(server_->address());
  const CaClient::Channel number = client.create("VALUE").value();
  client.monitor(client.create("TEXT", 2).value(), 0, 2, internal::kValueEvents);
  client.monitor(number, 6, 1, internal::kValueEvents);
  EXPECT_EQ(client.next().text_at(0), "a");
  EXPECT_EQ(client.next().number_at<double>(0), 1);
  const absl::Time later = absl::FromUnixSeconds(2'000'000'000);
  for (const double next : {1.0, std::nan(""), std::nan(""), 2.0}) value.set(next, {.severity = Severity::none, .time = later});
  EXPECT_EQ(value.time(), later);
  EXPECT_TRUE(std::isnan(client.next().number_at<double>(0)));
  EXPECT_EQ(client.next().number_at<double>(0), 2);
  text.set("a");
  text.set("b");
  EXPECT_EQ(client.next().text_at(0), "b");
  value.set(2, {.time = later});
  EXPECT_EQ(value.time(), later);
}

TEST_F(ServedTest, AMonitorIsToldOfEverySetWhereThatIsAskedFor) {
  Served<double> value = server_->add<double>("VALUE", 1.0, {.posts = Posts::every_set});
  Served<std::vector<double>> wave = server_->add<std::vector<double>>("WAVE", {1, 2});
  Served<std::vector<double>> calm = server_->add<std::vector<double>>("CALM", {1, 2}, {.posts = Posts::changes});
  CaClient client(server_->address());
  std::vector<CaClient::Channel> channels;
  for (const char* name : {"VALUE", "WAVE", "CALM"}) channels.push_back(client.create(name, static_cast<std::uint32_t>(channels.size())).value());
  for (std::uint32_t i = 0; i < 3; ++i) client.monitor(channels[i], 6, i + 1, internal::kValueEvents);
  for (std::uint32_t id : {1U, 2U, 3U}) EXPECT_EQ(client.next().header.second, id);
  value.set(1);
  EXPECT_EQ(client.next().header.second, 1U);
  wave.set({1, 2});
  EXPECT_EQ(client.next().header.second, 2U);
  calm.set({1, 2});
  calm.set({1, 3});
  const testing::CaMessage changed = client.next();
  EXPECT_EQ(changed.header.second, 3U);
  EXPECT_EQ(changed.number_at<double>(8), 3);
}

TEST_F(ServedTest, AChangeOfTheAlarmAloneIsToldToThoseWhoAskedForAlarms) {
  Served<double> value = server_->add<double>("VALUE", 1.0);
  CaClient client(server_->address());
  const CaClient::Channel channel = client.create("VALUE").value();
  client.monitor(channel, 6, 1, internal::kValueEvents);
  client.monitor(channel, 6, 2, internal::kAlarmEvents);
  for (std::uint32_t id : {1U, 2U}) EXPECT_EQ(client.next().header.second, id);
  value.set(1, {.severity = Severity::minor});
  EXPECT_EQ(client.next().header.second, 2U);
  value.set(5, {.severity = Severity::minor});
  EXPECT_EQ(client.next().header.second, 1U);
}

TEST_F(ServedTest, WhatCannotBeAdded) {
  const auto refusal = [](auto&& action) { return what_of<Misuse>(action); };
  server_->add<double>("TWICE", 1.0);
  EXPECT_THAT(refusal([&] { server_->add<double>("TWICE", 1.0); }), HasSubstr("\"TWICE\" is served already"));
  EXPECT_THAT(refusal([&] { server_->add<Mode>("MODE", Mode::off); }), HasSubstr("give its texts"));
  EXPECT_THAT(refusal([&] { server_->add<double>("A", 1.0, {.texts = {"a"}}); }), HasSubstr("no enum"));
  EXPECT_THAT(refusal([&] { server_->add<double>("A", 1.0, {.units = "12345678"}); }), HasSubstr("up to 7 bytes"));
  EXPECT_THAT(refusal([&] { server_->add<Mode>("A", Mode::off, {.texts = std::vector<std::string>(17)}); }), HasSubstr("up to 16"));
  EXPECT_THAT(refusal([&] { server_->add<Mode>("A", Mode::off, {.texts = {std::string(26, 'x')}}); }), HasSubstr("up to 25 bytes"));
}

TEST_F(ServedTest, TheLimitsDecideTheSeverity) {
  const Limits kLimits{.low_alarm = -20, .high_alarm = 20, .low_warning = -10, .high_warning = 10};
  Served<double> value = server_->add<double>("VALUE", 0.0, {.limits = kLimits});
  const std::tuple<double, Severity, Condition> kTable[] = {
      {9.9, Severity::none, Condition::none},    {10, Severity::minor, Condition::high},   {20, Severity::major, Condition::hihi},
      {-10, Severity::minor, Condition::low},    {-20, Severity::major, Condition::lolo},  {std::nan(""), Severity::invalid, Condition::undefined},
      {-9.9, Severity::none, Condition::none},
  };
  for (const auto& [number, severity, condition] : kTable) {
    value.set(number);
    EXPECT_EQ(value.severity(), severity) << number;
    EXPECT_EQ(value.condition(), condition) << number;
  }
  Served<std::int16_t> whole = server_->add<std::int16_t>("WHOLE", 15, {.limits = kLimits});
  EXPECT_EQ(whole.severity(), Severity::minor);
}

TEST_F(ServedTest, AnAlarmAndATimeThatAreGiven) {
  Served<double> value = server_->add<double>("VALUE", 0.0, {.limits = {.high_alarm = 20}});
  value.set(30, {.severity = Severity::none});
  EXPECT_EQ(value.severity(), Severity::none);
  value.set(1, {.severity = Severity::minor});
  EXPECT_EQ(value.condition(), Condition::soft);
  value.set(1, {.severity = Severity::invalid, .condition = Condition::link, .time = absl::FromUnixSeconds(1'000'000'000)});
  EXPECT_EQ(value.time(), absl::FromUnixSeconds(1'000'000'000));
  EXPECT_THAT(what_of<Misuse>([&] { value.set(2, {.condition = Condition::link}); }), HasSubstr("without a severity"));
  CaClient client(server_->address());
  const testing::CaMessage sent = client.read(client.create("VALUE").value(), 20);
  EXPECT_EQ(sent.number_at<std::uint16_t>(0), 14);
  EXPECT_EQ(sent.number_at<std::uint16_t>(2), 3);
  EXPECT_EQ(sent.number_at<std::uint32_t>(4), 1'000'000'000U - 631'152'000U);
}

TEST_F(ServedTest, OtherLimitsAreToldAsAProperty) {
  Served<double> value = server_->add<double>("VALUE", 5.0);
  CaClient client(server_->address());
  client.monitor(client.create("VALUE").value(), 34, 1, internal::kPropertyEvents);
  EXPECT_TRUE(std::isnan(client.next().number_at<double>(16)));
  value.set_limits({.high_display = 9, .high_alarm = 1});
  EXPECT_EQ(client.next().number_at<double>(16), 9);
  EXPECT_EQ(value.limits().high_display, 9);
  value.set(5);
  EXPECT_EQ(value.severity(), Severity::major);
}

}  // namespace
}  // namespace catools::inline v0
