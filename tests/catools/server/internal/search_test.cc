#include "catools/server/internal/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catools/server/internal/updates.h"
#include "mothreads/misuse.h"
#include "tests/catools/server/ca_messages.h"

namespace catools::inline v0::internal {
namespace {

using testing::bytes_of_hex;
using testing::CaMessage;
using testing::hex_of;
using testing::message;
using testing::messages_in;
using testing::name_payload;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<ServedPv> pv(std::string name) {
  return std::make_shared<ServedPv>(
      PvSetup{.name = std::move(name), .initial = std::vector<double>{1}, .properties = std::make_shared<const Properties>()},
      std::make_shared<Updates>());
}

class SearchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_.add(pv("SIM:A"));
    directory_.add(pv("SIM:B"));
  }
  std::string search(std::string_view name, std::uint32_t id) const {
    return message({.command = Command::search, .type = 5, .count = 13, .first = id, .second = id}, name_payload(name));
  }

  Directory directory_;
};

TEST_F(SearchTest, TheBytesOfAnAnswer) {
  const auto replies = answer_search(bytes_of_hex("0000 0000 0001 000d 00000007 00000000"
                                                  "0006 0008 0005 000d 00000021 00000021 53494d3a41000000"),
                                     directory_, 5064);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(hex_of(replies[0]), hex_of(bytes_of_hex("0000 0000 0001 000d 00000007 00000000"
                                                    "0006 0008 13c8 0000 ffffffff 00000021 000d000000000000")));
}

TEST_F(SearchTest, UnknownNamesGetNoAnswer) {
  EXPECT_THAT(answer_search(search("SIM:C", 1), directory_, 1), IsEmpty());
  const auto replies = answer_search(search("SIM:C", 1) + search("SIM:B", 2) + search("SIM", 3), directory_, 1);
  ASSERT_EQ(replies.size(), 1U);
  const auto messages = messages_in(replies[0]);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].header.second, 2U);
}

TEST_F(SearchTest, ManyAnswersAreSeveralDatagrams) {
  std::string datagram;
  for (std::uint32_t i = 0; i < 100; ++i) datagram += search("SIM:A", i);
  const auto replies = answer_search(datagram, directory_, 1);
  EXPECT_GT(replies.size(), 1U);
  std::uint32_t next = 0;
  for (const std::string& reply : replies) {
    EXPECT_LE(reply.size(), 1024U);
    const auto messages = messages_in(reply);
    EXPECT_EQ(messages.front().header.command, Command::version);
    for (std::size_t i = 1; i < messages.size(); ++i) EXPECT_EQ(messages[i].header.second, next++);
  }
  EXPECT_EQ(next, 100U);
}

TEST_F(SearchTest, WhatIsMalformedIsNotRead) {
  EXPECT_THAT(answer_search("", directory_, 1), IsEmpty());
  EXPECT_THAT(answer_search("nonsense, longer than a header", directory_, 1), IsEmpty());
  const std::string whole = search("SIM:A", 1);
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_THAT(answer_search(whole.substr(0, size), directory_, 1), IsEmpty()) << size;
  EXPECT_EQ(answer_search(whole + whole.substr(0, 20), directory_, 1).size(), 1U);
}

TEST_F(SearchTest, NamesOfADirectory) {
  EXPECT_THAT(directory_.names(), ElementsAre("SIM:A", "SIM:B"));
  EXPECT_THROW(directory_.add(pv("SIM:A")), mothreads::Misuse);
  EXPECT_THROW(directory_.add(pv("")), mothreads::Misuse);
  EXPECT_THROW(directory_.add(pv(std::string("a\0b", 3))), mothreads::Misuse);
  EXPECT_NE(directory_.remove("SIM:A"), nullptr);
  EXPECT_EQ(directory_.remove("SIM:A"), nullptr);
  EXPECT_EQ(directory_.find("SIM:A"), nullptr);
}

}  // namespace
}  // namespace catools::inline v0::internal
