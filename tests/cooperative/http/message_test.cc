#include "cooperative/http/message.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/http/internal/target.h"
#include "tests/cooperative/http/serving.h"

namespace cooperative::http {
namespace {

using ::testing::HasSubstr;

TEST(HttpMessageTest, PercentDecoding) {
  EXPECT_EQ(percent_decode("a%20b%2Fc%c3%A4"), "a b/c\xC3\xA4");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode(""), "");
  for (const char* const bad : {"%", "%4", "a%4", "%zz", "%4z", "%00", "a%00b"}) EXPECT_EQ(percent_decode(bad), std::nullopt) << bad;
}

TEST(HttpMessageTest, PercentEncodingIsTheOpposite) {
  std::string all;
  for (int c = 1; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a b/c", "/"), "a%20b/c");
  EXPECT_EQ(percent_encode("a/\xC3\xA4"), "a%2F%C3%A4");
}

TEST(HttpMessageTest, ValuesOfQueries) {
  testing::serve("GET /?a=1&b=x+y%3d&a=2&c&=e&%64=f HTTP/1.1\r\nHost: a\r\n\r\n", [](Request& request) {
    EXPECT_EQ(request.query_value("a"), "1");
    EXPECT_EQ(request.query_value("b"), "x y=");
    EXPECT_EQ(request.query_value("c"), "");
    EXPECT_EQ(request.query_value(""), "e");
    EXPECT_EQ(request.query_value("d"), "f");
    EXPECT_EQ(request.query_value("x"), std::nullopt);
    return Response{};
  });
}

TEST(HttpMessageTest, ReasonsHaveTheirNames) {
  EXPECT_EQ(reason(200), "OK");
  EXPECT_EQ(reason(404), "Not Found");
  EXPECT_EQ(reason(999), "");
  EXPECT_EQ(reason(0), "");
}

TEST(HttpMessageTest, TargetsOfAllForms) {
  using internal::split_target;
  const auto absolute = split_target("GET", "http://[::1]:80?q");
  EXPECT_TRUE(absolute.is_valid);
  EXPECT_EQ(absolute.authority, "[::1]:80");
  EXPECT_EQ(absolute.path, "/");
  EXPECT_EQ(absolute.query, "q");
  EXPECT_TRUE(split_target("OPTIONS", "*").is_valid);
  EXPECT_TRUE(split_target("CONNECT", "a:443").is_valid);
  EXPECT_FALSE(split_target("CONNECT", "/a").is_valid);
  EXPECT_FALSE(split_target("GET", "").is_valid);
  const auto origin = split_target("GET", "/a?b?c");
  EXPECT_EQ(origin.path, "/a");
  EXPECT_EQ(origin.query, "b?c");
}

}  // namespace
}  // namespace cooperative::http
