#include "cooperative/io/server.h"

#include <sys/stat.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/line_server.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using testing::ask;
using testing::echo_lines;
using testing::kAnywhere;
using testing::ServerTest;
using ::testing::HasSubstr;

TEST_F(ServerTest, GivesEachConnectionAFiber) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(b, "first"), "first");
    EXPECT_EQ(ask(a, "second"), "second");
    EXPECT_EQ(server.statistics().accepted, 2U);
    EXPECT_EQ(server.statistics().connections, 2U);
    a.close();
    while (server.statistics().connections > 1) yield_until_idle(absl::ZeroDuration());
    EXPECT_EQ(ask(b, "third"), "third");
    b.close();
  });
}

TEST_F(ServerTest, ListensOnLoopbackOnlyWhereThatWasSaid) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    EXPECT_EQ(server.address().ip(), "127.0.0.1");
    EXPECT_NE(server.port(), 0);
  });
}

TEST_F(ServerTest, AnAddressInUseIsRefusedWithItsName) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    try {
      auto second = serve_tcp(server.address(), echo_lines);
      FAIL() << "two servers on one address";
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), std::errc::address_in_use);
      EXPECT_THAT(error.what(), HasSubstr(server.address().to_string()));
    }
  });
}

// --- handlers ----------------------------------------------------------------------------------------------------------------

TEST_F(ServerTest, WhatAHandlerThrowsEndsItsConnectionOnly) {
  on_thread([this] {
    auto server = serve_tcp(
        kAnywhere,
        [](Socket& client) {
          while (auto line = client.read_line()) {
            if (*line == "fail") throw std::runtime_error("as it was told");
            client.write_all(*line + "\n");
          }
        },
        {.name = "echo"});
    Socket bad = connect(server.address());
    Socket good = connect(server.address());
    bad.write_all("fail\n");
    EXPECT_EQ(bad.read_line().why(), Why::closed);
    EXPECT_EQ(ask(good, "still"), "still");
    EXPECT_EQ(server.statistics().failed, 1U);
    const auto lines = log.with("as it was told");
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].level, mothreads::log::Level::error);
    EXPECT_THAT(lines[0].text, HasSubstr("echo: tcp socket"));
  });
}

TEST_F(ServerTest, AClientThatResetsIsNoErrorOfTheServers) {
  on_thread([this] {
    Event<> ended;
    auto server = serve_tcp(kAnywhere, [&](Socket& client) {
      absl::Cleanup say = [&] { ended.signal(); };
      echo_lines(client);
    });
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    client.set_linger(absl::ZeroDuration());
    client.close();
    ended.wait();
    while (server.statistics().connections > 0) yield();
    const auto lines = log.with("Connection reset");
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].level, mothreads::log::Level::info);
  });
}

// --- kinds -------------------------------------------------------------------------------------------------------------------

TEST_F(ServerTest, OnAUnixSocketItRemovesThePathAtTheEnd) {
  std::string folder = "/tmp/server_test_XXXXXX";  // a socket's path must be short
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/socket";
  on_thread([&] {
    auto server = serve_unix(path, echo_lines);
    Socket client = connect(Address::unix_path(path));
    EXPECT_EQ(ask(client, "here"), "here");
    client.close();
    server.stop().join();
  });
  struct stat status {};
  EXPECT_NE(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

TEST_F(ServerTest, OfDatagramsGivesEachAFiber) {
  on_thread([] {
    auto server = serve_udp(kAnywhere, [](DatagramRequest& request) { request.socket.send_to("got " + request.data, request.from); });
    FiberGroup clients("clients");
    for (int i = 0; i < 50; ++i) {
      clients.spawn("client", [&server, i] {
        Socket socket = Socket::udp();
        socket.bind(kAnywhere);
        const std::string text = std::to_string(i);
        socket.send_to(text, server.address());
        std::byte room[100];
        const Datagram answer = socket.recv_from(room);
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(room), answer.size), "got " + text);
        EXPECT_EQ(answer.from, server.address());
      });
    }
    clients.join();
    EXPECT_EQ(server.statistics().accepted, 50U);
  });
}

// Who asks over datagrams: an answer to each.
std::string ask_by_datagram(Socket& socket, const std::string& text, const Address& server) {
  socket.send_to(text, server);
  std::string room(100, '\0');
  room.resize(socket.recv_from(std::as_writable_bytes(std::span(room))).size);
  return room;
}

TEST_F(ServerTest, ADatagramThatAHandlerTookItselfHoldsUpNobody) {
  on_thread([] {
    Socket client = Socket::udp();
    client.bind(kAnywhere);
    auto server = serve_udp(kAnywhere, [](DatagramRequest& request) {
      std::string next(10, '\0');
      next.resize(request.socket.recv_from(std::as_writable_bytes(std::span(next))).size);
      request.socket.send_to(request.data + next, request.from);
    });
    client.send_to("a", server.address());
    EXPECT_EQ(ask_by_datagram(client, "b", server.address()), "ab");
    server.stop().join();
  });
}

TEST_F(ServerTest, OfDatagramsStopsAsTheOthersDo) {
  on_thread([this] {
    Socket client = Socket::udp();
    client.bind(kAnywhere);
    Event is_at_it;
    auto server = serve_udp(
        kAnywhere,
        [&](DatagramRequest& request, const Signal& please_stop) {
          if (request.data == "throw") throw std::runtime_error("a bad datagram");
          if (request.data == "polite") {
            is_at_it.signal();
            please_stop.wait();
            request.socket.send_to("goodbye", request.from);
          }
          if (request.data == "stubborn") Signal("what never comes").wait();
        },
        {.max_connections = 3});
    client.send_to("throw", server.address());
    client.send_to("stubborn", server.address());
    client.send_to("polite", server.address());
    is_at_it.wait();
    server.stop();
    std::string room(100, '\0');
    room.resize(client.recv_from(std::as_writable_bytes(std::span(room))).size);
    EXPECT_EQ(room, "goodbye");
    EXPECT_FALSE(server.stopped());
    auto time = Thread::run("advancer", [this](const Signal&) {
      clock.await_timers(2);  // the deadline of the stop, and the end of the drain
      clock.advance(absl::Seconds(10));
    });
    server.join();
    time.join();
    EXPECT_EQ(server.statistics().accepted, 3U);
    EXPECT_EQ(server.statistics().failed, 1U);
    EXPECT_EQ(server.statistics().cancelled, 1U);
  });
  EXPECT_THAT(log.with("failed: a bad datagram"), ::testing::SizeIs(1));
  EXPECT_THAT(log.with("was cancelled: it had not ended in time"), ::testing::SizeIs(1));
}

TEST_F(ServerTest, OfDatagramsOnAUnixSocketRemovesThePathAtTheEnd) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder("/tmp");
    Socket client = Socket::unix_datagram();
    client.bind(Address::unix_path(folder.path("client")));
    auto server = serve_udp(Address::unix_path(folder.path("server")),
                            [](DatagramRequest& request) { request.socket.send_to("got " + request.data, request.from); });
    EXPECT_EQ(ask_by_datagram(client, "x", server.address()), "got x");
    server.stop().join();
    EXPECT_THAT(folder.names(), ::testing::ElementsAre("client"));
  });
}

TEST_F(ServerTest, TakesASocketThatListensAlready) {
  on_thread([] {
    Socket listener = listen(kAnywhere, {.reuse_port = true});
    const Address address = listener.local_address();
    auto server = serve(std::move(listener), echo_lines);
    auto second = serve_tcp(address, echo_lines, {.reuse_port = true});
    Socket client = connect(address);
    EXPECT_EQ(ask(client, "one of them"), "one of them");
  });
}

}  // namespace
}  // namespace cooperative
