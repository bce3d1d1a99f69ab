// TLS over a connection in memory: in Worlds, where the records come late, in pieces, and up to a cut. Keys are the system's chance, which no seed
// decides: the order of threads is the seed's, the bytes of a record are not.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/http/server.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/memory_stream.h"
#include "cooperative/testing/world.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/tls_peers.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;

// What every connection here is made with; certificates take their time.
const TlsContext& client_context() {
  static const TlsContext one = trusting();
  return one;
}
const TlsContext& server_context() {
  static const TlsContext one = serving();
  return one;
}

TEST(TlsMemoryTest, LinesGoBothWaysUnderEverySeed) {
  for_each_seed(40, [](World& world) {
    world.run([] {
      auto link = MemoryStream::pair({.latency_spread = absl::Milliseconds(3), .pieces = Pieces::by_chance, .room = 200});
      auto echo = Thread::run("echo", [&](Signal) {
        auto server = TlsStream::accept(server_context(), link.second);
        while (auto line = server.read_line()) server.write_all(*line + "\n");
        server.shut_down_writing();
      });
      auto client = TlsStream::connect(client_context(), link.first, "server.test", absl::Seconds(10));
      auto writer = spawn("writer", [&] {
        for (int i = 0; i < 10; ++i) client.write_all("line " + std::to_string(i) + std::string(100, '.') + "\n");
        client.shut_down_writing();
      });
      for (int i = 0; i < 10; ++i) EXPECT_EQ(*client.read_line(), "line " + std::to_string(i) + std::string(100, '.'));
      EXPECT_EQ(client.read_line().why(), Why::closed) << "by close_notify, or it would throw";
      writer.join();
      echo.join();
    });
  });
}

// Each side has room for less than a record: both have to read while they write.
TEST(TlsMemoryTest, MuchGoesBothWaysAtOnceThroughANarrowLink) {
  World world;
  world.run([] {
    const std::string much = text_of(100'000);
    auto link = MemoryStream::pair({.latency = absl::Milliseconds(1), .room = 1000});
    auto other = spawn("server", [&] { return TlsStream::accept(server_context(), link.second); });
    auto client = TlsStream::connect(client_context(), link.first, "server.test");
    auto server = other.join();
    const auto write = [&](TlsStream& stream) {
      return spawn("writer", [&] {
        stream.write_all(much);
        stream.shut_down_writing();
      });
    };
    auto up = write(client);
    auto down = write(server);
    auto reader = spawn("reader", [&] { return *server.read_all(much.size()); });
    EXPECT_TRUE(*client.read_all(much.size()) == much);
    EXPECT_TRUE(reader.join() == much);
    up.join();
    down.join();
  });
}

// A handshake of TLS 1.3 is one way there and back, and so is each question with its answer.
TEST(TlsMemoryTest, TheHandshakeTakesOneRoundTrip) {
  World world;
  world.run([&] {
    auto link = MemoryStream::pair({.latency = absl::Milliseconds(50)});
    auto server = Thread::run("server", [&](Signal) {
      auto secure = TlsStream::accept(server_context(), link.second);
      http::serve_http_connection(secure, [](http::Request& request) { return http::Response::text(200, "hello " + std::string(request.target())); });
    });
    auto secure = TlsStream::connect(client_context(), link.first, "server.test");
    EXPECT_EQ(world.elapsed(), absl::Milliseconds(100));
    http::Client client(secure, "server.test");
    EXPECT_EQ(client.request({.target = "/a"}).body, "hello /a");
    EXPECT_EQ(world.elapsed(), absl::Milliseconds(200));
    EXPECT_EQ(client.request({.target = "/b", .headers = {{"Connection", "close"}}}).body, "hello /b");
    EXPECT_EQ(secure.read_line().why(), Why::closed) << "the server says its end";
    secure.close();
    server.join();
  });
}

TEST(TlsMemoryTest, ASilentPeerIsLeftAtTheLimit) {
  World world;
  world.run([&] {
    auto link = MemoryStream::pair();
    EXPECT_THROW(static_cast<void>(TlsStream::connect(client_context(), link.first, "server.test", absl::Seconds(5))), Timedout);
    EXPECT_EQ(world.elapsed(), absl::Seconds(5));
  });
}

// Behind whichever byte a connection is cut: the reader has what came before, whole lines, and never takes the cut for an end.
TEST(TlsMemoryTest, ACutIsNeverTakenForTheEnd) {
  int ends = 0;
  for (std::uint64_t cut = 0; cut <= 6000; cut += cut < 2500 ? 97 : 11) {
    World world;
    world.run([&] {
      auto link = MemoryStream::pair({.cut_after = cut});
      auto server = Thread::run("server", [&](Signal) {
        try {
          auto secure = TlsStream::accept(server_context(), link.second);
          for (int i = 0; i < 10; ++i) secure.write_all("line " + std::to_string(i) + "\n");
          secure.shut_down_writing();
          static_cast<void>(secure.read_all(1));
        } catch (const IoError&) {  // TlsError, too
        }
        link.second.close();
      });
      int lines = 0;
      try {
        auto secure = TlsStream::connect(client_context(), link.first, "server.test");
        while (const ReceivedText line = secure.read_line()) EXPECT_EQ(*line, "line " + std::to_string(lines++));
        EXPECT_EQ(lines, 10) << "an end, after a cut behind byte " << cut;
        ++ends;
        secure.shut_down_writing();
      } catch (const IoError&) {
      }
      link.first.close();
      server.join();
    });
  }
  EXPECT_GT(ends, 10);
}

}  // namespace
}  // namespace cooperative::testing
