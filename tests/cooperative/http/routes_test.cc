#include "cooperative/http/routes.h"

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/misuse.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::testing::what_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// Says which pattern it was, and what stands for "x" and "y".
Handler says(std::string pattern) {
  return [pattern = std::make_unique<std::string>(std::move(pattern))](Request& request) {
    std::string text = *pattern;
    for (const char* const name : {"x", "y"}) {
      if (pattern->find(std::string("{") + name) != std::string::npos) text.append(" ").append(name).append("=").append(request.parameter(name));
    }
    return Response::text(200, text);
  };
}

// What is said of a path, or the status.
std::string ask(const Routes& routes, std::string_view path, std::string_view method = "GET") {
  Request request = Request::make(method, path);
  Response response = routes.handle(request);
  return response.status == 200 ? take_body(response, request) : std::to_string(response.status);
}

Routes of(std::initializer_list<std::string> patterns) {
  Routes routes;
  for (const std::string& pattern : patterns) routes.get(pattern, says(pattern));
  return routes;
}

TEST(HttpRoutesTest, AComponentOrAllThatIsLeft) {
  const Routes routes = of({"/", "/jobs", "/jobs/{x}", "/jobs/{x}/lines/{y}", "/files/{x...}", "/end/"});
  const std::pair<std::string, std::string> table[] = {
      {"/", "/"},
      {"/jobs", "/jobs"},
      {"/jobs?id=1", "/jobs"},
      {"/jobs/", "404"},
      {"/jobs/17", "/jobs/{x} x=17"},
      {"/jobs/17/", "404"},
      {"/jobs/17/lines", "404"},
      {"/jobs/a%20b/lines/%41%C3%A4", "/jobs/{x}/lines/{y} x=a b y=A\xc3\xa4"},
      {"/jobs/a%2Fb", "/jobs/{x} x=a/b"},
      {"/files", "404"},
      {"/files/", "/files/{x...} x="},
      {"/files/a", "/files/{x...} x=a"},
      {"/files/a/b%20c/", "/files/{x...} x=a/b c/"},
      {"/end/", "/end/"},
      {"/end", "404"},
      {"/Jobs", "404"},
      {"/none", "404"},
      {"//jobs///17", "/jobs/{x} x=17"},
      {"/%6aobs", "/jobs"},
  };
  for (const auto& [path, answer] : table) EXPECT_EQ(ask(routes, path), answer) << path;
}

TEST(HttpRoutesTest, TheMoreParticularPatternGoesFirst) {
  const Routes routes = of({"/{x...}", "/{x}", "/{x}/b", "/a/{y}", "/a/{y}/c", "/a/b", "/{x}/b/{y}"});
  const std::pair<std::string, std::string> table[] = {
      {"/", "/{x...} x="},          {"/z", "/{x} x=z"},      {"/a/b", "/a/b"},        {"/z/b", "/{x}/b x=z"},           {"/a/z", "/a/{y} y=z"},
      {"/a/z/c", "/a/{y}/c y=z"}, {"/a/b/c", "/a/{y}/c y=b"}, {"/a/b/d", "/{x}/b/{y} x=a y=d"}, {"/a/z/d", "/{x...} x=a/z/d"}, {"/a", "/{x} x=a"},
  };
  for (const auto& [path, answer] : table) EXPECT_EQ(ask(routes, path), answer) << path;
}

// Else the handler of one pattern could be led to what another guards.
TEST(HttpRoutesTest, PathsThatLeadElsewhereAreRefused) {
  const Routes routes = of({"/admin/{x...}", "/{x...}", "/one/{y}"});
  for (const char* const path : {"/a/../admin/x", "/a/%2e%2E/admin", "/./admin", "/..", "/one/%2e%2e", "/one/.", "/a%2fb", "/x/..%2fadmin"}) {
    EXPECT_EQ(ask(routes, path), "400") << path;
  }
  EXPECT_EQ(ask(routes, "//admin/x"), "/admin/{x...} x=x");
  EXPECT_EQ(ask(routes, "/%61dmin/x"), "/admin/{x...} x=x");
  EXPECT_EQ(ask(routes, "/...") , "/{x...} x=...");
}

TEST(HttpRoutesTest, MethodsThatThePathDoesNotHave) {
  Routes routes;
  routes.get("/a", says("get")).post("/a", says("post")).del("/a/{x}", says("delete {x}")).add("QUERY", "/a/b", says("query"));
  EXPECT_EQ(ask(routes, "/a", "POST"), "post");
  EXPECT_EQ(ask(routes, "/a", "HEAD"), "get") << "HEAD has the handler of GET";
  EXPECT_EQ(ask(routes, "/a/b", "QUERY"), "query");
  EXPECT_EQ(ask(routes, "/a/b", "DELETE"), "delete {x} x=b") << "a pattern that does not have the method lets the next one try";
  EXPECT_EQ(ask(routes, "/none", "DELETE"), "404");
  const Response refused = routes.handle(Request::make("PUT", "/a"));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("Allow"), "GET, HEAD, POST");
  EXPECT_EQ(routes.handle(Request::make("GET", "/a/b")).headers.get("Allow"), "DELETE, QUERY");
  EXPECT_EQ(ask(routes, "*", "OPTIONS"), "404");
}

TEST(HttpRoutesTest, WhatIsNoRouteIsMisuse) {
  Routes routes = of({"/a/{x}", "/b/{x...}", "/c"});
  const std::pair<std::string, std::string> table[] = {
      {"a", "begin the pattern"},      {"", "begin the pattern"},        {"/a//b", "is empty"},          {"/{}", "name is missing"},
      {"/{...}", "name is missing"},   {"/a{x}", "whole component"},     {"/{x}a", "whole component"},   {"/{x", "whole component"},
      {"/{x}/{x}", "twice"},           {"/{x...}/b", "nothing can"},     {"/{x...}/", "nothing can"},    {"/a/../b", "\"..\""},
      {"/a?b", "without a query"},     {"/a%20b", "when it is decoded"}, {"/a/{other}", "/a/{x} fits"},  {"/b/{other...}", "/b/{x...} fits"},
      {"/c", "/c fits"},               {"/{{x}}", "name is missing"},
  };
  for (const auto& [wrong, why] : table) {
    const std::string& pattern = wrong;
    EXPECT_THAT(what_of<Misuse>([&] { routes.get(pattern, says("")); }), HasSubstr(why)) << pattern;
  }
  EXPECT_THAT(what_of<Misuse>([&] { routes.add("G T", "/x", says("")); }), HasSubstr("its method is none"));
  EXPECT_THAT(what_of<Misuse>([&] { routes.get("/x", nullptr); }), HasSubstr("no handler"));
  EXPECT_EQ(ask(routes, "/c"), "/c") << "what was refused has changed nothing";
}

TEST(HttpRoutesTest, AParameterThatThePatternDoesNotHaveIsMisuse) {
  Routes routes;
  routes.get("/{id}", [](Request& request) { return Response::text(200, std::string(request.parameter("name"))); });
  EXPECT_THAT(what_of<Misuse>([&] { routes.handle(Request::make("GET", "/17")); }), HasSubstr("has no {name}"));
}

// A connection's requests are one object.
TEST(HttpRoutesTest, ParametersAreOfOneRequest) {
  Routes routes;
  routes.get("/jobs/{x}", says("{x}"));
  const Handler handler = [&](Request& request) {
    if (request.raw_path() != "/own") return routes.handle(request);
    EXPECT_THROW(request.parameter("x"), Misuse);
    return Response::text(200, "own");
  };
  const std::string rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_THAT(testing::serve("GET /jobs/7" + rest + "GET /own" + rest, handler).output, EndsWith("own"));
  EXPECT_THAT(testing::serve("GET /jobs/7" + rest + "GET /none" + rest, handler).statuses(), ::testing::ElementsAre(200, 404));
}

TEST(HttpRoutesTest, WhatWasMovedFromIsMisuse) {
  Routes routes = of({"/"});
  const Routes others = std::move(routes);
  EXPECT_EQ(ask(others, "/"), "/");
  EXPECT_THROW(ask(routes, "/"), Misuse);              // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(routes.get("/a", says("")), Misuse);  // NOLINT(bugprone-use-after-move)
}

TEST(HttpRoutesTest, AreAHandler) {
  Routes routes;
  routes.get("/a/{x}", says("{x}"));
  const Handler handler = std::move(routes);
  EXPECT_THAT(testing::serve("GET /a/b HTTP/1.1\r\nHost: a\r\n\r\n", handler).output, EndsWith("{x} x=b"));
  EXPECT_THAT(testing::serve("GET /b HTTP/1.1\r\nHost: a\r\n\r\n", handler).output, HasSubstr("404"));
  EXPECT_THAT(testing::serve("HEAD /a/b HTTP/1.1\r\nHost: a\r\n\r\n", handler).output, Not(HasSubstr("{x}")));
}

// A node is looked at once at most, however often texts and names fit both.
TEST(HttpRoutesTest, ManyRoutesThatNearlyFit) {
  Routes routes;
  std::string path;
  for (int depth = 0; depth < 12; ++depth) {
    path += "/a";
    for (unsigned which = 0; which < 16; ++which) {
      std::string pattern;
      for (int i = 0; i <= depth; ++i) pattern += i < 4 && (which >> i & 1) != 0 ? "/{p" + std::to_string(i) + "}" : "/a";
      if (depth < 4 && which >> (depth + 1) != 0) continue;
      routes.get(pattern + "/end", says("end"));
    }
  }
  EXPECT_EQ(ask(routes, path + "/end"), "end");
  EXPECT_EQ(ask(routes, path + "/other"), "404");
}

}  // namespace
}  // namespace cooperative::http
