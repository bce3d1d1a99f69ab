#include "cooperative/http/server.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/allocations.h"
#include "tests/support/nothing_left.h"
#include "tests/support/sanitized.h"
#include "tests/support/scripted_stream.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Signal;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::ScriptedStream;
using testing::say_hello;
using testing::serve;
using testing::Served;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class HttpServerTest : public mothreads::testing::NothingLeft {};

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

Response echo(Request& request) { return Response::text(200, "<" + request.body().read_all(100'000) + ">"); }

std::string post(std::string_view fields, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}

// --- answers -----------------------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, AnAnswerHasItsHeadAndItsBody) {
  const Served served = serve(kGet);
  EXPECT_THAT(served.output, StartsWith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nDate: "));
  EXPECT_THAT(served.output, EndsWith(" GMT\r\nContent-Length: 7\r\n\r\nhello /"));
  EXPECT_TRUE(served.is_closed);
}

TEST_F(HttpServerTest, TheHandlerSeesTheRequest) {
  serve("POST http://example.org:81/a%20b?x=1&y=%41+z HTTP/1.1\r\nHost: other\r\nX-A: 1\r\nx-a:  2 \r\nEmpty:\r\nContent-Length: 4\r\n\r\nbody",
        [](Request& request) {
          EXPECT_EQ(request.method(), "POST");
          EXPECT_EQ(request.target(), "http://example.org:81/a%20b?x=1&y=%41+z");
          EXPECT_EQ(request.raw_path(), "/a%20b");
          EXPECT_EQ(request.path(), "/a b");
          EXPECT_EQ(request.query(), "x=1&y=%41+z");
          EXPECT_EQ(request.query_value("y"), "A z");
          EXPECT_EQ(request.query_value("z"), std::nullopt);
          EXPECT_EQ(request.host(), "example.org:81");
          EXPECT_EQ(request.minor_version(), 1);
          EXPECT_EQ(request.headers().get("x-A"), "1");
          EXPECT_EQ(request.headers().count("X-A"), 2u);
          EXPECT_EQ(request.headers()[2].value, "2");
          EXPECT_EQ(request.headers().get("empty"), "");
          EXPECT_EQ(request.body().size(), 4u);
          EXPECT_EQ(request.body().read_all(4), "body");
          EXPECT_TRUE(request.body().is_at_end());
          EXPECT_EQ(request.headers().get("x-a"), "1") << "also once the body has come";
          return Response::text(200, "");
        },
        {}, 5);
}

TEST_F(HttpServerTest, HeadGetsTheHeadAlone) {
  const Served served = serve("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + kGet);
  EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
  EXPECT_THAT(served.output, HasSubstr("Content-Length: 7\r\n\r\nHTTP/1.1 200"));
}

TEST_F(HttpServerTest, SomeStatusesHaveNoBody) {
  for (const int status : {204, 304}) {
    const Served served = serve(kGet, [&](Request&) { return Response::text(status, "never seen"); });
    EXPECT_THAT(served.output, EndsWith("\r\n\r\n"));
    EXPECT_THAT(served.output, Not(HasSubstr("Content-Length"))) << status;
  }
}

TEST_F(HttpServerTest, WhatFollowsFromTheBodyIsNotTheHandlersToSay) {
  const Served served = serve(kGet, [](Request&) {
    return Response{.headers = {{"Content-Length", "99"}, {"Transfer-Encoding", "chunked"}, {"X", "y"}}, .body = "abc"};
  });
  EXPECT_THAT(served.output, HasSubstr("X: y\r\n"));
  EXPECT_THAT(served.output, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(served.output, Not(HasSubstr("99")));
  EXPECT_THAT(served.output, Not(HasSubstr("chunked")));
}

TEST_F(HttpServerTest, AnEmptyLineBeforeARequestIsPassedOver) {
  for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
    EXPECT_THAT(serve("\r\n" + kGet + "\r\n" + kGet, say_hello, {}, piece).statuses(), ElementsAre(200, 200));
  }
}

TEST_F(HttpServerTest, EachAnswerIsToldWhenItHasGone) {
  on_virtual_time([](VirtualClock& clock) {
    std::vector<std::string> told;
    ConnectionOptions options;
    options.on_answer = [&](const Request& request, const Answered& answered) {
      told.push_back(std::string(request.method()) + " " + std::string(request.target()) + " " + std::to_string(answered.status) + " " +
                     (answered.is_complete ? "all" : "part") + " " + absl::FormatDuration(answered.took));
      if (answered.status == 404) throw std::runtime_error("the log's disk is full");
    };
    const auto handler = [&](Request& request) {
      clock.advance(absl::Milliseconds(5));
      return request.target() == "/none" ? Response::error(404) : say_hello(request);
    };
    LogLines lines;
    serve("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n" + post("Content-Length: 2\r\n", "xx") + "bad\r\n\r\n", handler,
          options);
    EXPECT_THAT(told, ElementsAre("GET /a 200 all 5ms", "GET /none 404 all 5ms", "POST / 200 all 5ms"));
    EXPECT_THAT(lines.with("the log of requests failed: the log's disk is full"), SizeIs(1));

    told.clear();
    const auto fails = [](Request&) {
      return Response::streamed("a/b", [](BodyWriter&) { throw std::runtime_error("nothing to say"); });
    };
    EXPECT_THAT(serve(kGet, fails, options).statuses(), ElementsAre(500));
    EXPECT_THAT(told, ElementsAre("GET / 500 all 0"));

    told.clear();
    ScriptedStream narrow(kGet);
    narrow.room = 10;
    serve_http_connection(narrow, handler, options);
    EXPECT_THAT(told, ElementsAre("GET / 200 part 5ms"));
  });
}

// --- keeping the connection ----------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInTheirOrder) {
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += (i % 3 == 0 ? "POST" : "GET") + std::string(" /") + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n" +
                                           (i % 3 == 0 ? "Content-Length: 5\r\n\r\n12345" : "\r\n");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
    const Served served = serve(requests, say_hello, {}, piece);
    EXPECT_THAT(served.requests, SizeIs(50));
    EXPECT_EQ(served.requests[49], "GET /49");
    std::size_t at = 0;
    for (int i = 0; i < 50; ++i) {
      at = served.output.find("\r\n\r\nhello /" + std::to_string(i) + (i < 49 ? "HTTP/1.1" : ""), at);
      ASSERT_NE(at, std::string::npos) << i;
    }
  }
}

struct Keeping {
  std::string request;
  bool is_kept;
  std::string says = "";
};

TEST_F(HttpServerTest, WhatKeepsAConnection) {
  const Keeping table[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, "Connection: close\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false, "Connection: close\r\n"},
      {"GET / HTTP/1.0\r\n\r\n", false, "Connection: close\r\n"},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, "Connection: keep-alive\r\n"},
  };
  for (const auto& [request, is_kept, says] : table) {
    const Served served = serve(request + kGet);
    EXPECT_THAT(served.statuses(), SizeIs(is_kept ? 2 : 1)) << request;
    if (!says.empty()) {
      EXPECT_THAT(served.output, HasSubstr(says)) << request;
    } else {
      EXPECT_THAT(served.output, Not(HasSubstr("Connection:"))) << request;
    }
  }
}

TEST_F(HttpServerTest, AHandlerMayEndTheConnection) {
  const Served served = serve(kGet + kGet, [](Request&) {
    Response response = Response::text(200, "last");
    response.headers.add("Connection", "close");
    return response;
  });
  EXPECT_THAT(served.statuses(), ElementsAre(200));
  EXPECT_THAT(served.output, HasSubstr("\r\nConnection: close\r\n"));
}

TEST_F(HttpServerTest, SoManyRequestsAndNoMore) {
  const Served served = serve(kGet + kGet + kGet, say_hello, {.max_requests = 2});
  EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
  EXPECT_THAT(served.output, HasSubstr("Connection: close"));
}

TEST_F(HttpServerTest, ASmallAnswerCostsOneReadAndOneWriteAndFewAllocations) {
  const std::string body(1024, 'x');
  ScriptedStream stream("", std::string::npos);
  int rounds = 0;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  stream.when_empty = [&](ScriptedStream& empty) {
    empty.take_output();
    (rounds == 10 ? before : after) = mothreads::testing::allocations_here();
    if (++rounds <= 20) empty.send(kGet);
  };
  serve_http_connection(stream, [&](Request&) { return Response::text(200, body); });
  EXPECT_EQ(stream.writes(), 20u);
  EXPECT_EQ(stream.reads(), 21u);
  if (!mothreads::testing::kSanitized) {
    EXPECT_LE(after - before, 10u * 8);
  }
}

// --- bodies ------------------------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, BodiesOfAllKindsComeWhole) {
  const std::string long_body(70'000, 'b');
  const std::pair<std::string, std::string> table[] = {
      {post("Content-Length: 0\r\n", ""), "<>"},
      {post("", ""), "<>"},
      {post("Content-Length: 3\r\n", "abc"), "<abc>"},
      {post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), "<abc>"},
      {post("transfer-encoding: Chunked\r\n", "3;x=y;z=\"q\"\r\nabc\r\n000A\r\n0123456789\r\n00\r\nTrailer: x\r\n\r\n"), "<abc0123456789>"},
      {post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "<>"},
      {post("Content-Length: 70000\r\n", long_body), "<" + long_body + ">"},
      {post("Transfer-Encoding: chunked\r\n", "11170\r\n" + long_body + "\r\n0\r\n\r\n"), "<" + long_body + ">"},
  };
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{1000}, std::string::npos}) {
    for (const auto& [request, answer] : table) {
      const Served served = serve(request + kGet, echo, {}, piece);
      EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
      EXPECT_THAT(served.output, HasSubstr("\r\n\r\n" + answer));
    }
  }
}

TEST_F(HttpServerTest, ABodyMayBeReadPieceByPiece) {
  const auto by_pieces = [](Request& request) {
    std::string all;
    std::byte room[4];
    while (const Received got = request.body().read_some(room)) {
      all.append(reinterpret_cast<const char*>(room), got.size()).push_back('|');
    }
    return Response::text(200, all);
  };
  EXPECT_THAT(serve(post("Content-Length: 6\r\n", "abcdef"), by_pieces).output, EndsWith("\r\n\r\nabcd|ef|"));
  EXPECT_THAT(serve(post("Transfer-Encoding: chunked\r\n", "6\r\nabcdef\r\n0\r\n\r\n"), by_pieces).output, EndsWith("\r\n\r\nabcd|ef|"));
}

TEST_F(HttpServerTest, WhatAHandlerLeavesOfABodyIsDropped) {
  for (const std::string& request : {post("Content-Length: 5\r\n", "GET /"), post("Transfer-Encoding: chunked\r\n", "5\r\nGET /\r\n0\r\n\r\n")}) {
    EXPECT_THAT(serve(request + kGet, say_hello, {}, 3).requests, ElementsAre("POST /", "GET /"));
  }
}

TEST_F(HttpServerTest, TooMuchOfALeftBodyEndsTheConnection) {
  const std::string body(64 * 1024 + 1, 'x');
  const Served served = serve(post("Content-Length: 65537\r\n", body) + kGet);
  EXPECT_THAT(served.requests, ElementsAre("POST /"));
  EXPECT_THAT(served.output, HasSubstr("Connection: close"));
  const Served fits = serve(post("Content-Length: 65536\r\n", body.substr(1)) + kGet);
  EXPECT_THAT(fits.requests, ElementsAre("POST /", "GET /"));
}

TEST_F(HttpServerTest, ContinueIsSaidWhenTheBodyIsWanted) {
  ScriptedStream stream(post("Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  stream.when_empty = [](ScriptedStream& empty) {
    EXPECT_EQ(empty.output(), "HTTP/1.1 100 Continue\r\n\r\n");
    empty.send("abc");
    empty.when_empty = nullptr;
  };
  serve_http_connection(stream, echo);
  EXPECT_THAT(stream.output(), StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(stream.output(), EndsWith("<abc>"));
}

TEST_F(HttpServerTest, ContinueIsNotSaidWhenTheBodyIsThereOrUnwanted) {
  EXPECT_THAT(serve(post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"), echo).statuses(), ElementsAre(200));
  // Whether the client sends the body now nobody knows.
  const Served unwanted = serve(post("Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  EXPECT_THAT(unwanted.statuses(), ElementsAre(200));
  EXPECT_THAT(unwanted.output, HasSubstr("Connection: close"));
  // A client of HTTP/1.0 does not know it.
  EXPECT_THAT(serve("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", echo, {}, 1).statuses(), ElementsAre(200));
}

// --- answers piece by piece ------------------------------------------------------------------------------------------------------

Response in_pieces(Request&) {
  return Response::streamed("text/plain", [](BodyWriter& out) {
    out.write("abc");
    out.write("");
    out.write(std::string(20, 'd'));
  });
}

TEST_F(HttpServerTest, PiecesGoInChunks) {
  const Served served = serve(kGet + kGet, in_pieces);
  EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
  EXPECT_THAT(served.output, HasSubstr("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n14\r\ndddddddddddddddddddd\r\n0\r\n\r\nHTTP/1.1 200"));
}

TEST_F(HttpServerTest, PiecesForAnOldClientGoToTheEnd) {
  const Served served = serve("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + kGet, in_pieces);
  EXPECT_THAT(served.statuses(), ElementsAre(200));
  EXPECT_THAT(served.output, HasSubstr("Connection: close\r\n\r\nabcdddddddddddddddddddd"));
  EXPECT_THAT(served.output, Not(HasSubstr("chunked")));
}

TEST_F(HttpServerTest, PiecesOfAKnownSizeNeedNoChunks) {
  const auto sized = [](std::string text, std::uint64_t size) {
    return [text, size](Request&) {
      return Response{.body = Streamed{[text](BodyWriter& out) { out.write(text); }, size}};
    };
  };
  EXPECT_THAT(serve(kGet + kGet, sized("abc", 3)).output, HasSubstr("Content-Length: 3\r\n\r\nabcHTTP/1.1 200"));
  LogLines log;
  // Nothing of it had gone.
  EXPECT_THAT(serve(kGet, sized("abcd", 3)).statuses(), ElementsAre(500));
  // Some had: the client sees that there is less than was announced.
  const Served less = serve(kGet + kGet, sized("ab", 3));
  EXPECT_THAT(less.output, EndsWith("Content-Length: 3\r\n\r\nab"));
  EXPECT_TRUE(less.is_closed);
  EXPECT_THAT(log.with("a request got no answer: a response wrote 2 of the 3 bytes it announced"), SizeIs(1));
}

TEST_F(HttpServerTest, HeadOfPiecesDoesNotMakeThem) {
  const Served served = serve("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + kGet, [](Request& request) {
    return request.method() == "HEAD" ? Response::streamed("a/b", [](BodyWriter&) { FAIL(); }) : in_pieces(request);
  });
  EXPECT_THAT(served.statuses(), ElementsAre(200, 200));
  EXPECT_THAT(served.output, HasSubstr("Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 200"));
}

TEST_F(HttpServerTest, AFailureWithinPiecesIsSeenByTheClient) {
  LogLines log;
  const Served served = serve(kGet + kGet, [](Request&) {
    return Response::streamed("a/b", [](BodyWriter& out) {
      out.write("abc");
      throw std::runtime_error("no more tea");
    });
  });
  EXPECT_THAT(served.output, EndsWith("3\r\nabc\r\n"));
  EXPECT_TRUE(served.is_closed);
  EXPECT_THAT(log.with("no more tea"), SizeIs(1));
}

// --- failures of handlers --------------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, AFailureOfAHandlerIs500AndStaysHere) {
  LogLines log;
  const Served served = serve(kGet + kGet, [](Request&) -> Response { throw std::runtime_error("the secret of the house"); });
  EXPECT_THAT(served.statuses(), ElementsAre(500, 500));
  EXPECT_THAT(served.output, Not(HasSubstr("secret")));
  EXPECT_THAT(log.with("the handler of GET / failed: the secret of the house"), SizeIs(2));
}

TEST_F(HttpServerTest, AHandlersHttpErrorIsItsStatus) {
  const Served served = serve(kGet + kGet, [](Request&) -> Response { throw Error(404, "the secret of the house"); });
  EXPECT_THAT(served.statuses(), ElementsAre(404, 404));
  EXPECT_THAT(served.output, Not(HasSubstr("secret")));
  EXPECT_THAT(served.output, HasSubstr("404 Not Found\n"));
}

TEST_F(HttpServerTest, AFieldOfAnAnswerCannotBecomeTwo) {
  LogLines log;
  const Served served = serve(kGet, [](Request&) {
    Response response = Response::text(200, "");
    response.headers.add("X", "a\r\nSet-Cookie: b");
    return response;
  });
  EXPECT_THAT(served.statuses(), ElementsAre(500));
  EXPECT_THAT(served.output, Not(HasSubstr("Cookie")));
}

// --- limits ------------------------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, AHeadHasALimit) {
  const ConnectionOptions options{.max_head = 200};
  const auto of_size = [](std::size_t size) {
    const std::string frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(size - frame.size(), 'x') + "\r\n\r\n";
  };
  for (const std::size_t piece : {std::size_t{1}, std::size_t{64}, std::string::npos}) {
    EXPECT_THAT(serve(of_size(200) + of_size(200), say_hello, options, piece).statuses(), ElementsAre(200, 200));
    EXPECT_THAT(serve(of_size(201) + of_size(200), say_hello, options, piece).statuses(), ElementsAre(431));
  }
}

TEST_F(HttpServerTest, ATargetHasALimit) {
  const ConnectionOptions options{.max_head = 200, .max_target = 50};
  const auto of_size = [](std::size_t size) { return "GET /" + std::string(size - 1, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  EXPECT_THAT(serve(of_size(50), say_hello, options).statuses(), ElementsAre(200));
  EXPECT_THAT(serve(of_size(51), say_hello, options).statuses(), ElementsAre(414));
  EXPECT_THAT(serve(of_size(250), say_hello, options).statuses(), ElementsAre(414));
}

TEST_F(HttpServerTest, ABodyHasALimit) {
  const ConnectionOptions options{.max_body = 10};
  for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
    EXPECT_THAT(serve(post("Content-Length: 10\r\n", "0123456789") + kGet, echo, options, piece).statuses(), ElementsAre(200, 200));
    const Served announced = serve(post("Content-Length: 11\r\n", "0123456789a") + kGet, echo, options, piece);
    EXPECT_THAT(announced.statuses(), ElementsAre(413));
    EXPECT_THAT(announced.requests, IsEmpty());
    EXPECT_THAT(serve(post("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n0\r\n\r\n") + kGet, echo, options, piece).statuses(),
                ElementsAre(200, 200));
    const Served in_chunks = serve(post("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n") + kGet, echo, options, piece);
    EXPECT_THAT(in_chunks.statuses(), ElementsAre(413));
    EXPECT_THAT(in_chunks.requests, ElementsAre("POST /"));
  }
}

TEST_F(HttpServerTest, AHandlersOwnLimitOfABody) {
  const auto reads_three = [](Request& request) { return Response::text(200, request.body().read_all(3)); };
  EXPECT_THAT(serve(post("Content-Length: 3\r\n", "abc"), reads_three).statuses(), ElementsAre(200));
  EXPECT_THAT(serve(post("Content-Length: 4\r\n", "abcd"), reads_three).statuses(), ElementsAre(413));
  EXPECT_THAT(serve(post("Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n0\r\n\r\n"), reads_three).statuses(), ElementsAre(413));
}

// --- time --------------------------------------------------------------------------------------------------------------------

// Serves one end of a pair in a fiber; `client` has the other, on a virtual clock.
template <typename F>
void with_server(const ConnectionOptions& options, const Handler& handler, F&& client) {
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable { serve_http_connection(socket, handler, options); });
    client(here, clock);
    here.close();
    server.join();
  });
}

// Lets the time pass once nothing else can happen.
void pass(VirtualClock& clock, absl::Duration time) {
  yield_until_idle();
  clock.advance(time);
  yield_until_idle();
}

TEST_F(HttpServerTest, AnIdleClientIsLetGoWithoutAWord) {
  LogLines log;
  with_server({.idle_limit = absl::Seconds(5)}, say_hello, [](Socket& client, VirtualClock& clock) {
    client.write_all(kGet);
    EXPECT_THAT(*client.read_until("hello /"), StartsWith("HTTP/1.1 200"));
    pass(clock, absl::Seconds(5) - absl::Nanoseconds(1));
    client.write_all(kGet);
    EXPECT_THAT(*client.read_until("hello /"), StartsWith("HTTP/1.1 200"));
    pass(clock, absl::Seconds(5));
    EXPECT_EQ(*client.read_all(1000), "");
  });
  EXPECT_THAT(log.with("answer"), IsEmpty());
}

TEST_F(HttpServerTest, AHeadHasItsTime) {
  with_server({.head_limit = absl::Seconds(5)}, say_hello, [](Socket& client, VirtualClock& clock) {
    client.write_all("GET / HT");
    pass(clock, absl::Seconds(3));
    client.write_all("TP/1.1\r\nHost: a\r\n");
    pass(clock, absl::Seconds(2));
    EXPECT_THAT(*client.read_all(1000), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  });
}

TEST_F(HttpServerTest, ABodyHasItsTime) {
  with_server({.body_limit = absl::Seconds(5)}, echo, [](Socket& client, VirtualClock& clock) {
    client.write_all(post("Content-Length: 10\r\n", "abc"));
    pass(clock, absl::Seconds(3));
    client.write_all("d");
    pass(clock, absl::Seconds(2));
    EXPECT_THAT(*client.read_all(1000), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  });
}

TEST_F(HttpServerTest, AHandlersOwnTimeForABodyIsItsOwn) {
  with_server({}, [](Request& request) {
    std::byte room[10];
    EXPECT_TRUE(request.body().read_some(room, absl::Seconds(1)));
    EXPECT_EQ(request.body().read_some(room, absl::Seconds(1)).why(), mothreads::Why::timed_out);
    return Response::text(200, request.body().read_all(10));
  }, [](Socket& client, VirtualClock& clock) {
    client.write_all(post("Content-Length: 4\r\n", "abc"));
    pass(clock, absl::Seconds(1));
    client.write_all("d");
    EXPECT_THAT(*client.read_until("\r\n\r\nd"), StartsWith("HTTP/1.1 200"));
  });
}

TEST_F(HttpServerTest, AClientThatDoesNotReadIsLetGo) {
  LogLines log;
  const std::string big(8 * 1024 * 1024, 'x');
  with_server({.write_limit = absl::Seconds(5)}, [&](Request&) { return Response::text(200, big); },
              [](Socket& client, VirtualClock& clock) {
                client.write_all(kGet);
                pass(clock, absl::Seconds(5));
                EXPECT_LT(client.read_all(10 * 1024 * 1024)->size(), 8u * 1024 * 1024);
              });
  EXPECT_THAT(log.with("the client did not take its answer in time: "), SizeIs(1));
  EXPECT_EQ(log.with("the client did not take").at(0).level, mothreads::log::Level::info);
}

// --- ends --------------------------------------------------------------------------------------------------------------------

TEST_F(HttpServerTest, ARequestThatEndsEarlyIsLogged) {
  const std::pair<std::string, std::string> table[] = {
      {"GET / HT", "the connection ended within the head of its request"},
      {"GET / HTTP/1.1\r\nHost: a\r\n", "the connection ended within the head of its request"},
      {post("Content-Length: 4\r\n", "abc"), "ended 1 bytes before the end of a body"},
      {post("Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n"), "ended before the last chunk of a body"},
  };
  for (const auto& [request, reason] : table) {
    LogLines log;
    EXPECT_THAT(serve(request, echo).statuses(), IsEmpty());
    EXPECT_THAT(log.with("memory: the client left before it had its answer: "), SizeIs(1)) << request;
    EXPECT_THAT(log.with(reason), SizeIs(1)) << request;
  }
  LogLines log;
  EXPECT_THAT(serve("").output, "");
  EXPECT_THAT(serve(kGet).statuses(), ElementsAre(200));
  EXPECT_THAT(log.with("no answer"), IsEmpty());
}

TEST_F(HttpServerTest, AnAnswerThatNobodyTakesIsLogged) {
  LogLines log;
  ScriptedStream stream(kGet);
  stream.room = 20;
  serve_http_connection(stream, say_hello);
  EXPECT_THAT(log.with("memory: the client left before it had its answer: "), SizeIs(1));
  EXPECT_FALSE(stream.is_open());
}

TEST_F(HttpServerTest, WhatCameBeforeADrainIsAnsweredOnce) {
  Signal drain("drain");
  drain.go();
  const ConnectionOptions options{.draining = drain};
  const Served one = serve(kGet, say_hello, options);
  EXPECT_THAT(one.statuses(), ElementsAre(200));
  EXPECT_THAT(one.output, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(serve("", say_hello, options).output, IsEmpty());
  LogLines lines;
  EXPECT_THAT(serve(kGet + kGet, say_hello, options).statuses(), ElementsAre(200));
  EXPECT_THAT(lines.with("requests behind the last response got no answer: the server stops"), SizeIs(1));
}

TEST_F(HttpServerTest, DrainingEndsIdleConnectionsAndLetsTheResponseUnderWayGo) {
  const Signal drain;
  const Signal go_on;
  with_server({.draining = drain}, [&](Request&) {
    go_on.wait();
    return Response::text(200, "done");
  }, [&](Socket& client, VirtualClock&) {
    client.write_all(kGet + kGet);
    yield_until_idle();
    drain.go();
    go_on.go();
    const std::string answer = *client.read_until("done");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
    client.shut_down_writing();
    EXPECT_EQ(*client.read_all(1000), "") << "the second request came too late";
  });
  const Signal idle;
  with_server({.draining = idle}, say_hello, [&](Socket& client, VirtualClock&) {
    client.write_all(kGet);
    EXPECT_THAT(*client.read_until("hello /"), StartsWith("HTTP/1.1 200"));
    yield_until_idle();
    idle.go();
    EXPECT_EQ(*client.read_all(1000), "");
  });
}

TEST_F(HttpServerTest, ACancelledServerUnwinds) {
  LogLines log;
  on_virtual_time([](VirtualClock&) {
    auto [here, there] = Socket::pair();
    {
      auto server = spawn("server", [socket = std::move(there)]() mutable {
        serve_http_connection(socket, [](Request&) -> Response {
          Signal().wait();
          return {};
        });
      });
      here.write_all(kGet);
      yield_until_idle();
    }
    EXPECT_EQ(*here.read_all(1000), "");
  });
  EXPECT_THAT(log.with("a request got no answer: its fiber was cancelled"), SizeIs(1));
}

TEST_F(HttpServerTest, AClientStillReadsARefusalThatCameBeforeItHadSentAll) {
  // Over TCP, bytes that nobody has read would reset the connection at its close.
  on_virtual_time([](VirtualClock&) {
    Socket listener = Socket::tcp();
    listener.bind(Address::loopback(0));
    listener.listen();
    auto server = spawn("server", [&] {
      Socket socket = listener.accept();
      serve_http_connection(socket, echo, {.max_body = 10});
    });
    Socket client = Socket::tcp();
    client.connect(listener.local_address());
    client.write_all(post("Content-Length: 100000\r\n", std::string(100'000, 'x')));
    client.shut_down_writing();
    EXPECT_THAT(*client.read_all(1000), StartsWith("HTTP/1.1 413 "));
    server.join();
  });
}

TEST_F(HttpServerTest, AnotherProtocolTakesOver) {
  ScriptedStream stream("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst\nsecond\n");
  serve_http_connection(stream, [](Request&) {
    return Response{.status = 101,
                        .headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}},
                        .body = Upgrade{[](Stream& raw) {
                          while (auto line = raw.read_line()) raw.write_all("<" + *line + ">");
                        }}};
  });
  EXPECT_THAT(stream.output(), StartsWith("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"));
  EXPECT_THAT(stream.output(), EndsWith("\r\n\r\n<first><second>"));
  EXPECT_FALSE(stream.is_open());
}

}  // namespace
}  // namespace cooperative::http
