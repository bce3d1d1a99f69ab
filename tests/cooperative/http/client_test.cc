#include "cooperative/http/client.h"

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/server.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scripted_stream.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::ScriptedStream;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

class HttpClientTest : public mothreads::testing::NothingLeft {};

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST_F(HttpClientTest, ARequestAndItsResponse) {
  ScriptedStream stream("HTTP/1.1 404 Nothing Here\r\nX: 1\r\nx: 2\r\nContent-Length: 4\r\n\r\nbody", 1, ScriptedStream::Then::silence);
  Client client(stream, "example.org:81");
  const Reply reply = client.request({.method = "POST", .target = "/a?b", .headers = {{"X", "y"}, {"Content-Length", "99"}}, .body = "ask"});
  EXPECT_EQ(stream.output(), "POST /a?b HTTP/1.1\r\nHost: example.org:81\r\nX: y\r\nContent-Length: 3\r\n\r\nask");
  EXPECT_EQ(stream.writes(), 1u);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.reason, "Nothing Here");
  EXPECT_EQ(reply.minor_version, 1);
  EXPECT_EQ(reply.headers.get("x"), "1");
  EXPECT_EQ(reply.headers.count("X"), 2u);
  EXPECT_EQ(reply.body, "body");
  EXPECT_TRUE(client.is_reusable());
}

struct Reuse {
  std::string response;
  std::string body;
  bool is_reusable;
};

TEST_F(HttpClientTest, WhatTheConnectionIsGoodForAfterwards) {
  const Reuse table[] = {
      {kOk, "ok", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", true},
      {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
      {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"HTTP/1.0 200\r\n\r\nto the end", "to the end", false},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", true},
      {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
      {"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "", true},
      {"HTTP/1.1 999 Beyond All\r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"HTTP/1.1 200 Tr\xC3\xA8s bien\r\ncontent-LENGTH:  2 \r\n\r\nok", "ok", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n02;a=b\r\nok\r\n000\r\nX: y\r\n\r\n", "ok", true},
      {"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: CLOSE\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.1 200 OK\r\nConnection: closed\r\nContent-Length: 2\r\n\r\nok", "ok", true},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nto the end", "to the end", false},
      {"HTTP/1.1 102 Processing\r\nContent-Length: 9\r\n\r\nHTTP/1.1 199 Any\r\n\r\n" + kOk, "ok", true},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + kOk, "ok", true},
  };
  for (const auto& [response, body, is_reusable] : table) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      ScriptedStream stream(response, piece, response.ends_with("to the end") ? ScriptedStream::Then::end : ScriptedStream::Then::silence);
      Client client(stream, "a");
      EXPECT_EQ(client.request({}).body, body) << response;
      EXPECT_EQ(client.is_reusable(), is_reusable) << response;
      EXPECT_EQ(stream.unread(), 0u);
      if (!is_reusable) {
        EXPECT_THAT(what_of<Misuse>([&] { client.request({}); }), HasSubstr("cannot take another request"));
      }
    }
  }
}

TEST_F(HttpClientTest, TheResponseToHeadHasNoBody) {
  ScriptedStream stream("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", std::string::npos, ScriptedStream::Then::silence);
  Client client(stream, "a");
  EXPECT_EQ(client.request({.method = "HEAD"}).headers.get("Content-Length"), "5");
  EXPECT_TRUE(client.is_reusable());
  stream.when_empty = [](ScriptedStream& empty) {
    if (empty.writes() == 2) empty.send(kOk);  // the second request has gone
    if (empty.writes() == 2) empty.when_empty = nullptr;
  };
  EXPECT_EQ(client.request({}).body, "ok");
  for (const std::string& fields : {std::string("Transfer-Encoding: chunked\r\n"), std::string("")}) {
    ScriptedStream other("HTTP/1.1 200 OK\r\n" + fields + "\r\n", 1, ScriptedStream::Then::silence);
    Client its_client(other, "a");
    EXPECT_EQ(its_client.request({.method = "HEAD"}).body, "") << fields;
    EXPECT_TRUE(its_client.is_reusable()) << "without a body, the end is known: " << fields;
  }
}

// RFC 9112, 6.3: what comes unasked is no response to what is asked next.
TEST_F(HttpClientTest, WhatComesBehindAResponseEndsTheConnection) {
  const std::string late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
  for (const std::string& spare : {kOk, late, std::string("x"), std::string("\r\n")}) {
    for (const std::size_t piece : {kOk.size(), std::string::npos}) {
      ScriptedStream stream(kOk + spare, piece, ScriptedStream::Then::silence);
      Client client(stream, "a");
      EXPECT_EQ(client.request({}).body, "ok");
      EXPECT_FALSE(client.is_reusable()) << spare;
      EXPECT_THAT(what_of<CutShort>([&] { client.request({}); }), HasSubstr("something unasked"));
      EXPECT_EQ(stream.writes(), 1u) << "the second request must not go";
      EXPECT_THAT(what_of<Misuse>([&] { client.request({}); }), HasSubstr("cannot take another request"));
    }
  }
}

TEST_F(HttpClientTest, WhatComesWhileItIsIdleEndsTheConnection) {
  on_virtual_time([](VirtualClock&) {
    for (const std::string_view late : {std::string_view("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"), std::string_view(kOk), std::string_view()}) {
      auto [here, there] = Socket::pair();
      Client client(here, "a");
      there.write_all(kOk);
      EXPECT_EQ(client.request({}).body, "ok");
      EXPECT_TRUE(client.is_reusable());
      if (late.empty()) there.close();
      if (!late.empty()) there.write_all(late);
      EXPECT_FALSE(client.is_reusable()) << late;
      EXPECT_THROW(client.request({}), CutShort);
    }
  });
}

TEST_F(HttpClientTest, WhatIsNoResponse) {
  for (const std::string& bad : {
           std::string("HTTP/2.0 200 OK\r\n\r\n"), std::string("HTTP/1.1 20 OK\r\n\r\n"), std::string("HTTP/1.1 2000 OK\r\n\r\n"),
           std::string("200 OK\r\n\r\n"), std::string("HTTP/1.1 099 Low\r\n\r\n"), std::string("HTTP/1.1 000 Low\r\n\r\n"),
           std::string("HTTP/1.1 20\r\n\r\n"), std::string("HTTP/1.1 2000\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"\n\"\r\nok\r\n0\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"\r\nok\r\n0\r\n\r\n"), std::string("HTTP/1.1 200 OK\nX: y\n\n"), std::string("HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"), "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"s,
           std::string("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
           std::string("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
           std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n"), std::string("\r\nHTTP/1.1 200 OK\r\n\r\n"), std::string("HTTP/1.1  200 OK\r\n\r\n"),
           std::string("HTTP/1.1\t200 OK\r\n\r\n"), std::string("HTTP/1.1 200OK\r\n\r\n"), std::string("HTTP/1.1 2OO OK\r\n\r\n"),
           std::string("HTTP/1.1 -20 OK\r\n\r\n"), std::string("http/1.1 200 OK\r\n\r\n"), std::string("HTTP/0.9 200 OK\r\n\r\n"),
           std::string("HTTP/1.10 200 OK\r\n\r\n"), std::string("ICY 200 OK\r\n\r\n"), "HTTP/1.1 200 O\0K\r\n\r\n"s,
           std::string("HTTP/1.1 200 O\rK\r\n\r\n"), std::string("HTTP/1.1 200 OK\n\r\n"), std::string("HTTP/1.1 200 OK\r\nNo colon\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\n: y\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"), std::string("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok"), std::string("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
           std::string("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n")}) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      ScriptedStream stream(bad + kOk, piece);
      Client client(stream, "a");
      std::optional<BadReply::Fault> fault;
      try {
        client.request({});
      } catch (const BadReply& error) {
        fault = error.fault();
      }
      EXPECT_EQ(fault, BadReply::Fault::malformed) << bad;
      EXPECT_FALSE(client.is_reusable()) << bad;
    }
  }
}

TEST_F(HttpClientTest, InterimResponsesHaveAnEnd) {
  const auto after = [](int count) {
    std::string responses;
    for (int i = 0; i < count; ++i) responses += "HTTP/1.1 100 Continue\r\n\r\n";
    ScriptedStream stream(responses + kOk);
    return Client(stream, "a").request({}).body;
  };
  EXPECT_EQ(after(15), "ok");
  EXPECT_THROW(after(16), BadReply);
}

// A handler that asks another server: that server's fault is not our client's, so it is 502 and no 4xx.
TEST_F(HttpClientTest, ABadReplyWithinAHandlerIs502) {
  using Fault = BadReply::Fault;
  const std::pair<std::string, Fault> table[] = {
      {"no HTTP\r\n\r\n", Fault::malformed},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Fault::malformed},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", Fault::malformed},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Fault::malformed},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(200, 'x') + "\r\n\r\n", Fault::long_head},
      {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", Fault::long_body},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", Fault::long_body},
      {"HTTP/1.1 200 OK\r\n\r\n01234567890", Fault::long_body},
  };
  for (const auto& [response, fault] : table) {
    std::optional<Fault> seen;
    const testing::Served served = testing::serve("GET / HTTP/1.1\r\nHost: a\r\n\r\n", [&, &its_response = response](Request&) {
      ScriptedStream upstream(its_response);
      try {
        return Response::text(200, Client(upstream, "b", {.max_head = 200, .max_body = 10}).request({}).body);
      } catch (const BadReply& error) {
        seen = error.fault();
        throw;
      }
    });
    EXPECT_THAT(served.statuses(), ElementsAre(502)) << response;
    EXPECT_EQ(seen, fault) << response;
  }
}

TEST_F(HttpClientTest, AHeadHasALimit) {
  const std::string frame = "HTTP/1.1 200 OK\r\nX: \r\nContent-Length: 0\r\n\r\n";
  for (const std::size_t over : {0u, 1u}) {
    for (const std::size_t piece : {std::size_t{1}, std::string::npos}) {
      ScriptedStream stream("HTTP/1.1 200 OK\r\nX: " + std::string(200 - frame.size() + over, 'x') + "\r\nContent-Length: 0\r\n\r\n", piece);
      Client client(stream, "a", {.max_head = 200});
      if (over == 0) {
        EXPECT_EQ(client.request({}).status, 200);
      } else {
        EXPECT_THAT(what_of<BadReply>([&] { client.request({}); }), HasSubstr("a head of more than 200 bytes"));
      }
    }
  }
}

TEST_F(HttpClientTest, AnEndBeforeTheResponse) {
  const std::pair<std::string, std::string> table[] = {
      {"", "ended before its response"},
      {"HTTP/1.1 20", "ended within the head"},
      {"HTTP/1.1 100 Continue\r\n\r\n", "ended before its response"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "ended 1 bytes before the end"},
  };
  for (const auto& [response, reason] : table) {
    ScriptedStream stream(response);
    Client client(stream, "a");
    EXPECT_THAT(what_of<CutShort>([&] { client.request({}); }), HasSubstr(reason));
    EXPECT_FALSE(client.is_reusable());
  }
}

TEST_F(HttpClientTest, WhatCannotBeSentIsMisuse) {
  ScriptedStream stream(kOk);
  Client client(stream, "a");
  for (const ClientRequest& call : {ClientRequest{.method = "GE T"}, ClientRequest{.method = ""}, ClientRequest{.target = "/a b"}, ClientRequest{.target = ""},
                               ClientRequest{.target = "/\r\nX: y"}, ClientRequest{.target = "/\xC3\xA4"}}) {
    EXPECT_THROW(client.request(call), Misuse);
  }
  EXPECT_EQ(stream.output(), "");
  EXPECT_EQ(client.request({}).body, "ok") << "nothing has changed";
  EXPECT_THROW(static_cast<void>(Client(stream, "a\r\nX: y")), Misuse);
}

TEST_F(HttpClientTest, ABodyPieceByPieceHasToBeReadBeforeTheNextRequest) {
  ScriptedStream stream(kOk, std::string::npos, ScriptedStream::Then::silence);
  Client client(stream, "a");
  EXPECT_EQ(client.begin({}).body, "");
  EXPECT_FALSE(client.is_reusable());
  EXPECT_THROW(client.request({}), Misuse);
  EXPECT_EQ(client.body().read_all(2), "ok");
  stream.when_empty = [](ScriptedStream& empty) {
    if (empty.writes() == 2) empty.send(kOk);
    if (empty.writes() == 2) empty.when_empty = nullptr;
  };
  EXPECT_EQ(client.request({}).body, "ok");
}

TEST_F(HttpClientTest, ARefusalThatComesBeforeAllIsSentIsRead) {
  ScriptedStream stream("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n");
  stream.room = 30;
  Client client(stream, "a");
  EXPECT_EQ(client.request({.method = "POST", .body = std::string(100, 'x')}).status, 413);
  EXPECT_FALSE(client.is_reusable());
  ScriptedStream gone("");
  gone.room = 30;
  EXPECT_THROW(Client(gone, "a").request({.method = "POST", .body = std::string(100, 'x')}), IoError);
}

// --- against a server ------------------------------------------------------------------------------------------------------------

// A server on loopback, in fibers of its own, as long as `body` runs.
template <typename F>
void with_server(const Handler& handler, F&& body) {
  on_virtual_time([&](VirtualClock& clock) {
    Socket listener = listen(Address::loopback(0));
    auto server = spawn("server", [&] {
      std::vector<Fiber<void>> connections;
      try {
        while (true) {
          connections.push_back(spawn("connection", [&, socket = listener.accept()]() mutable { serve_http_connection(socket, handler); }));
        }
      } catch (const Closed&) {
      }
      for (auto& connection : connections) connection.join();
    });
    body("http://" + listener.local_address().to_string(), clock);
    listener.close();
    server.join();
  });
}

// TestHTTPClient of cothread: a page of a server on the same thread.
TEST_F(HttpClientTest, APageOfAServerOnTheSameThread) {
  int count = 0;
  with_server(
      [&](Request& request) {
        ++count;
        return Response::text(200, "page " + std::string(request.target()) + " of " + std::string(request.host()));
      },
      [](const std::string& url, VirtualClock&) {
        const Reply page = get(url + "/a?b#c");
        EXPECT_EQ(page.status, 200);
        EXPECT_EQ(page.body, "page /a?b of " + url.substr(7));
        EXPECT_EQ(get(url).body, "page / of " + url.substr(7));
      });
  EXPECT_EQ(count, 2);
}

TEST_F(HttpClientTest, ManyRequestsOnOneConnection) {
  with_server([](Request& request) { return Response::text(200, request.body().read_all(100'000)); },
              [](const std::string& url, VirtualClock&) {
                Socket socket = connect("127.0.0.1", static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
                Client client(socket, "here");
                for (const std::size_t size : {0u, 1u, 1000u, 100'000u}) {
                  const std::string text(size, 'x');
                  EXPECT_EQ(client.request({.method = "PUT", .body = text}).body, text);
                }
                EXPECT_TRUE(client.is_reusable());
                socket.close();
                EXPECT_FALSE(client.is_reusable());
              });
}

TEST_F(HttpClientTest, TheLimitIsForAllOfIt) {
  with_server(
      [](Request&) {
        return Response::streamed("text/plain", [](BodyWriter& out) {
          for (int i = 0; i < 3; ++i) {
            out.write("x");
            sleep(absl::Seconds(2));
          }
        });
      },
      [](const std::string& url, VirtualClock& clock) {
        auto asker = spawn("asker", [&] { return what_of<Timedout>([&] { get(url, absl::Seconds(5)); }); });
        // Each piece comes in time, and all of it does not.
        for (int second = 0; second < 6; ++second) {
          yield_until_idle();
          clock.advance(absl::Seconds(1));
        }
        EXPECT_THAT(asker.join(), HasSubstr("timed out"));
        EXPECT_THAT(what_of<Timedout>([&] { get(url, absl::ZeroDuration()); }), HasSubstr("timed out"));
        yield_until_idle();
        clock.advance(absl::Seconds(10));
      });
}

TEST_F(HttpClientTest, UrlsOfAnotherKindAreRefused) {
  for (const char* const url : {"", "127.0.0.1", "https://a/", "ftp://a/", "http://", "http:///x", "http://a b/", "http://a:99999/", "http://a:/", "http://a:0/", "http://u@a/"}) {
    EXPECT_THAT(what_of<std::invalid_argument>([&] { get(url); }), HasSubstr("is not of the form http://host:port/path")) << url;
  }
}

}  // namespace
}  // namespace cooperative::http
