#include "catools/server/internal/circuit.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/catools/server/circuit_fixture.h"
#include "tests/support/exceptions.h"
#include "tests/support/failing_allocations.h"

namespace catools::inline v0::internal {
namespace {

using mothreads::testing::what_of;
using testing::CaMessage;
using testing::CircuitSide;
using testing::make_pv;
using testing::mask_payload;
using testing::message;
using testing::name_payload;
using testing::payload_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kNormal = 1;
constexpr std::size_t kWave = 100'000;

class CircuitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<double> wave(kWave);
    std::iota(wave.begin(), wave.end(), 0);
    serve({.name = "NUMBER", .initial = std::vector<double>{1.5}});
    serve({.name = "SHORT", .initial = std::vector<std::int16_t>{5}});
    serve({.name = "TEXT", .initial = std::vector<std::string>{"abc"}});
    serve({.name = "WAVE", .initial = std::move(wave), .is_array = true, .max_count = kWave});
    serve({.name = "PART", .initial = std::vector<std::int32_t>{1, 2, 3}, .is_array = true, .max_count = 10});
    serve({.name = "SLOW", .initial = std::vector<double>{0}, .on_put = {.call = [](Cells&& cells, const mothreads::Signal&) { return cells; }}});
    side_.send(message({.command = Command::version, .count = 13}));
    static_cast<void>(side_.received());
  }
  void serve(PvSetup setup) { directory_.add(make_pv(std::move(setup))); }
  std::shared_ptr<ServedPv> pv(std::string_view name) { return directory_.find(name); }

  // Gives the server's number of it.
  std::uint32_t create(std::string_view name, std::uint32_t client_id = 77) {
    side_.send(message({.command = Command::create_channel, .first = client_id, .second = 13}, name_payload(name)));
    return side_.received().back().header.second;
  }
  CaMessage ask(Header header, std::string_view payload = {}) {
    side_.send(message(header, payload));
    const auto all = side_.received();
    if (all.size() != 1) throw std::runtime_error("not one answer");
    return all.front();
  }
  CaMessage read(std::uint32_t channel, std::uint16_t type, std::uint32_t count = 1) {
    return ask({.command = Command::read_notify, .type = type, .count = count, .first = channel, .second = 99});
  }
  CaMessage put(std::uint32_t channel, std::uint16_t type, std::uint32_t count, std::string_view payload) {
    return ask({.command = Command::write_notify, .type = type, .count = count, .first = channel, .second = 98}, payload);
  }
  std::vector<CaMessage> monitor(std::uint32_t channel, std::uint16_t type, std::uint16_t events, std::uint32_t id = 5, std::uint32_t count = 1) {
    side_.send(message({.command = Command::event_add, .type = type, .count = count, .first = channel, .second = id}, mask_payload(events)));
    return side_.received();
  }
  std::string refusal(std::string_view bytes) {
    return what_of<ProtocolError>([&] { side_.send(bytes); });
  }

  Directory directory_;
  CircuitSide side_{directory_};
};

TEST_F(CircuitTest, TheVersionComesFirst) {
  CircuitSide other(directory_);
  const auto all = other.received();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].header, (Header{.command = Command::version, .count = 13}));
}

TEST_F(CircuitTest, AChannelIsAnsweredByItsRightsAndItsType) {
  side_.send(message({.command = Command::create_channel, .first = 7, .second = 13}, name_payload("WAVE")));
  const auto all = side_.received();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].header, (Header{.command = Command::access_rights, .first = 7, .second = 3}));
  EXPECT_EQ(all[1].header.command, Command::create_channel);
  EXPECT_EQ(all[1].header.type, 6);
  EXPECT_EQ(all[1].header.count, kWave);
  EXPECT_EQ(all[1].header.first, 7U);
  EXPECT_EQ(side_.counters.channels.value(), 1U);
}

TEST_F(CircuitTest, AnUnknownNameFails) {
  const CaMessage answer = ask({.command = Command::create_channel, .first = 8, .second = 13}, name_payload("NONE"));
  EXPECT_EQ(answer.header, (Header{.command = Command::create_channel_failed, .first = 8}));
}

TEST_F(CircuitTest, ReadsInSeveralTypes) {
  const std::uint32_t number = create("NUMBER");
  const CaMessage plain = read(number, 6);
  EXPECT_EQ(plain.header, (Header{.command = Command::read_notify, .size = 8, .type = 6, .count = 1, .first = kNormal, .second = 99}));
  EXPECT_EQ(plain.number_at<double>(0), 1.5);
  EXPECT_EQ(read(number, 20).number_at<double>(16), 1.5);
  EXPECT_EQ(read(number, 0).text_at(0), "1.5");
  EXPECT_EQ(read(number, 5).number_at<std::int32_t>(0), 1);
  EXPECT_EQ(read(number, 34).number_at<double>(80), 1.5);
  EXPECT_EQ(read(number, 38).text_at(0), "served");
}

TEST_F(CircuitTest, CountsOfReads) {
  const std::uint32_t part = create("PART");
  EXPECT_EQ(read(part, 5, 0).header.count, 3U);
  EXPECT_THAT(read(part, 5, 0).numbers_at<std::int32_t>(0, 4), ElementsAre(1, 2, 3, 0));  // the payload is padded
  EXPECT_EQ(read(part, 5, 2).header.size, 8U);
  EXPECT_THAT(read(part, 5, 5).numbers_at<std::int32_t>(0, 6), ElementsAre(1, 2, 3, 0, 0, 0));
  EXPECT_EQ(read(part, 5, 11).header.first, static_cast<std::uint32_t>(Status::bad_count));
  pv("PART")->set(std::vector<std::int32_t>{}, {});
  EXPECT_EQ(read(part, 5, 0).header.count, 0U);
}

TEST_F(CircuitTest, ReadsThatAreRefused) {
  const std::uint32_t text = create("TEXT");
  EXPECT_EQ(read(text, 39).header.first, static_cast<std::uint32_t>(Status::bad_type));
  EXPECT_EQ(read(text, 35).header.first, static_cast<std::uint32_t>(Status::bad_type));
  EXPECT_EQ(read(text, 6).header.first, static_cast<std::uint32_t>(Status::get_failed));
  pv("TEXT")->set_rights(AccessRights::write);
  EXPECT_EQ(read(text, 0).header.first, static_cast<std::uint32_t>(Status::no_read_access));
}

TEST_F(CircuitTest, APlainReadThatFailsIsAnError) {
  const std::uint32_t text = create("TEXT", 44);
  const CaMessage answer = ask({.command = Command::read, .type = 6, .count = 1, .first = text, .second = 3});
  EXPECT_EQ(answer.header.command, Command::error);
  EXPECT_EQ(answer.header.first, 44U);
  EXPECT_EQ(answer.header.second, static_cast<std::uint32_t>(Status::get_failed));
  EXPECT_EQ(parse_header(answer.payload)->header.command, Command::read);
  EXPECT_EQ(answer.text_at(16), "\"abc\" is no number");
}

TEST_F(CircuitTest, ALargeValueComesInPieces) {
  const std::uint32_t wave = create("WAVE");
  side_.largest = 0;
  const CaMessage all = read(wave, 20, 0);
  EXPECT_EQ(all.header.count, kWave);
  const std::vector<double> numbers = all.numbers_at<double>(16, kWave);
  for (std::size_t i = 0; i < kWave; ++i) ASSERT_EQ(numbers[i], static_cast<double>(i));
  EXPECT_LE(side_.largest, Circuit::kPiece + 100);
}

TEST_F(CircuitTest, PutsAreConvertedAndStored) {
  const std::uint32_t number = create("SHORT");
  const CaMessage answer = put(number, 6, 1, payload_of<double>({7.9}));
  EXPECT_EQ(answer.header, (Header{.command = Command::write_notify, .type = 6, .count = 1, .first = kNormal, .second = 98}));
  EXPECT_EQ(read(number, 1).number_at<std::int16_t>(0), 7);
  EXPECT_EQ(put(number, 0, 1, "-3").header.first, kNormal);  // a text without all of its zeros
  EXPECT_EQ(read(number, 1).number_at<std::int16_t>(0), -3);
  side_.send(message({.command = Command::write, .type = 5, .count = 1, .first = number, .second = 1}, payload_of<std::int32_t>({12})));
  EXPECT_THAT(side_.received(), IsEmpty());
  EXPECT_EQ(read(number, 1).number_at<std::int16_t>(0), 12);
  EXPECT_EQ(side_.counters.puts.value(), 3U);
}

TEST_F(CircuitTest, PutsThatAreRefusedChangeNothing) {
  const std::uint32_t number = create("SHORT");
  EXPECT_EQ(put(number, 0, 1, "abc").header.first, static_cast<std::uint32_t>(Status::put_failed));
  EXPECT_EQ(put(number, 5, 1, payload_of<std::int32_t>({70'000})).header.first, static_cast<std::uint32_t>(Status::put_failed));
  EXPECT_EQ(put(number, 1, 2, payload_of<std::int16_t>({1, 2})).header.first, static_cast<std::uint32_t>(Status::bad_count));
  EXPECT_EQ(put(number, 1, 0, "").header.first, static_cast<std::uint32_t>(Status::bad_count));
  EXPECT_EQ(put(number, 20, 1, std::string(24, '\0')).header.first, static_cast<std::uint32_t>(Status::bad_type));
  pv("SHORT")->set_rights(AccessRights::read);
  EXPECT_EQ(put(number, 1, 1, payload_of<std::int16_t>({1})).header.first, static_cast<std::uint32_t>(Status::no_write_access));
  EXPECT_EQ(read(number, 1).number_at<std::int16_t>(0), 5);
  EXPECT_EQ(side_.counters.refused.value(), 6U);
}

TEST_F(CircuitTest, ALargePutInWhateverPieces) {
  std::vector<double> numbers(kWave);
  std::iota(numbers.begin(), numbers.end(), 0.5);
  const std::uint32_t wave = create("WAVE");
  const std::string bytes = message({.command = Command::write_notify, .type = 6, .count = kWave, .first = wave, .second = 1}, payload_of(numbers));
  for (std::size_t at = 0; at < bytes.size(); at += 4099) side_.send(std::string_view(bytes).substr(at, 4099));
  EXPECT_EQ(side_.received().back().header.first, kNormal);
  EXPECT_EQ(std::get<std::vector<double>>(pv("WAVE")->sample()->cells), numbers);
  EXPECT_EQ(side_.waiting(), 0U);
}

TEST_F(CircuitTest, AMonitorGetsTheValueAtOnceAndThenChanges) {
  const std::uint32_t number = create("NUMBER");
  const auto first = monitor(number, 6, kValueEvents);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].header, (Header{.command = Command::event_add, .size = 8, .type = 6, .count = 1, .first = kNormal, .second = 5}));
  EXPECT_EQ(first[0].number_at<double>(0), 1.5);
  for (const double value : {2.0, 3.0, 4.0}) pv("NUMBER")->set(std::vector<double>{value}, {});
  pv("NUMBER")->tell();
  std::vector<double> values;
  for (const CaMessage& update : side_.received()) values.push_back(update.number_at<double>(0));
  EXPECT_THAT(values, ElementsAre(2, 3, 4));
  EXPECT_EQ(side_.counters.updates.value(), 4U);
}

TEST_F(CircuitTest, MasksChooseTheEvents) {
  const std::uint32_t number = create("NUMBER");
  for (const std::uint16_t events : {kValueEvents, kLogEvents, kAlarmEvents, kPropertyEvents}) {
    EXPECT_EQ(monitor(number, 6, events, events).size(), 1U);
  }
  const auto told = [&] {
    pv("NUMBER")->tell();
    std::vector<std::uint32_t> who;
    for (const CaMessage& update : side_.received()) who.push_back(update.header.second);
    std::sort(who.begin(), who.end());
    return who;
  };
  pv("NUMBER")->set(std::vector<double>{2}, {});
  EXPECT_THAT(told(), ElementsAre(1, 2));
  pv("NUMBER")->set(std::vector<double>{2}, {.severity = Severity::minor});
  EXPECT_THAT(told(), ElementsAre(4));
  pv("NUMBER")->set(std::vector<double>{2}, {.severity = Severity::minor});
  EXPECT_THAT(told(), IsEmpty());
  pv("NUMBER")->set(std::vector<double>{3}, {});
  EXPECT_THAT(told(), ElementsAre(1, 2, 4));
  pv("NUMBER")->change_properties([](Properties& properties) { properties.units = "V"; });
  EXPECT_THAT(told(), ElementsAre(8));
  EXPECT_EQ(monitor(number, 6, 0, 9).front().header.second, static_cast<std::uint32_t>(Status::bad_mask));
}

TEST_F(CircuitTest, AFullQueueKeepsTheFirstAndTheLast) {
  serve({.name = "FAST", .initial = std::vector<double>{0}, .queue = {.samples = 3}});
  const std::uint32_t fast = create("FAST");
  monitor(fast, 6, kAllEvents);
  for (int i = 1; i <= 10; ++i) {
    pv("FAST")->set(std::vector<double>{static_cast<double>(i)}, {});
    pv("FAST")->tell();
  }
  std::vector<double> values;
  for (const CaMessage& update : side_.received()) values.push_back(update.number_at<double>(0));
  EXPECT_THAT(values, ElementsAre(1, 2, 10));
  EXPECT_EQ(side_.counters.dropped.value(), 7U);
}

TEST_F(CircuitTest, WhatWasDroppedDidNotTakeItsAlarmAlong) {
  serve({.name = "FAST", .initial = std::vector<double>{0}, .queue = {.samples = 1}});
  const std::uint32_t fast = create("FAST");
  monitor(fast, 13, kAlarmEvents);
  pv("FAST")->set(std::vector<double>{1}, {.severity = Severity::major});
  pv("FAST")->set(std::vector<double>{2}, {.severity = Severity::major});
  pv("FAST")->tell();
  const auto updates = side_.received();
  ASSERT_EQ(updates.size(), 1U);
  EXPECT_EQ(updates[0].number_at<double>(8), 2);
}

TEST_F(CircuitTest, AnUpdateThatFindsNoMemoryEndsItsCircuitAndIsToldToTheOthers) {
  constexpr int kSets = 90;  // a queue asks for memory now and then
  std::vector<std::unique_ptr<CircuitSide>> sides;
  for (int i = 0; i < 10; ++i) {
    sides.push_back(std::make_unique<CircuitSide>(directory_));
    sides.back()->send(message({.command = Command::create_channel, .first = 1, .second = 13}, name_payload("NUMBER")));
    sides.back()->send(message({.command = Command::event_add, .type = 6, .count = 1, .first = 1, .second = 5}, mask_payload(kValueEvents)));
  }
  for (int i = 1; i <= kSets; ++i) {
    pv("NUMBER")->set(std::vector<double>{10.0 + i}, {});
    const mothreads::testing::FailAllocation failure(0);
    pv("NUMBER")->tell();
  }
  int ended = 0;
  for (const auto& side : sides) {
    if (side->circuit().has_given_up()) {
      ++ended;
    } else {
      EXPECT_EQ(side->received().back().number_at<double>(0), 10 + kSets);
    }
  }
  EXPECT_GT(ended, 0);
  EXPECT_LT(ended, 10);
}

TEST_F(CircuitTest, APauseLeavesTheNewestValue) {
  const std::uint32_t number = create("NUMBER");
  monitor(number, 6, kValueEvents);
  side_.send(message({.command = Command::events_off}));
  for (int i = 1; i <= 10; ++i) pv("NUMBER")->set(std::vector<double>{static_cast<double>(i)}, {});
  pv("NUMBER")->tell();
  EXPECT_THAT(side_.received(), IsEmpty());
  side_.send(message({.command = Command::events_on}));
  const auto updates = side_.received();
  ASSERT_EQ(updates.size(), 1U);
  EXPECT_EQ(updates[0].number_at<double>(0), 10);
}

TEST_F(CircuitTest, ACancelledMonitorIsConfirmedAndSilent) {
  const std::uint32_t number = create("NUMBER");
  monitor(number, 6, kValueEvents);
  pv("NUMBER")->set(std::vector<double>{2}, {});
  pv("NUMBER")->tell();
  const CaMessage last = ask({.command = Command::event_cancel, .type = 6, .count = 1, .first = number, .second = 5});
  EXPECT_EQ(last.header, (Header{.command = Command::event_add, .type = 6, .count = 1, .first = number, .second = 5}));
  pv("NUMBER")->set(std::vector<double>{3}, {});
  pv("NUMBER")->tell();
  EXPECT_THAT(side_.received(), IsEmpty());
  EXPECT_EQ(side_.counters.monitors.value(), 0U);
}

TEST_F(CircuitTest, AClearedChannelTakesItsMonitorsAlong) {
  const std::uint32_t number = create("NUMBER", 31);
  monitor(number, 6, kValueEvents, 1);
  monitor(number, 6, kValueEvents, 2);
  const CaMessage answer = ask({.command = Command::clear_channel, .first = number, .second = 31});
  EXPECT_EQ(answer.header, (Header{.command = Command::clear_channel, .first = number, .second = 31}));
  EXPECT_EQ(side_.counters.monitors.value() + side_.counters.channels.value(), 0U);
  EXPECT_EQ(read(number, 6).header.first, static_cast<std::uint32_t>(Status::bad_channel));
}

TEST_F(CircuitTest, AMonitorWithoutReadAccessIsToldSo) {
  const std::uint32_t number = create("NUMBER", 31);
  pv("NUMBER")->set_rights(AccessRights::none);
  EXPECT_EQ(monitor(number, 6, kValueEvents).at(0).header.first, static_cast<std::uint32_t>(Status::no_read_access));
  pv("NUMBER")->set_rights(AccessRights::read);
  pv("NUMBER")->tell();
  const auto all = side_.received();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].header, (Header{.command = Command::access_rights, .first = 31, .second = 1}));
  EXPECT_EQ(all[1].number_at<double>(0), 1.5);
}

TEST_F(CircuitTest, ARemovedPvTellsItsChannels) {
  const std::uint32_t number = create("NUMBER", 31);
  monitor(number, 6, kValueEvents);
  const std::shared_ptr<ServedPv> old = directory_.remove("NUMBER");
  EXPECT_TRUE(old->remove());
  EXPECT_FALSE(old->remove());
  old->tell();
  const auto all = side_.received();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].header, (Header{.command = Command::channel_gone, .first = 31}));
  EXPECT_EQ(put(number, 6, 1, payload_of<double>({1})).header.first, static_cast<std::uint32_t>(Status::bad_channel));
  const CaMessage other = ask({.command = Command::create_channel, .first = 8, .second = 13}, name_payload("NUMBER"));
  EXPECT_EQ(other.header.command, Command::create_channel_failed);
}

TEST_F(CircuitTest, APutWithAHandlerIsAnsweredWhenThatEnds) {
  const std::uint32_t slow = create("SLOW");
  side_.send(message({.command = Command::write_notify, .type = 6, .count = 1, .first = slow, .second = 1}, payload_of<double>({1})));
  side_.send(message({.command = Command::write, .type = 6, .count = 1, .first = slow, .second = 2}, payload_of<double>({2})));
  EXPECT_THAT(side_.received(), IsEmpty());
  ASSERT_EQ(side_.puts.size(), 2U);
  side_.puts[0].ended("");
  EXPECT_EQ(side_.received().at(0).header.first, kNormal);
  side_.puts[1].ended("no");
  const CaMessage error = side_.received().at(0);
  EXPECT_EQ(error.header.command, Command::error);
  EXPECT_EQ(error.text_at(16), "no");
}

TEST_F(CircuitTest, APutThatEndsAfterItsCircuit) {
  const std::uint32_t slow = create("SLOW");
  side_.send(message({.command = Command::write_notify, .type = 6, .count = 1, .first = slow, .second = 1}, payload_of<double>({1})));
  side_.drop();
  side_.puts.at(0).ended("");
  EXPECT_EQ(side_.counters.circuits.value(), 0U);
}

TEST_F(CircuitTest, NoMorePutsThanItMayHave) {
  const std::uint32_t slow = create("SLOW");
  constexpr std::size_t kPuts = Circuit::kMaxPuts + 36;
  for (std::uint32_t i = 0; i < kPuts; ++i) {
    side_.send(message({.command = Command::write_notify, .type = 6, .count = 1, .first = slow, .second = i}, payload_of<double>({1})));
  }
  EXPECT_EQ(side_.puts.size(), Circuit::kMaxPuts);
  EXPECT_GT(side_.waiting(), 0U);
  for (Put& put : std::exchange(side_.puts, {})) put.ended("");
  side_.send({});
  EXPECT_EQ(side_.puts.size(), kPuts - Circuit::kMaxPuts);
}

TEST_F(CircuitTest, RepliesThatNobodyReadsHoldUpTheNextRequests) {
  const std::uint32_t wave = create("WAVE");
  for (int i = 0; i < 10; ++i) side_.send(message({.command = Command::read_notify, .type = 6, .count = kWave, .first = wave, .second = 1}));
  EXPECT_EQ(side_.waiting(), 9U * 24);
  EXPECT_EQ(side_.received().size(), 10U);
  EXPECT_EQ(side_.waiting(), 0U);
}

// As a client does that asks for a list: no reply waits for the one before it to be sent.
TEST_F(CircuitTest, ManySmallArraysAreAskedForAtOnce) {
  constexpr std::uint32_t kElements = 100;
  serve({.name = "SMALL", .initial = std::vector<double>(kElements, 2.5), .is_array = true, .max_count = kElements});
  const std::uint32_t small = create("SMALL");
  std::string all;
  for (std::uint32_t i = 0; i < 250; ++i) {
    all += message({.command = Command::read_notify, .type = 6, .count = kElements, .first = small, .second = i});
  }
  side_.send(all);
  const auto replies = side_.received();
  ASSERT_EQ(replies.size(), 250U);
  for (std::uint32_t i = 0; i < 250; ++i) {
    EXPECT_EQ(replies[i].header.second, i);
    EXPECT_EQ(replies[i].header.size, 8 * kElements);
    EXPECT_EQ(replies[i].number_at<double>(8 * (kElements - 1)), 2.5);
  }
}

// A text of each element takes more memory than the element.
TEST_F(CircuitTest, OfALongArrayOnlyWhatIsAskedForIsConverted) {
  EXPECT_EQ(read(create("WAVE"), 0, 3).text_at(std::size_t{2} * 40), "2");
}

TEST_F(CircuitTest, AChannelTakesItsReadyMonitorsAlone) {
  const std::uint32_t number = create("NUMBER");
  const std::uint32_t other = create("SHORT", 78);
  side_.send(message({.command = Command::events_off}));
  for (std::uint32_t id = 0; id < 50; ++id) {
    side_.send(message({.command = Command::event_add, .type = 6, .count = 1, .first = id % 2 == 0 ? number : other, .second = id}, mask_payload(1)));
  }
  side_.send(message({.command = Command::clear_channel, .first = number, .second = 77}));
  EXPECT_EQ(side_.counters.monitors.value(), 25U);
  side_.send(message({.command = Command::events_on}));
  EXPECT_EQ(side_.received().size(), 26U);  // the confirmation, and the others' first values
}

TEST_F(CircuitTest, LimitsOfChannelsAndMonitors) {
  CircuitSide small(directory_, {.max_channels = 1, .max_monitors = 1});
  small.send(message({.command = Command::create_channel, .first = 1, .second = 13}, name_payload("NUMBER")));
  const std::uint32_t number = small.received().back().header.second;
  small.send(message({.command = Command::create_channel, .first = 2, .second = 13}, name_payload("NUMBER")));
  EXPECT_EQ(small.received().back().header.command, Command::create_channel_failed);
  for (std::uint32_t id : {1U, 2U}) {
    small.send(message({.command = Command::event_add, .type = 6, .count = 1, .first = number, .second = id}, mask_payload(1)));
  }
  EXPECT_EQ(small.received().back().header.second, static_cast<std::uint32_t>(Status::no_memory));
}

TEST_F(CircuitTest, WhatIsSentBack) {
  EXPECT_EQ(ask({.command = Command::echo}).header, (Header{.command = Command::echo}));
  EXPECT_EQ(ask({.command = Command::read_sync, .second = 4}).header, (Header{.command = Command::read_sync, .second = 4}));
  EXPECT_EQ(ask({.command = Command::search, .type = 5, .count = 13, .first = 3, .second = 3}, name_payload("TEXT")).header.type, 5064);
}

TEST_F(CircuitTest, AcknowledgedAlarms) {
  const std::uint32_t number = create("NUMBER");
  pv("NUMBER")->set(std::vector<double>{1}, {.severity = Severity::major});
  pv("NUMBER")->set(std::vector<double>{1}, {});
  EXPECT_EQ(read(number, 37).number_at<std::uint16_t>(6), 2);
  EXPECT_EQ(put(number, 36, 1, payload_of<std::uint16_t>({1})).header.first, kNormal);
  EXPECT_EQ(read(number, 37).number_at<std::uint16_t>(6), 2);
  EXPECT_EQ(put(number, 36, 1, payload_of<std::uint16_t>({2})).header.first, kNormal);
  EXPECT_EQ(read(number, 37).number_at<std::uint16_t>(6), 0);
  EXPECT_EQ(put(number, 35, 1, payload_of<std::uint16_t>({0})).header.first, kNormal);
  EXPECT_EQ(read(number, 37).number_at<std::uint16_t>(4), 0);
}

TEST_F(CircuitTest, TheClientSaysItsName) {
  side_.send(message({.command = Command::client_name}, name_payload("operator")));
  side_.send(message({.command = Command::host_name}, name_payload("console1")));
  EXPECT_EQ(side_.circuit().client(), "operator@console1");
}

// --- what no client sends ------------------------------------------------------------------------------------------------------

TEST_F(CircuitTest, UnknownCommands) {
  for (const int command : {5, 7, 11, 13, 14, 16, 17, 22, 24, 25, 26, 27, 28, 1000}) {
    CircuitSide other(directory_);
    EXPECT_THAT(what_of<ProtocolError>([&] { other.send(message({.command = static_cast<Command>(command)})); }), HasSubstr(std::to_string(command)));
  }
}

TEST_F(CircuitTest, MalformedMessages) {
  EXPECT_THAT(refusal(message({.command = Command::create_channel, .first = 1, .second = 13})), HasSubstr("without a name"));
  EXPECT_THAT(refusal(message({.command = Command::read_notify, .type = 6, .count = 1, .first = 12345})), HasSubstr("12345, which never was"));
  EXPECT_THAT(refusal(message({.command = Command::write, .type = 6, .count = 1, .first = 12345})), HasSubstr("12345, which never was"));
  const std::uint32_t number = create("NUMBER");
  EXPECT_THAT(refusal(message({.command = Command::event_add, .type = 6, .count = 1, .first = number, .second = 1})), HasSubstr("without its mask"));
}

TEST_F(CircuitTest, APutWithTooFewBytes) {
  const std::uint32_t part = create("PART");
  EXPECT_THAT(refusal(message({.command = Command::write_notify, .type = 5, .count = 10, .first = part}, payload_of<std::int32_t>({1, 2}))),
              HasSubstr("10 elements in 8 bytes"));
}

TEST_F(CircuitTest, ALengthBeyondAnyMessage) {
  std::string bytes;
  append_header(bytes, {.command = Command::create_channel, .size = 1'000'000, .first = 1});
  EXPECT_THAT(refusal(bytes), HasSubstr("1000000 bytes"));
}

// Nothing of it is kept, however long it says that it is.
TEST_F(CircuitTest, ARefusedPutIsPassedOver) {
  const std::uint32_t number = create("SHORT");
  std::string bytes;
  append_header(bytes, {.command = Command::write_notify, .size = 4'000'000, .type = 6, .count = 500'000, .first = number, .second = 7});
  side_.send(bytes);
  const std::string piece(40'000, 'x');
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(side_.received(), IsEmpty());
    side_.send(piece);
  }
  EXPECT_EQ(side_.received().at(0).header.first, static_cast<std::uint32_t>(Status::bad_count));
  EXPECT_EQ(read(number, 1).number_at<std::int16_t>(0), 5);
}

TEST_F(CircuitTest, ASecondMonitorOfOneNumber) {
  const std::uint32_t number = create("NUMBER");
  monitor(number, 6, kValueEvents, 5);
  EXPECT_THAT(refusal(message({.command = Command::event_add, .type = 6, .count = 1, .first = number, .second = 5}, mask_payload(1))),
              HasSubstr("a second monitor 5"));
}

TEST_F(CircuitTest, TheLastWords) {
  monitor(create("NUMBER"), 6, kValueEvents);
  side_.circuit().refuse("nonsense");
  pv("NUMBER")->set(std::vector<double>{2}, {});
  pv("NUMBER")->tell();
  const auto all = side_.received();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].header.command, Command::error);
  EXPECT_EQ(all[0].text_at(16), "nonsense");
}

}  // namespace
}  // namespace catools::inline v0::internal
