#include "cooperative/http/serve_http.h"

#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/http/client.h"
#include "cooperative/http/routes.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/lock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/cooperative/http/serving.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::NEVER;
using mothreads::Signal;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::say_hello;
using ::testing::HasSubstr;

class ServeHttpTest : public mothreads::testing::NothingLeft {};

std::string url_of(const Site& site, std::string_view path = "/") { return "http://" + site.address().to_string() + std::string(path); }

TEST_F(ServeHttpTest, RoutesOnTheCallingThread) {
  on_virtual_time([](VirtualClock&) {
    Routes routes;
    routes.get("/jobs/{id}", [](Request& request) { return Response::json(200, "{\"id\":" + std::string(request.parameter("id")) + "}"); });
    Site site = serve_http(Address::loopback(0), std::move(routes), {.name = "api"});
    const Reply reply = get(url_of(site, "/jobs/17"));
    EXPECT_EQ(reply.body, "{\"id\":17}");
    EXPECT_EQ(reply.headers.get("Content-Type"), "application/json");
    EXPECT_EQ(get(url_of(site, "/none")).status, 404);
    EXPECT_FALSE(site.stopped());
    site.stop().join();
    EXPECT_TRUE(site.stopped());
    EXPECT_THROW(get(url_of(site)), IoError);
  });
}

TEST_F(ServeHttpTest, ThreadsOfItsOwn) {
  on_virtual_time([](VirtualClock&) {
    mothreads::Lock lock;
    std::set<std::string> names;
    const auto own = std::make_unique<int>(5);
    const auto handler = [&, own = own.get()](Request&) {
      const auto held = lock.enter();
      names.insert(mothreads::Thread::current().name());
      return Response::text(200, std::to_string(*own));
    };
    Site site = serve_http(Address::loopback(0), handler, {.name = "api", .threads = 2});
    for (int i = 0; i < 20; ++i) EXPECT_EQ(get(url_of(site)).body, "5");
    site.stop().join();
    EXPECT_TRUE(site.stopped());
    for (const std::string& name : names) EXPECT_THAT(name, ::testing::AnyOf("api 1", "api 2"));
  });
}

TEST_F(ServeHttpTest, SaysWhetherItIsReady) {
  on_virtual_time([](VirtualClock&) {
    const Signal draining("draining");
    Site site = serve_http(Address::loopback(0), say_hello, {.ready_path = "/ready", .draining = draining});
    Socket socket = connect(site.address());
    Client client(socket, "here");
    const Reply ready = client.request({.target = "/ready"});
    EXPECT_EQ(ready.status, 200);
    EXPECT_EQ(ready.headers.get("Cache-Control"), "no-store");
    EXPECT_EQ(client.request({.method = "POST", .target = "/ready"}).status, 405);
    EXPECT_EQ(client.request({.target = "/ready2"}).body, "hello /ready2");
    socket.write_all("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n");
    draining.go();
    EXPECT_THAT(*socket.read_all(1000), HasSubstr(" 503 "));
    socket.close();
    site.join();
  });
}

// A request that has begun is answered, one that is kept alive ends, and the site has ended once all have.
TEST_F(ServeHttpTest, ADrainLetsWhatIsUnderWayGo) {
  for (const unsigned threads : {0u, 1u}) {
    on_virtual_time([&](VirtualClock&) {
      const Signal draining("draining"), asked("asked"), go_on("go on");
      const auto handler = [&](Request& request) {
        if (request.target() == "/slow") {
          asked.go();
          go_on.wait();
        }
        return say_hello(request);
      };
      Site site = serve_http(Address::loopback(0), handler, {.threads = threads, .draining = draining});
      Socket idle = connect(site.address());
      idle.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_TRUE(idle.read_until("hello /"));
      Socket busy = connect(site.address());
      busy.write_all("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
      asked.wait();
      draining.go();
      EXPECT_EQ(*idle.read_all(1000), "");
      EXPECT_FALSE(site.stopped());
      go_on.go();
      EXPECT_THAT(*busy.read_all(1000), HasSubstr("hello /slow"));
      busy.close();
      site.join();
    });
  }
}

TEST_F(ServeHttpTest, WhatHasNotEndedAfterItsDrainIsCancelled) {
  LogLines lines;
  on_virtual_time([](VirtualClock& clock) {
    const Signal asked("asked");
    const auto handler = [&](Request&) {
      asked.go();
      Signal().wait();
      return Response{};
    };
    Site site = serve_http(Address::loopback(0), handler, {.drain = absl::Seconds(7)});
    Socket client = connect(site.address());
    client.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    asked.wait();
    site.stop();
    yield_until_idle();
    clock.advance(absl::Seconds(7));
    site.join();
    EXPECT_EQ(*client.read_all(1000), "");
  });
  EXPECT_THAT(lines.with("a request got no answer: its fiber was cancelled"), ::testing::SizeIs(1));
}

TEST_F(ServeHttpTest, SpeaksTls) {
  const testing::Authority authority("authority");
  const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
  const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
  on_virtual_time([&](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello, {.tls = as_server, .handshake_limit = absl::Seconds(3)});
    {
      TlsStream stream = TlsStream::connect(as_client, connect(site.address()), "server.test");
      Client client(stream, "server.test");
      EXPECT_EQ(client.request({.target = "/a"}).body, "hello /a");
      EXPECT_TRUE(client.is_reusable());
      site.stop();
      EXPECT_EQ(*stream.read_all(10), "") << "and says that it ends";
    }
    site.join();
    Site other = serve_http(Address::loopback(0), say_hello, {.tls = as_server, .handshake_limit = absl::Seconds(3)});
    Socket silent = connect(other.address());
    yield_until_idle();
    clock.advance(absl::Seconds(3));
    EXPECT_EQ(*silent.read_all(10), "") << "no handshake";
  });
}

TEST_F(ServeHttpTest, ASocketThatListensAlready) {
  for (const unsigned threads : {0u, 2u}) {
    on_virtual_time([&](VirtualClock&) {
      Site site = serve_http(listen(Address::loopback(0)), say_hello, {.threads = threads});
      for (int i = 0; i < 10; ++i) EXPECT_EQ(get(url_of(site, "/a")).body, "hello /a");
      site.stop().join();
      EXPECT_TRUE(site.stopped());
    });
  }
}

TEST_F(ServeHttpTest, SeveralThreadsAtOnePath) {
  // Relative: a folder of the test's own may have a path that is too long for a socket.
  const std::string path = "serve_http_test." + std::to_string(getpid());
  on_virtual_time([&](VirtualClock&) {
    for (int round = 0; round < 2; ++round) {
      Site site = serve_http(Address::unix_path(path), say_hello, {.threads = 2});
      for (int i = 0; i < 5; ++i) {
        Socket socket = connect(site.address());
        EXPECT_EQ(request(socket, "here", {.target = "/a"}).body, "hello /a");
      }
      site.stop().join();
    }
    EXPECT_THROW(static_cast<void>(serve_http(Address::unix_path(path), nullptr)), Misuse);
    EXPECT_NO_THROW(static_cast<void>(serve_http(Address::unix_path(path), say_hello)));
  });
}

TEST_F(ServeHttpTest, AnAddressThatIsTakenIsSaid) {
  on_virtual_time([](VirtualClock&) {
    const Site site = serve_http(Address::loopback(0), say_hello);
    EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(serve_http(site.address(), say_hello)); }), HasSubstr(site.address().to_string()));
    EXPECT_THROW(static_cast<void>(serve_http(Address::loopback(0), nullptr)), Misuse);
  });
}

}  // namespace
}  // namespace cooperative::http
