// How bytes flow through TLS: both ways at once, in pieces, across limits, cancellations and ends.

#include <openssl/ssl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::NothingLeft;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::authority;
using testing::connected;
using testing::connected_over;
using testing::Connected;
using testing::Gate;
using testing::on_host;
using testing::RawTls;
using testing::server_identity;
using testing::serving;
using testing::Trickle;
using testing::trusting;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kNow = absl::ZeroDuration();

class TlsFlowTest : public NothingLeft {};

// Text in which no part is like another.
std::string text_of(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ' ';
  text.resize(size);
  return text;
}

// Until nobody has anything left to do.
void settle() { static_cast<void>(yield_until_idle()); }

// Two, of which the client's side goes through a gate.
struct Gated {
  Gate* gate;
  Connected both;
};
Gated gated(const TlsContext& client = trusting(), const TlsContext& server = serving()) {
  auto [a, b] = testing::socket_pair();
  auto gate = std::make_unique<Gate>(std::move(a));
  Gate* const it = gate.get();
  return {it, connected_over({std::move(gate), std::move(b)}, client, server)};
}

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

// --- ends ----------------------------------------------------------------------------------------------------------------------

TEST_F(TlsFlowTest, EachHalfEndsByItself) {
  on_host([] {
    for (const bool client_first : {true, false}) {
      Connected both = connected();
      TlsStream& client = both.client;
      TlsStream& server = both.server;
      TlsStream& first = client_first ? client : server;
      TlsStream& other = client_first ? server : client;
      first.write_all("last");
      first.shut_down_writing();
      EXPECT_EQ(*other.read_all(100), "last");
      other.write_all("answer\n");
      EXPECT_EQ(*first.read_line(), "answer");
      other.write_all("and more");
      other.shut_down_writing();
      EXPECT_EQ(*first.read_all(100), "and more");
      first.shut_down_writing();  // again: nothing
      EXPECT_THAT(what_of<IoError>([&] { first.write_all("x"); }), HasSubstr("shut_down_writing() was called"));
    }
  });
}

TEST_F(TlsFlowTest, AnEndThatNobodySaidIsNone) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    client.write_all("a line\nhalf a l");
    client.close();  // what somebody in between can do, too
    EXPECT_EQ(*server.read_line(), "a line");
    const auto read = [&] { static_cast<void>(server.read_line()); };
    EXPECT_THAT(what_of<TlsTruncated>(read), AllOf(StartsWith("TLS server over"), HasSubstr("may have been cut off")));
    EXPECT_EQ(server.buffered(), "half a l");
    EXPECT_THROW(read(), TlsTruncated) << "not an end at the second time either";
  });
}

TEST_F(TlsFlowTest, ARecordThatWasCutIsNoEnd) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(20);
    EXPECT_THROW(both.client.write_all("a line\n", kNow), WriteTimedout);
    both.client.close();
    EXPECT_THROW(static_cast<void>(both.server.read_line()), TlsTruncated);
  });
}

TEST_F(TlsFlowTest, WhatWasChangedOnTheWayIsAnError) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    Socket c;
    Socket d;
    std::tie(c, d) = Socket::pair();
    // Somebody in between: hands on what comes, and changes a bit when told to.
    bool changes = false;
    const auto hand_on = [&changes](Socket& from, Socket& to) {
      std::byte room[4096];
      while (const Received got = from.read_some(room)) {
        if (changes) room[got.size() - 1] ^= std::byte{1};
        to.write_all(std::span<const std::byte>(room, got.size()));
      }
    };
    auto there = spawn("there", hand_on, std::ref(b), std::ref(c));
    auto back = spawn("back", hand_on, std::ref(c), std::ref(b));
    Connected both = connected_over({std::make_unique<Socket>(std::move(a)), std::make_unique<Socket>(std::move(d))});
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    client.write_all("good\n");
    EXPECT_EQ(*server.read_line(), "good");
    changes = true;
    client.write_all("bad\n");
    EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(server.read_line()); }), HasSubstr("bad record mac"));
    // It is over for this side, whoever asks.
    EXPECT_THAT(what_of<TlsError>([&] { server.write_all("x"); }), HasSubstr("bad record mac"));
    there.cancel();
    back.cancel();
    EXPECT_THROW(there.join(), WasCancelled);
    EXPECT_THROW(back.join(), WasCancelled);
  });
}

TEST_F(TlsFlowTest, CloseEndsAllWhoWait) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    TlsStream& client = both.client;
    gate->allow_writing(0);
    int closed = 0;
    std::vector<Fiber<void>> waiters;
    const auto wait = [&](auto act) {
      waiters.push_back(spawn("waiter", [&closed, act] {
        try {
          act();
        } catch (const Closed&) {
          ++closed;
        }
      }));
    };
    // Of each kind one that is at it, and one that waits for its turn.
    for (int i = 0; i < 2; ++i) wait([&client] { static_cast<void>(client.read_line()); });
    for (int i = 0; i < 2; ++i) wait([&client] { client.write_all("x"); });
    wait([&client] { client.shut_down_writing(); });
    settle();
    EXPECT_TRUE(client.is_open());
    client.close();
    EXPECT_FALSE(client.is_open());
    gate->allow_writing(Gate::kAll);  // this test's stream does not know of closing
    for (auto& waiter : waiters) waiter.join();
    EXPECT_EQ(closed, 5);
    EXPECT_THROW(client.write_all("x"), Closed);
    EXPECT_THROW(static_cast<void>(client.read_line()), Closed);
    EXPECT_THROW(client.shut_down_writing(), Closed);
    client.close();
  });
}

// The last word of the other side says more than that it has gone.
TEST_F(TlsFlowTest, AWriterHearsWhyTheOtherSideWent) {
  on_host([] {
    const TlsContext context = serving({.client_certificates = ClientCertificates::required, .trusted = authority().pem()});
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    auto server = spawn("server", [&context, it = std::move(b)]() mutable {
      EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(TlsStream::accept(context, std::move(it))); }), HasSubstr("did not return a certificate"));
    });
    TlsStream client = TlsStream::connect(trusting(), std::move(a), "server.test");
    server.join();
    EXPECT_THAT(what_of<TlsError>([&] { client.write_all("asked\n"); }), AllOf(HasSubstr("cannot write"), HasSubstr("alert certificate required")));

    Connected others = connected();
    others.server.close();
    EXPECT_THAT(what_of<IoError>([&] { others.client.write_all("asked\n"); }), HasSubstr("Broken pipe"));
  });
}

// A server that sent tickets after its handshake would have them lie unread here, and the kernel would then throw away what the client sent.
TEST_F(TlsFlowTest, WhoOnlyWritesAndClosesLosesNothing) {
  on_host([] {
    Socket listening = listen(Address::loopback(0));
    const TlsContext context = serving();
    Signal may_read;
    auto server = spawn("server", [&] {
      TlsStream stream = TlsStream::accept(context, listening.accept());
      may_read.wait();
      return stream.read_all(1 << 20)->size();
    });
    {
      TlsStream client = TlsStream::connect(trusting(), connect(listening.local_address()), "server.test");
      client.write_all(text_of(30'000));
      client.shut_down_writing();
      client.close();
    }
    settle();
    may_read.go();
    EXPECT_EQ(server.join(), 30'000U);
  });
}

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST_F(TlsFlowTest, AReadThatWasCutShortLosesNothing) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    both.server.write_all("a line\nand ");
    gate->allow_reading(10);  // less than a record
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    gate->allow_reading(1);
    Signal enough;
    auto reader = spawn("reader", [&] { return both.client.read_line(enough).why(); });
    settle();
    enough.go();
    EXPECT_EQ(reader.join(), Why::stopped);
    gate->allow_reading(Gate::kAll);
    EXPECT_EQ(*both.client.read_line(), "a line");
    both.server.write_all("more\n");
    EXPECT_EQ(*both.client.read_line(), "and more");
  });
}

TEST_F(TlsFlowTest, AReaderThatIsCancelledTakesNothingWithIt) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    both.server.write_all("a line\n");
    gate->allow_reading(10);
    auto first = spawn("first", [&] { return both.client.read_line(); });
    auto second = spawn("second", [&] { return both.client.read_line(); });
    auto third = spawn("third", [&] { return both.client.read_line(); });
    settle();
    EXPECT_THROW(static_cast<void>(first.cancel().join()), WasCancelled);
    EXPECT_THROW(static_cast<void>(second.cancel().join()), WasCancelled);
    gate->allow_reading(Gate::kAll);
    EXPECT_EQ(*third.join(), "a line");
  });
}

TEST_F(TlsFlowTest, AWriteThatWasCutShortGoesOn) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    const std::string text = text_of(50'000);
    std::size_t written = 0;
    // Wherever that is: in a record, before one, behind one.
    for (const std::size_t allowance : {1, 100, 16406, 16406, 10'000}) {
      gate->allow_writing(allowance);
      try {
        both.client.write_all(std::string_view(text).substr(written), kNow);
        FAIL();
      } catch (const WriteTimedout& error) {
        EXPECT_THAT(error.what(), HasSubstr("timed out after"));
        written += error.written();
      }
      EXPECT_EQ(gate->writable(), 0U) << "what fits, goes";
    }
    EXPECT_LT(written, text.size());
    gate->allow_writing(Gate::kAll);
    auto writer = spawn("writer", [&] { both.client.write_all(std::string_view(text).substr(written)); });
    EXPECT_TRUE(*both.server.read_exact(text.size()) == text);
    writer.join();
  });
}

TEST_F(TlsFlowTest, AWriteThatCannotBeginTakesNothing) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    const Sent first = both.client.write_some("first ", kNow);
    EXPECT_EQ(first.why(), Why::timed_out);
    EXPECT_EQ(first.size(), 6U) << "in a record that goes out first the next time";
    const Sent second = both.client.write_some("second", kNow);
    EXPECT_EQ(second.why(), Why::timed_out);
    EXPECT_EQ(second.size(), 0U) << "no more is taken before that is out";
    gate->allow_writing(Gate::kAll);
    both.client.write_all("last\n");
    EXPECT_EQ(*both.server.read_line(), "first last");
  });
}

TEST_F(TlsFlowTest, AllTakenIsNotAllOut) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    try {
      both.client.write_all("a line\n", kNow);
      FAIL() << "a close() now would cut it off";
    } catch (const WriteTimedout& error) {
      EXPECT_EQ(error.written(), 7U);
    }
  });
}

TEST_F(TlsFlowTest, AWriterThatIsCancelledLeavesWholeRecords) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    auto first = spawn("first", [&] {
      both.client.write_all("first\n");  // is taken, before the cancellation comes
      yield();
    });
    auto second = spawn("second", [&] { both.client.write_all("second\n"); });
    auto third = spawn("third", [&] { both.client.write_all("third\n"); });
    settle();
    EXPECT_THROW(first.cancel().join(), WasCancelled);  // in the middle of its record
    EXPECT_THROW(second.cancel().join(), WasCancelled);  // waiting for its turn
    gate->allow_writing(Gate::kAll);
    third.join();
    EXPECT_EQ(*both.server.read_line(), "first");
    EXPECT_EQ(*both.server.read_line(), "third");
  });
}

TEST_F(TlsFlowTest, WhatACancelledFlushHasTakenIsNotSentAgain) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    const std::string text = text_of(20'000);
    auto writer = spawn("writer", [&] {
      both.client.write_later(text);
      both.client.flush();
    });
    settle();
    EXPECT_THROW(writer.cancel().join(), WasCancelled);  // after one record, before the next
    gate->allow_writing(Gate::kAll);
    both.client.write_all("\n");
    both.client.shut_down_writing();
    EXPECT_TRUE(*both.server.read_all(1 << 20) == text + "\n");
  });
}

TEST_F(TlsFlowTest, ACancelledWriterLeavesWholeRecordsInEachLayer) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected both = connected_over(
        {std::make_unique<TlsStream>(std::move(sides.both.client)), std::make_unique<TlsStream>(std::move(sides.both.server))});
    const std::string text = text_of(30'000);
    // Wherever that is, in the inner records or in the outer ones.
    std::string expected;
    for (const std::size_t allowance : {1, 16'000, 16'500, 20'000, 30'050}) {
      gate->allow_writing(allowance);
      std::size_t taken = 0;
      auto writer = spawn("writer", [&] {
        while (taken < text.size()) taken += both.client.write_some(std::string_view(text).substr(taken)).size();
        yield();
      });
      settle();
      EXPECT_THROW(writer.cancel().join(), WasCancelled);
      expected += text.substr(0, taken);
      gate->allow_writing(Gate::kAll);
      auto rest = spawn("rest", [&] { both.client.write_all("."); });
      expected += ".";
      EXPECT_TRUE(*both.server.read_exact(expected.size()) == expected) << allowance;
      expected.clear();
      rest.join();
    }
  });
}

TEST_F(TlsFlowTest, TurnsHaveLimits) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    auto reader = spawn("reader", [&] { return both.client.read_line(); });
    auto writer = spawn("writer", [&] { both.client.write_all("x\n"); });
    settle();
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    EXPECT_EQ(both.client.write_some("y", kNow).size(), 0U);
    EXPECT_THAT(what_of<Timedout>([&] { both.client.shut_down_writing(kNow); }), HasSubstr("timed out before it could end its stream"));
    gate->allow_writing(Gate::kAll);
    writer.join();
    EXPECT_EQ(*both.server.read_line(), "x");
    both.server.write_all("z\n");
    EXPECT_EQ(*reader.join(), "z");
  });
}

TEST_F(TlsFlowTest, AnEndThatWasCutShortGoesOn) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(3);
    EXPECT_THROW(both.client.shut_down_writing(kNow), Timedout);
    gate->allow_writing(Gate::kAll);
    both.client.shut_down_writing();
    EXPECT_EQ(both.server.read_line().why(), Why::closed);
  });
}

// What was to be written later goes first, and has no limit of its own.
TEST_F(TlsFlowTest, AnEndHasOneLimitForAllOfIt) {
  on_virtual_time([](VirtualClock& clock) {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    both.client.write_later("x");
    std::string end;
    auto writer = spawn("writer", [&] { end = what_of<Timedout>([&] { both.client.shut_down_writing(absl::Seconds(10)); }); });
    settle();
    clock.advance(absl::Seconds(6));
    gate->allow_writing(1 + 22);  // its record, and nothing behind it
    settle();
    EXPECT_EQ(gate->writable(), 0U);
    EXPECT_TRUE(writer.is_alive());
    clock.advance(absl::Seconds(4));
    settle();
    EXPECT_FALSE(writer.is_alive());
    EXPECT_THAT(end, HasSubstr("timed out before it could end its stream"));
    gate->allow_writing(Gate::kAll);
    writer.join();
    both.client.shut_down_writing();
    EXPECT_EQ(*both.server.read_all(10), "x");
  });
}

// What a limit has left of a request must go out while its writer waits for the answer.
TEST_F(TlsFlowTest, WhatIsLeftGoesOutWhileOneReads) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    auto server = spawn("server", [&] { both.server.write_all(*both.server.read_line() + "!\n"); });
    gate->allow_writing(10);
    EXPECT_EQ(both.client.write_some("request\n", kNow).size(), 8U);
    auto reader = spawn("reader", [&] { return *both.client.read_line(); });
    settle();
    EXPECT_TRUE(reader.is_alive());
    gate->allow_writing(Gate::kAll);
    EXPECT_EQ(reader.join(), "request!");
    server.join();
  });
}

TEST_F(TlsFlowTest, WhoReadsDoesNotWaitForRoomToWrite) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(10);
    EXPECT_EQ(both.client.write_some("request\n", kNow).size(), 8U);
    both.server.write_all("unasked\n");
    EXPECT_EQ(*both.client.read_line(), "unasked");
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    gate->allow_writing(Gate::kAll);
    both.client.write_all("next\n");
    EXPECT_EQ(*both.server.read_line(), "request");
    EXPECT_EQ(*both.server.read_line(), "next");
  });
}

TEST_F(TlsFlowTest, AStreamsOwnLimitIsKept) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    client.set_timeout(kNow);
    EXPECT_EQ(client.read_line().why(), Why::timed_out);
    server.write_all("x\n");
    EXPECT_EQ(*client.read_line(), "x");
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
