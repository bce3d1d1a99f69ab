#include <openssl/err.h>
#include <openssl/ssl.h>

#include <random>
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
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::NothingLeft;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::authority;
using testing::connected;
using testing::Connected;
using testing::on_host;
using testing::RawTls;
using testing::serving;
using testing::trusting;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using TlsTest = NothingLeft;

// --- slow, silent and strange clients ------------------------------------------------------------------------------------------

TEST_F(TlsTest, ASlowClientDelaysNobodyAndHasALimit) {
  on_virtual_time([](VirtualClock& clock) {
    Socket listening = listen(Address::loopback(0));
    const TlsContext context = serving();
    std::string end;
    auto acceptor = spawn("acceptor", [&] {
      std::vector<Fiber<void>> sessions;
      for (int i = 0; i < 2; ++i) {
        sessions.push_back(spawn("session", [&, it = listening.accept()]() mutable {
          end += what_of<Timedout>([&] {
            TlsStream stream = TlsStream::accept(context, std::move(it), absl::Seconds(10));
            stream.write_all("served\n");
          });
        }));
      }
      for (auto& session : sessions) session.join();
    });
    Socket slow = connect(listening.local_address());
    slow.write_all(std::string_view("\x16\x03\x01", 3));  // a record begins
    {
      TlsStream quick = TlsStream::connect(trusting(), connect(listening.local_address()), "server.test");
      EXPECT_EQ(*quick.read_line(), "served");
    }
    EXPECT_THAT(end, IsEmpty());
    clock.advance(absl::Seconds(10));
    acceptor.join();
    EXPECT_THAT(end, AllOf(StartsWith("TLS server over tcp socket 127.0.0.1:"), HasSubstr("timed out before it could shake hands")));
    EXPECT_EQ(slow.read_line().why(), Why::closed);
  });
}

TEST_F(TlsTest, ASilentServerMeetsALimit) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    EXPECT_THAT(what_of<Timedout>([&] { static_cast<void>(TlsStream::connect(trusting(), a, "server.test", absl::ZeroDuration())); }),
                HasSubstr("timed out before it could shake hands"));
    Signal enough;
    enough.go();
    EXPECT_THAT(what_of<Stopped>([&] { static_cast<void>(TlsStream::connect(trusting(), a, "server.test", enough)); }),
                HasSubstr("stopped before it could shake hands"));
    EXPECT_TRUE(a.is_open());
  });
}

TEST_F(TlsTest, AHandshakeIsCancelled) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    auto client = spawn("client", [&a] { static_cast<void>(TlsStream::connect(trusting(), a, "server.test")); });
    yield();
    EXPECT_GT(b.readable_bytes(), 0U);
    EXPECT_THROW(client.cancel().join(), WasCancelled);
    EXPECT_TRUE(a.is_open());
  });
}

TEST_F(TlsTest, WhoSpeaksHttpIsToldApart) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    a.write_all("GET / HTTP/1.1\r\nHost: server.test\r\n\r\n");
    EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(TlsStream::accept(serving(), b)); }),
                AllOf(StartsWith("TLS server over stream socket"), HasSubstr("cannot shake hands: "), HasSubstr("SSL routines: http request")));
  });
}

TEST_F(TlsTest, GarbageIsAnError) {
  on_host([] {
    for (const std::string& garbage : {std::string("\x16\x03\x01\x00\x05xxxxx", 10), std::string(1000, '\0'), std::string(1000, '\xff'),
                                       std::string("SSH-2.0-OpenSSH_9.2\r\n")}) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      a.write_all(garbage);
      a.shut_down_writing();
      EXPECT_THROW(static_cast<void>(TlsStream::accept(serving(), b)), TlsError);
      Socket c;
      Socket d;
      std::tie(c, d) = Socket::pair();
      c.write_all(garbage);
      c.shut_down_writing();
      EXPECT_THROW(static_cast<void>(TlsStream::connect(trusting(), d, "server.test")), TlsError);
    }
  });
}

// Whatever a client says instead of its first words, the server gets an error, and never waits for ever.
TEST_F(TlsTest, DamagedHandshakesAreErrors) {
  on_host([] {
    Socket nowhere;
    std::string hello;
    {
      RawTls client(nowhere, {});
      SSL_do_handshake(client.ssl());
      hello = client.take_output();
    }
    ASSERT_GT(hello.size(), 100U);
    const TlsContext context = serving({.client_certificates = ClientCertificates::wanted, .trusted = authority().pem(), .protocols = {"h2"}});
    std::mt19937 random(1);
    for (int round = 0; round < 500; ++round) {
      std::string damaged = hello;
      for (unsigned int i = 0; i < 1 + random() % 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
      if (round % 5 == 0) damaged.resize(random() % damaged.size());
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      a.write_all(damaged);
      a.shut_down_writing();
      EXPECT_THROW(static_cast<void>(TlsStream::accept(context, b)), TlsError) << round;
    }
  });
}

TEST_F(TlsTest, AServerWithoutTlsIsAnError) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    b.write_all("220 mail.test ESMTP\r\n");
    try {
      static_cast<void>(TlsStream::connect(trusting(), a, "server.test"));
      FAIL();
    } catch (const TlsError& error) {
      EXPECT_THAT(error.what(), HasSubstr("SSL routines: wrong version number"));
      EXPECT_STREQ(error.code().category().name(), "openssl");
      EXPECT_EQ(error.code().message(), "SSL routines: wrong version number");
      EXPECT_EQ(ERR_GET_REASON(static_cast<unsigned long>(static_cast<unsigned int>(error.code().value()))), SSL_R_WRONG_VERSION_NUMBER);
    }
  });
}

TEST_F(TlsTest, WhoGoesDuringTheHandshakeIsNoEnd) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    a.close();
    EXPECT_THAT(what_of<TlsTruncated>([&] { static_cast<void>(TlsStream::accept(serving(), b)); }), HasSubstr("ended the connection"));
  });
}

// The queue is the thread's: what others leave there is not ours.
TEST_F(TlsTest, ErrorsOfOthersAreTheirs) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    auto reader = spawn("reader", [&server] { return server.read_line(); });
    yield();
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    client.write_all("good");
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    yield();
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    client.write_all("\n");
    EXPECT_EQ(*reader.join(), "good");
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    b.write_all("220 mail.test ESMTP\r\n");
    EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(TlsStream::connect(trusting(), a, "server.test")); }),
                AllOf(HasSubstr("wrong version number"), ::testing::Not(HasSubstr("bad length"))));
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(trusting({.trusted = Pem{.text = "nothing"}})); }),
                ::testing::Not(HasSubstr("bad length")));
  });
}

}  // namespace
}  // namespace cooperative
