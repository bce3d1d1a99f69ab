// How TLS ends: each half by itself, by what was cut or changed on the way, by close().

#include <memory>
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
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::testing::NothingLeft;
using mothreads::testing::what_of;
using testing::authority;
using testing::Connected;
using testing::connected;
using testing::connected_over;
using testing::Gate;
using testing::Gated;
using testing::gated;
using testing::on_host;
using testing::serving;
using testing::settle;
using testing::text_of;
using testing::trusting;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kNow = absl::ZeroDuration();

class TlsEndTest : public NothingLeft {};

// --- ends ----------------------------------------------------------------------------------------------------------------------

TEST_F(TlsEndTest, EachHalfEndsByItself) {
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

TEST_F(TlsEndTest, AnEndThatNobodySaidIsNone) {
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

TEST_F(TlsEndTest, ARecordThatWasCutIsNoEnd) {
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

TEST_F(TlsEndTest, WhatWasChangedOnTheWayIsAnError) {
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

TEST_F(TlsEndTest, CloseEndsAllWhoWait) {
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
TEST_F(TlsEndTest, AWriterHearsWhyTheOtherSideWent) {
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
TEST_F(TlsEndTest, WhoOnlyWritesAndClosesLosesNothing) {
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

}  // namespace
}  // namespace cooperative
