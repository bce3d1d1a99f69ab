#include "cooperative/http/json.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cooperative/http/serving.h"

namespace cooperative::inline v0::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

nlohmann::json read(const std::string& body, std::size_t max = 100'000) {
  Request request = Request::make("POST", "/", {.body = body});
  return read_json(request, max);
}

int status_of(const std::string& body, std::size_t max = 100'000) {
  try {
    read(body, max);
    return 200;
  } catch (const Error& error) {
    return error.status();
  }
}

TEST(HttpJsonTest, ABodyIsAValue) {
  EXPECT_EQ(read(R"({"a": [1, 2.5, "x", null, true]})").at("a").size(), 5u);
  EXPECT_EQ(read(" 17 "), 17);
}

TEST(HttpJsonTest, WhatIsNoneIs400) {
  for (const std::string body : {"", "{", "{\"a\":}", "[1,]", "nul", "\"\xff\"", "1 2", "1e999"}) EXPECT_EQ(status_of(body), 400) << body;
  EXPECT_EQ(status_of("[1, 2]", 3), 413);
}

TEST(HttpJsonTest, DepthHasALimit) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(status_of(nested(kMaxJsonDepth)), 200);
  EXPECT_EQ(status_of(nested(kMaxJsonDepth + 2)), 400);
  EXPECT_EQ(status_of(std::string(50'000, '[')), 400);
}

TEST(HttpJsonTest, AResponse) {
  const Handler handler = [](Request& request) { return json_response(201, {{"got", read_json(request, 100).at("x")}}); };
  const auto served = testing::serve("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n{\"x\": 1}", handler);
  EXPECT_THAT(served.output, HasSubstr("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(served.output, EndsWith("\r\n\r\n{\"got\":1}"));
  EXPECT_THAT(testing::serve("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{", handler).output, HasSubstr("HTTP/1.1 400 "));
}

}  // namespace
}  // namespace cooperative::http
