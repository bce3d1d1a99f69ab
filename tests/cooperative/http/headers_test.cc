#include "cooperative/http/headers.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/misuse.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::testing::what_of;
using ::testing::HasSubstr;

TEST(HttpHeadersTest, NamesAreTheSameInAnyCase) {
  Headers headers{{"Content-Type", "a/b"}, {"X", "1"}, {"x", "2"}};
  EXPECT_EQ(headers.get("content-TYPE"), "a/b");
  EXPECT_EQ(headers.get("X"), "1");
  EXPECT_EQ(headers.count("X"), 2u);
  EXPECT_EQ(headers.get("Y"), std::nullopt);
  EXPECT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[2].name, "x");
  EXPECT_EQ(headers[2].value, "2");
}

TEST(HttpHeadersTest, SetLeavesOneAndRemoveNone) {
  Headers headers{{"X", "1"}, {"Y", "y"}, {"x", "2"}};
  headers.set("X", "3");
  EXPECT_EQ(headers.count("x"), 1u);
  EXPECT_EQ(headers.get("x"), "3");
  headers.remove("X");
  EXPECT_EQ(headers.count("x"), 0u);
  EXPECT_EQ(headers.get("y"), "y");
  headers.clear();
  EXPECT_TRUE(headers.empty());
}

TEST(HttpHeadersTest, TokensOfLists) {
  const Headers headers{{"Connection", "keep-alive, Upgrade"}, {"connection", " x\t,,y "}};
  EXPECT_TRUE(headers.has_token("Connection", "upgrade"));
  EXPECT_TRUE(headers.has_token("Connection", "X"));
  EXPECT_TRUE(headers.has_token("Connection", "y"));
  EXPECT_FALSE(headers.has_token("Connection", "keep"));
  EXPECT_FALSE(headers.has_token("Other", "x"));
}

TEST(HttpHeadersTest, CopiesAndMovesHaveTheirOwnText) {
  Headers copy;
  {
    Headers headers;
    for (int i = 0; i < 30; ++i) headers.add("Name-" + std::to_string(i), std::string(static_cast<std::size_t>(i), 'v'));
    copy = headers;
    headers.set("Name-7", "other");
    const Headers moved = std::move(headers);
    EXPECT_EQ(moved.get("name-7"), "other");
    EXPECT_EQ(moved.get("name-29"), std::string(29, 'v'));
  }
  EXPECT_EQ(copy.get("name-7"), "vvvvvvv");
  EXPECT_EQ(copy.size(), 30u);
}

TEST(HttpHeadersTest, WhatWouldBecomeAnotherFieldIsRefused) {
  Headers headers;
  for (const char* const name : {"", "a b", "a:", "a\r\n", "\xC3\xA4"}) {
    EXPECT_THAT(what_of<Misuse>([&] { headers.add(name, "x"); }), HasSubstr("a header field needs a name")) << name;
  }
  for (const std::string& value : std::vector<std::string>{"a\r\nb", "a\n", "\r", std::string("a\0", 2), std::string("\x7f")}) {
    EXPECT_THAT(what_of<Misuse>([&] { headers.add("X", value); }), HasSubstr("has a control character"));
    EXPECT_THAT(what_of<Misuse>([&] { headers.set("X", value); }), HasSubstr("has a control character"));
  }
  EXPECT_TRUE(headers.empty());
  headers.add("X", "tabs\tand \xC3\xA4 are fine");
  EXPECT_EQ(headers.size(), 1u);
}

}  // namespace
}  // namespace cooperative::http
