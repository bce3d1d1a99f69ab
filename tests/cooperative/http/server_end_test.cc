// How connections end: what the client sees, and what the handler is told.

#include <stdexcept>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/server.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/cooperative/http/serving.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::say_hello;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kOld = "GET / HTTP/1.0\r\n\r\n";

class HttpEndTest : public mothreads::testing::NothingLeft {
 protected:
  // Serves one connection over TCP while `body` is its client, on virtual time.
  template <typename Body>
  static void with_tcp(const Handler& handler, const ConnectionOptions& options, Body&& body) {
    on_virtual_time([&](VirtualClock& clock) {
      Socket listener = listen(Address::loopback(0));
      auto server = spawn("server", [&] {
        Socket socket = listener.accept();
        serve_http_connection(socket, handler, options);
      });
      Socket client = connect(listener.local_address());
      body(client, clock);
      client.close();
      server.join();
    });
  }
};

// --- what a handler is told ----------------------------------------------------------------------------------------------------

TEST_F(HttpEndTest, AHandlerIsToldThatItsClientHasGone) {
  for (const bool resets : {false, true}) {
    bool was_told = false;
    const Signal asked("asked");
    with_tcp(
        [&](Request& request) {
          EXPECT_EQ(request.body().read_all(10), "body");
          const Signal ended = request.ended();
          EXPECT_FALSE(ended);
          asked.go();
          ended.wait();
          was_told = true;
          return say_hello(request);
        },
        {},
        [&](Socket& client, VirtualClock&) {
          client.write_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
          asked.wait();
          resets ? client.abort() : client.close();
        });
    EXPECT_TRUE(was_told) << resets;
  }
}

// Which fiber of it asks first makes no difference, and it has ended by then.
TEST_F(HttpEndTest, AHandlerWhoseFiberAskedIsToldToo) {
  bool was_told = false;
  const Signal asked("asked");
  with_tcp(
      [&](Request& request) {
        const Signal ended = spawn("first", [&] { return request.ended(); }).join();
        asked.go();
        ended.wait();
        was_told = true;
        return say_hello(request);
      },
      {},
      [&](Socket& client, VirtualClock&) {
        client.write_all(kGet);
        asked.wait();
        client.close();
      });
  EXPECT_TRUE(was_told);
}

TEST_F(HttpEndTest, AHandlerIsToldOfADrain) {
  const Signal drain("drain"), asked("asked");
  with_tcp(
      [&](Request& request) {
        asked.go();
        request.ended().wait();
        return say_hello(request);
      },
      {.draining = drain},
      [&](Socket& client, VirtualClock&) {
        client.write_all(kGet);
        asked.wait();
        drain.go();
        EXPECT_THAT(*client.read_all(1000), HasSubstr("Connection: close\r\n"));
      });
}

TEST_F(HttpEndTest, WhatAClientSendsMeanwhileIsItsNextRequest) {
  const Signal asked("asked"), go_on("go on");
  with_tcp(
      [&](Request& request) {
        if (request.target() == "/") {
          const Signal ended = request.ended();
          asked.go();
          go_on.wait();
          EXPECT_FALSE(ended);
          EXPECT_EQ(request.headers().get("Host"), "a") << "what was read ahead has not moved the request";
        }
        return say_hello(request);
      },
      {},
      [&](Socket& client, VirtualClock&) {
        client.write_all(kGet);
        asked.wait();
        client.write_all("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        yield_until_idle();
        go_on.go();
        EXPECT_THAT(*client.read_until("hello /next"), HasSubstr("hello /HTTP/1.1 200"));
      });
}

TEST_F(HttpEndTest, AStreamedResponseEndsWithItsClient) {
  bool was_told = false;
  with_tcp(
      [&](Request&) {
        return Response::streamed("text/plain", [&](BodyWriter& out) {
          out.flush();
          out.ended().wait();
          was_told = true;
        });
      },
      {},
      [&](Socket& client, VirtualClock&) {
        client.write_all(kGet);
        EXPECT_THAT(*client.read_until("\r\n\r\n"), HasSubstr("Transfer-Encoding: chunked")) << "the head goes before the first of the body";
        client.close();
        yield_until_idle();
      });
  EXPECT_TRUE(was_told);
}

// --- responses that are cut ------------------------------------------------------------------------------------------------------

Response fails_after(std::string first) {
  return Response::streamed("text/plain", [first = std::move(first)](BodyWriter& out) {
    first.empty() ? out.flush() : out.write(first);
    throw std::runtime_error("the source is lost");
  });
}

TEST_F(HttpEndTest, AFailureBehindTheHeadCutsTheBody) {
  for (const std::string first : {"", "first"}) {
    LogLines lines;
    with_tcp([&](Request&) { return fails_after(first); }, {}, [&](Socket& client, VirtualClock&) {
      client.write_all(kGet);
      const std::string answer = *client.read_all(1000);
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
      EXPECT_THAT(answer, EndsWith(first.empty() ? "\r\n\r\n" : "\r\n\r\n5\r\nfirst\r\n")) << "without the last chunk";
    });
    EXPECT_THAT(lines.with("the source is lost"), SizeIs(1));
  }
}

// For this client the end of the connection is that of the body.
TEST_F(HttpEndTest, AFailureBehindTheHeadResetsAnOldClient) {
  LogLines lines;
  with_tcp([&](Request&) { return fails_after("first"); }, {}, [&](Socket& client, VirtualClock&) {
    client.write_all(kOld);
    EXPECT_THROW(while (client.read_exact(1)) {}, IoError);
  });
}

// A function that goes on after a write was cut short: what it writes then would be taken for the rest of the piece.
TEST_F(HttpEndTest, NothingFollowsAPieceThatWasCutShort) {
  LogLines lines;
  bool was_refused = false;
  const auto handler = [&](Request&) {
    return Response::streamed("text/plain", [&](BodyWriter& out) {
      try {
        out.write(std::string(32 << 20, 'x'));  // more than two sockets hold
      } catch (const WriteTimedout&) {
        EXPECT_THROW(out.write("more"), Closed);
        was_refused = true;
      }
    });
  };
  with_tcp(handler, {.write_limit = absl::Seconds(1)}, [&](Socket& client, VirtualClock& clock) {
    client.write_all(kGet + kGet);
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    const std::string answer = *client.read_all(64 << 20);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos) << "no other response";
    EXPECT_THAT(answer, EndsWith("xxxx")) << "no last chunk";
  });
  EXPECT_TRUE(was_refused);
}

TEST_F(HttpEndTest, AStatusThatSaysThatMoreFollowsIsAFailureOfTheHandler) {
  LogLines lines;
  for (const int status : {100, 103, 101, 199, 99, 1000}) {
    EXPECT_THAT(testing::serve(kGet, [&](Request&) { return Response::text(status, ""); }).statuses(), ::testing::ElementsAre(500)) << status;
  }
  EXPECT_THAT(testing::serve(kGet, [](Request&) { return Response{.status = 200, .body = Upgrade{[](Stream&) {}}}; }).statuses(),
              ::testing::ElementsAre(500));
  EXPECT_THAT(lines.with("give 200 to 999, or 101 to an upgrade"), SizeIs(7));
}

TEST_F(HttpEndTest, ARequestWithABodyThatNobodyReadIsNotUpgraded) {
  LogLines lines;
  const Handler upgrade = [](Request&) { return Response{.status = 101, .body = Upgrade{[](Stream& raw) { raw.write_all("bye"); }}}; };
  for (const std::string request : {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "GET / HTTP/1.0\r\n\r\n"}) {
    const auto served = testing::serve(request, upgrade);
    EXPECT_THAT(served.statuses(), ::testing::ElementsAre(400)) << request;
    EXPECT_THAT(served.output, ::testing::Not(EndsWith("bye")));
  }
}

// --- refusals --------------------------------------------------------------------------------------------------------------------

TEST_F(HttpEndTest, AClientThatSendsAllFirstReadsTheRefusalOfALargeUpload) {
  const std::string body(8 << 20, 'x');  // more than two sockets hold
  with_tcp(say_hello, {.max_body = 10}, [&](Socket& client, VirtualClock&) {
    client.write_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    client.write_all(body);
    EXPECT_THAT(*client.read_all(1000), StartsWith("HTTP/1.1 413 "));
  });
}

TEST_F(HttpEndTest, LingeringHasALimitOfBytes) {
  const std::string body(8 << 20, 'x');
  with_tcp(say_hello, {.max_body = 10, .max_lingered = 1000}, [&](Socket& client, VirtualClock&) {
    client.write_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    EXPECT_THROW(client.write_all(body), IoError);
  });
}

TEST_F(HttpEndTest, LingeringHasALimitOfTime) {
  with_tcp(say_hello, {.max_body = 10, .linger_limit = absl::Seconds(3)}, [&](Socket& client, VirtualClock& clock) {
    client.write_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    EXPECT_THAT(*client.read_all(1000), StartsWith("HTTP/1.1 413 "));
    client.write_all("it still sends");
    yield_until_idle();
    clock.advance(absl::Seconds(2));
    yield_until_idle();
    client.write_all("it still sends");
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    yield_until_idle();
    EXPECT_THROW(while (true) client.write_all("it still sends"), IoError);
  });
}

// --- drains ----------------------------------------------------------------------------------------------------------------------

TEST_F(HttpEndTest, AConnectionThatHasSentNothingHasAGraceAtADrain) {
  for (const bool comes : {true, false}) {
    const Signal drain("drain");
    with_tcp(say_hello, {.drain_grace = absl::Seconds(1), .draining = drain}, [&](Socket& client, VirtualClock& clock) {
      yield_until_idle();
      drain.go();
      yield_until_idle();
      clock.advance(absl::Milliseconds(900));
      yield_until_idle();
      if (comes) client.write_all(kGet);
      yield_until_idle();
      clock.advance(absl::Milliseconds(100));
      EXPECT_THAT(*client.read_all(1000), comes ? HasSubstr("Connection: close\r\n") : HasSubstr("")) << comes;
    });
  }
}

// What old clients send behind a body.
TEST_F(HttpEndTest, AnEmptyLineAloneIsNoRequestUnderWay) {
  LogLines lines;
  const Signal drain("drain");
  with_tcp(say_hello, {.draining = drain}, [&](Socket& client, VirtualClock&) {
    client.write_all(kGet);
    EXPECT_TRUE(client.read_until("hello /"));
    client.write_all("\r\n");
    yield_until_idle();
    drain.go();
    EXPECT_EQ(*client.read_all(1000), "");
  });
  EXPECT_THAT(lines.with("got no answer"), IsEmpty());
}

TEST_F(HttpEndTest, ABodyThatNobodyWantsDoesNotHoldADrain) {
  const Signal drain("drain");
  with_tcp(say_hello, {.draining = drain}, [&](Socket& client, VirtualClock&) {
    client.write_all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    EXPECT_TRUE(client.read_until("hello /"));
    yield_until_idle();
    drain.go();
    EXPECT_EQ(*client.read_all(1000), "");
  });
}

// --- TLS -------------------------------------------------------------------------------------------------------------------------

class HttpOverTlsTest : public HttpEndTest {
 protected:
  // What a client of TLS reads to the end, which it tells from a cut (TlsTruncated).
  static std::string ask(const std::string& request, const Handler& handler, const ConnectionOptions& options, absl::Duration advance = absl::ZeroDuration()) {
    const testing::Authority authority("authority");
    const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
    const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
    std::string all;
    on_virtual_time([&](VirtualClock& clock) {
      auto [here, there] = Socket::pair();
      auto server = spawn("server", [&, socket = std::move(there)]() mutable {
        TlsStream secure = TlsStream::accept(as_server, socket);
        serve_http_connection(secure, handler, options);
      });
      TlsStream client = TlsStream::connect(as_client, here, "server.test");
      client.write_all(request);
      yield_until_idle();
      clock.advance(advance);
      all = *client.read_all(100'000);
      client.shut_down_writing();
      client.close();
      server.join();
    });
    return all;
  }
};

TEST_F(HttpOverTlsTest, EveryEndInOrderIsSaid) {
  EXPECT_THAT(ask(kOld, say_hello, {}), EndsWith("hello /"));
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", say_hello, {}), EndsWith("hello /"));
  const Handler pieces = [](Request&) { return Response::streamed("text/plain", [](BodyWriter& out) { out.write("all of it"); }); };
  EXPECT_THAT(ask(kOld, pieces, {}), EndsWith("all of it"));
  EXPECT_THAT(ask(kGet, say_hello, {.idle_limit = absl::Seconds(5)}, absl::Seconds(5)), EndsWith("hello /")) << "the idle limit";
  EXPECT_THAT(ask("", say_hello, {.idle_limit = absl::Seconds(5)}, absl::Seconds(5)), IsEmpty());
  EXPECT_THAT(ask("nonsense\r\n\r\n", say_hello, {}), StartsWith("HTTP/1.1 400 "));
  const Handler upgrade = [](Request&) {
    return Response{.status = 101, .headers = {{"Connection", "Upgrade"}, {"Upgrade", "x"}}, .body = Upgrade{[](Stream& raw) { raw.write_all("bye"); }}};
  };
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", upgrade, {}), EndsWith("bye"));
  Signal drain("drain");
  drain.go();
  EXPECT_THAT(ask(kGet, say_hello, {.draining = drain}), EndsWith("hello /"));
}

TEST_F(HttpOverTlsTest, ACutResponseIsNot) {
  LogLines lines;
  EXPECT_THROW(ask(kOld, [](Request&) { return fails_after("first"); }, {}), TlsTruncated);
}

}  // namespace
}  // namespace cooperative::http
