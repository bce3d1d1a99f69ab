#include "cooperative/http/message.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/http/internal/target.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::testing::what_of;
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

TEST(HttpMessageTest, RequestsByHand) {
  Request request = Request::make("POST", "/a%20b?x=1", {.headers = {{"X", "y"}}, .body = "{}"});
  EXPECT_EQ(request.method(), "POST");
  EXPECT_EQ(request.path(), "/a b");
  EXPECT_EQ(request.query_value("x"), "1");
  EXPECT_EQ(request.host(), "localhost");
  EXPECT_EQ(request.headers().get("x"), "y");
  EXPECT_EQ(request.body().size(), 2u);
  EXPECT_EQ(request.body().read_all(2), "{}");
  EXPECT_TRUE(request.body().is_at_end());
  EXPECT_FALSE(request.ended());
  EXPECT_EQ(Request::make("GET", "http://a:80/b").host(), "a:80");
  EXPECT_EQ(Request::make("GET", "/", {.headers = {{"Host", "c"}}}).host(), "c");
  EXPECT_THROW(Request::make("GET", "/", {.body = "longer"}).body().read_all(5), Error);
  for (const char* const target : {"", "a", "/a b", "/%", "/\xc3"}) {
    EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(Request::make("GET", target)); }), HasSubstr("encode its target")) << target;
  }
  EXPECT_THROW(static_cast<void>(Request::make("G T", "/")), Misuse);
}

TEST(HttpMessageTest, AMethodThatIsNotAllowed) {
  Response refused = Response::not_allowed("GET, HEAD");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("Allow"), "GET, HEAD");
  EXPECT_EQ(take_body(refused, Request::make("POST", "/")), "405 Method Not Allowed\n");
}

// The message of an exception ends at a NUL: text of the caller's is shown whole.
TEST(HttpMessageTest, NamesWithANulAreShownWhole) {
  const std::string nul("a\0behind", 8);
  EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(Request::make("GET", nul)); }), HasSubstr("behind\" cannot be"));
  EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(Request::make(nul, "/")); }), HasSubstr("behind /\" cannot be"));
  EXPECT_THAT(what_of<Misuse>([&] { const Headers refused{{nul, "x"}}; }), HasSubstr("behind\" is none"));
}

TEST(HttpMessageTest, BodiesOfResponsesByHand) {
  const Request request = Request::make("GET", "/");
  Response text = Response::json(201, "{}");
  EXPECT_EQ(text.headers.get("Content-Type"), "application/json");
  EXPECT_EQ(take_body(text, request), "{}");
  Response pieces = Response::streamed("a/b", [kept = std::make_unique<int>(7)](BodyWriter& out) {
    out.flush();
    out.write("a");
    out.write(std::to_string(*kept));
    EXPECT_EQ(out.request().method(), "GET");
    EXPECT_FALSE(out.ended());
  });
  EXPECT_EQ(take_body(pieces, request), "a7");
  Response upgrade{.status = 101, .body = Upgrade{[](Stream&) {}}};
  EXPECT_THAT(what_of<Misuse>([&] { take_body(upgrade, request); }), HasSubstr("needs a connection"));
}

}  // namespace
}  // namespace cooperative::http
