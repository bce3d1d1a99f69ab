// How bytes flow through TLS: both ways at once, in pieces, and with messages of its own between them.

#include <openssl/ssl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::NothingLeft;
using testing::authority;
using testing::Connected;
using testing::connected;
using testing::connected_over;
using testing::Gate;
using testing::Gated;
using testing::gated;
using testing::on_host;
using testing::RawTls;
using testing::server_identity;
using testing::settle;
using testing::text_of;
using testing::Trickle;
using testing::trusting;
using ::testing::ElementsAre;

constexpr absl::Duration kNow = absl::ZeroDuration();

class TlsFlowTest : public NothingLeft {};

// --- both ways -----------------------------------------------------------------------------------------------------------------

void exchange(TlsStream& client, TlsStream& server, std::size_t size) {
  const std::string there = text_of(size);
  const std::string back(there.rbegin(), there.rend());
  const auto write = [](TlsStream& stream, const std::string& text) {
    stream.write_all(text);
    stream.shut_down_writing();
  };
  auto up = spawn("up", [&] { write(client, there); });
  auto down = spawn("down", [&] { write(server, back); });
  auto reader = spawn("reader", [&] { return *server.read_all(size); });
  EXPECT_TRUE(*client.read_all(size) == back);
  EXPECT_TRUE(reader.join() == there);
  up.join();
  down.join();
}

TEST_F(TlsFlowTest, AMebibyteBothWaysAtOnce) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    exchange(client, server, 1 << 20);
  });
}

TEST_F(TlsFlowTest, AMebibyteBothWaysOverTcp) {
  on_host([] {
    Socket listening = listen(Address::loopback(0));
    Socket a = connect(listening.local_address());
    Connected both = connected_over({std::make_unique<Socket>(std::move(a)), std::make_unique<Socket>(listening.accept())});
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    exchange(client, server, 1 << 20);
  });
}

// Notes where much that is read goes.
class Measured final : public testing::Over {
 public:
  using Over::Over;
  int large_reads = 0;
  std::uintptr_t farthest_from_page = 0;

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override {
    if (into.size() >= 16 * 1024) {
      ++large_reads;
      farthest_from_page = std::max(farthest_from_page, reinterpret_cast<std::uintptr_t>(into.data()) % 4096);
    }
    return Over::receive(into, limit);
  }
};

// As cooperative/internal/stack/page_memory.h says.
TEST_F(TlsFlowTest, MuchIsReadIntoMemoryThatBeginsAtAPage) {
  on_host([] {
    auto [a, b] = testing::socket_pair();
    auto below = std::make_unique<Measured>(std::move(a));
    const Measured& measured = *below;
    Connected both = connected_over({std::move(below), std::move(b)});
    exchange(both.client, both.server, 1 << 20);
    EXPECT_GT(measured.large_reads, 0);
    EXPECT_EQ(measured.farthest_from_page, 0u);
  });
}

TEST_F(TlsFlowTest, AByteAtATime) {
  on_host([] {
    auto [a, b] = testing::socket_pair();
    Connected both = connected_over({std::make_unique<Trickle>(std::move(a)), std::make_unique<Trickle>(std::move(b))});
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    exchange(client, server, 40'000);  // more than two records
  });
}

TEST_F(TlsFlowTest, AllSizesArrive) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    // Around what a record holds, and what reading takes at once.
    for (const std::size_t size : {1, 4095, 4096, 4097, 16383, 16384, 16385, 17408, 32768, 32769}) {
      const std::string text = text_of(size);
      auto writer = spawn("writer", [&] { client.write_all(text); });
      EXPECT_TRUE(*server.read_exact(size) == text) << size;
      writer.join();
    }
  });
}

TEST_F(TlsFlowTest, SmallPiecesShareARecord) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    const std::size_t before = gate->written();
    both.client.write_all(std::vector<std::string_view>{"GET / HTTP/1.1\r\n", "Host: x\r\n", "", "\r\n"});
    // A record costs 22 bytes: five before it, one within, sixteen behind.
    EXPECT_EQ(gate->written() - before, 16U + 9U + 2U + 22U);
    EXPECT_EQ(*both.server.read_until("\r\n\r\n"), "GET / HTTP/1.1\r\nHost: x");
    const std::string large = text_of(40'000);
    auto writer = spawn("writer", [&] { both.client.write_all(std::vector<std::string_view>{"a", large, "b", large, "c"}); });
    EXPECT_TRUE(*both.server.read_exact(80'003) == "a" + large + "b" + large + "c");
    writer.join();
  });
}

TEST_F(TlsFlowTest, WhatIsDecryptedCountsAsThere) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    client.write_all("one");
    client.write_all("two");
    std::byte room[2];
    // Nothing more comes from below, and still there is something to read.
    EXPECT_EQ(server.read_some(room).size(), 2U);
    std::string rest = *server.read_exact(4, kNow);
    EXPECT_EQ(rest, "etwo");
  });
}

TEST_F(TlsFlowTest, WhoWaitsBehindAnotherGetsWhatThatOneHasRead) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    std::vector<char> got;
    const auto read = [&] {
      std::byte room[1];
      if (server.read_some(room)) got.push_back(static_cast<char>(room[0]));
    };
    std::vector<Fiber<void>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(spawn("reader", read));
    settle();
    client.write_all("abc");  // one record: the first reader takes all of it from below
    for (auto& reader : readers) reader.join();
    EXPECT_THAT(got, ElementsAre('a', 'b', 'c'));
  });
}

TEST_F(TlsFlowTest, SeveralWritersMixNoRecords) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    std::vector<Fiber<void>> writers;
    for (const char letter : {'a', 'b', 'c'}) {
      writers.push_back(spawn("writer", [letter, &client] {
        for (int i = 0; i < 20; ++i) client.write_all(std::string(10'000, letter));
      }));
    }
    const std::string all = *server.read_exact(600'000);
    for (const char letter : {'a', 'b', 'c'}) EXPECT_EQ(std::count(all.begin(), all.end(), letter), 200'000);
    // Each write is one record, and stays together.
    for (std::size_t at = 0; at < all.size(); at += 10'000) ASSERT_EQ(all.substr(at, 10'000), std::string(10'000, all[at]));
    for (auto& writer : writers) writer.join();
  });
}

// --- messages between the data -------------------------------------------------------------------------------------------------

struct RawServer {
  Gate* gate;  // before the client
  TlsStream client;
  std::unique_ptr<Socket> below;
  std::unique_ptr<RawTls> server;
};
RawServer raw_server(RawTls::Options options = {}, const TlsContext& context = trusting()) {
  options.is_server = true;
  options.identity = server_identity();
  Socket a;
  Socket b;
  std::tie(a, b) = Socket::pair();
  auto below = std::make_unique<Socket>(std::move(b));
  auto server = std::make_unique<RawTls>(*below, options);
  auto gate = std::make_unique<Gate>(std::make_unique<Socket>(std::move(a)));
  Gate* const it = gate.get();
  auto shaking = spawn("server", [&] { server->shake_hands(); });
  TlsStream client = TlsStream::connect(context, std::unique_ptr<Stream>(std::move(gate)), "server.test");
  shaking.join();
  return {it, std::move(client), std::move(below), std::move(server)};
}

TEST_F(TlsFlowTest, NewKeysAreAnswered) {
  on_host([] {
    RawServer both = raw_server();
    auto reader = spawn("reader", [&] { return *both.client.read_line(); });
    settle();
    ASSERT_EQ(SSL_key_update(both.server->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(both.server->run([&] { return SSL_do_handshake(both.server->ssl()); }), 1);
    settle();
    EXPECT_TRUE(reader.is_alive());
    both.server->write("after\n");
    EXPECT_EQ(reader.join(), "after");
    const std::size_t before = both.gate->written();
    both.client.write_all("with new keys\n");
    EXPECT_EQ(both.gate->written() - before, (5U + 22U) + (14U + 22U)) << "a record to say so goes before the text's";
    EXPECT_EQ(both.server->read(14), "with new keys\n");
  });
}

TEST_F(TlsFlowTest, NewKeysAllTheWhile) {
  on_host([] {
    RawServer both = raw_server();
    const std::string text = text_of(200'000);
    auto writer = spawn("writer", [&] { both.client.write_all(text); });
    auto reader = spawn("reader", [&] { return *both.client.read_exact(text.size()); });
    std::string got;
    for (std::size_t at = 0; at < text.size(); at += 10'000) {
      ASSERT_EQ(SSL_key_update(both.server->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
      both.server->write(text.substr(at, 10'000));
      got += both.server->read(10'000);
    }
    EXPECT_TRUE(reader.join() == text);
    EXPECT_TRUE(got == text);
    writer.join();
  });
}

TEST_F(TlsFlowTest, AFloodOfTicketsKeepsNobodyBeyondHisLimit) {
  on_host([] {
    RawServer both = raw_server();
    SSL_CTX_set_num_tickets(SSL_get_SSL_CTX(both.server->ssl()), 1);
    std::string flood;
    while (flood.size() < 100'000) {
      ASSERT_EQ(SSL_new_session_ticket(both.server->ssl()), 1);
      ASSERT_EQ(SSL_do_handshake(both.server->ssl()), 1);
      flood += both.server->take_output();
    }
    auto writer = spawn("writer", [&] {
      both.below->write_all(flood);
      both.server->write("at last\n");
    });
    settle();
    Signal enough;
    enough.go();
    EXPECT_EQ(both.client.read_line(enough).why(), Why::stopped);
    const std::size_t after_one = both.gate->readable();
    EXPECT_GT(after_one, Gate::kAll - flood.size()) << "not all of it was read";
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    EXPECT_LT(both.gate->readable(), after_one) << "and still each call gets further";
    EXPECT_EQ(*both.client.read_line(), "at last");
    writer.join();
  });
}

// A message of the handshake's kind in several records: OpenSSL writes nothing before it has all of it. Of the client's certificate in the
// ticket it gets that long.
struct HalfATicket : RawServer {
  HalfATicket()
      : RawServer(raw_server({.asks_for_certificate = true}, trusting({.identity = authority().issue({.common_name = "a client"})}))) {
    SSL_CTX_set_num_tickets(SSL_get_SSL_CTX(server->ssl()), 1);
    EXPECT_EQ(SSL_set_max_send_fragment(server->ssl(), 512), 1);
    EXPECT_EQ(SSL_new_session_ticket(server->ssl()), 1);
    EXPECT_EQ(SSL_do_handshake(server->ssl()), 1);
    ticket = server->take_output();
    EXPECT_GT(ticket.size(), 600U);
  }
  void send_half() { below->write_all(std::string_view(ticket).substr(0, 540)); }
  void send_rest() { below->write_all(std::string_view(ticket).substr(540)); }
  std::string ticket;
};

TEST_F(TlsFlowTest, AWriterWaitsForTheRestOfAMessageThatAnotherReads) {
  on_host([] {
    HalfATicket both;
    auto reader = spawn("reader", [&] { return *both.client.read_line(); });
    both.send_half();
    settle();
    auto writer = spawn("writer", [&] { both.client.write_all("written\n"); });
    auto given_up = spawn("given up", [&] { return both.client.write_some("not this", kNow).size(); });
    settle();
    EXPECT_TRUE(writer.is_alive());
    both.send_rest();
    // The reader gets nothing, and still the writer goes on.
    EXPECT_EQ(both.server->read(8), "written\n");
    writer.join();
    EXPECT_EQ(given_up.join(), 0U);
    both.server->write("read\n");
    EXPECT_EQ(reader.join(), "read");
  });
}

TEST_F(TlsFlowTest, AWriterReadsTheRestOfAMessageItself) {
  on_host([] {
    HalfATicket both;
    both.send_half();
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    EXPECT_EQ(both.client.write_some("not this", kNow).size(), 0U);
    auto writer = spawn("writer", [&] { both.client.write_all("written\n"); });
    settle();
    both.send_rest();
    EXPECT_EQ(both.server->read(8), "written\n");
    writer.join();
  });
}

// The reader goes, and with it who would have read the rest.
TEST_F(TlsFlowTest, AWriterTakesOverFromAReaderThatGoes) {
  on_host([] {
    HalfATicket both;
    Signal enough;
    auto reader = spawn("reader", [&] { return both.client.read_line(enough).why(); });
    auto cancelled = spawn("cancelled", [&] { return both.client.read_line().why(); });
    both.send_half();
    settle();
    auto writer = spawn("writer", [&] { both.client.write_all("written\n"); });
    settle();
    enough.go();
    EXPECT_EQ(reader.join(), Why::stopped);
    EXPECT_THROW(cancelled.cancel().join(), WasCancelled);
    both.send_rest();
    EXPECT_EQ(both.server->read(8), "written\n");
    writer.join();
  });
}

TEST_F(TlsFlowTest, AnEndWaitsForTheRestOfAMessage) {
  on_host([] {
    HalfATicket both;
    both.send_half();
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    EXPECT_THROW(both.client.shut_down_writing(kNow), Timedout);
    both.send_rest();
    both.client.shut_down_writing();
    EXPECT_EQ(both.server->read(1), "");
    EXPECT_EQ(SSL_get_shutdown(both.server->ssl()), SSL_RECEIVED_SHUTDOWN);
  });
}

}  // namespace
}  // namespace cooperative
