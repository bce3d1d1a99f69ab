#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
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
using ::testing::HasSubstr;

using TlsTest = NothingLeft;

// --- protocols (ALPN) ----------------------------------------------------------------------------------------------------------

struct Agreed {
  std::string client;
  std::string server;
  std::string error;
  std::string server_error;
};

Agreed agreed(const std::vector<std::string>& of_client, const std::vector<std::string>& of_server) {
  Agreed result;
  Socket a;
  Socket b;
  std::tie(a, b) = Socket::pair();
  const TlsContext context = serving({.protocols = of_server});
  auto server = spawn("server", [&, it = std::move(b)]() mutable {
    result.server_error = what_of<TlsError>([&] { result.server = TlsStream::accept(context, std::move(it)).selected_protocol(); });
  });
  result.error = what_of<TlsError>(
      [&] { result.client = TlsStream::connect(trusting({.protocols = of_client}), std::move(a), "server.test").selected_protocol(); });
  server.join();
  return result;
}

TEST_F(TlsTest, BothAgreeOnAProtocol) {
  on_host([] {
    const Agreed result = agreed({"http/1.1", "h2"}, {"h2", "http/1.1"});
    EXPECT_EQ(result.client, "h2") << "the server's liking counts";
    EXPECT_EQ(result.server, "h2");
    EXPECT_EQ(agreed({"h2", "http/1.1"}, {"http/1.1"}).client, "http/1.1");
    const std::string longest(255, 'x');
    EXPECT_EQ(agreed({longest}, {longest}).server, longest);
  });
}

TEST_F(TlsTest, WithNothingToAgreeOnTheyGoOn) {
  on_host([] {
    EXPECT_EQ(agreed({}, {"h2"}).client, "");
    EXPECT_EQ(agreed({"h2"}, {}).server, "");
    EXPECT_EQ(agreed({"h2"}, {}).error, "");
  });
}

TEST_F(TlsTest, WhoOffersOtherProtocolsIsRefused) {
  on_host([] {
    const Agreed result = agreed({"spdy"}, {"h2", "http/1.1"});
    EXPECT_THAT(result.server_error, HasSubstr("no application protocol"));
    EXPECT_THAT(result.error, HasSubstr("alert no application protocol"));
  });
}

TEST_F(TlsTest, ProtocolsHaveNames) {
  for (const std::string& bad : {std::string(), std::string(256, 'x')}) {
    EXPECT_THAT(what_of<Misuse>([&] { trusting({.protocols = {bad}}); }), HasSubstr("1 to 255 bytes"));
    EXPECT_THAT(what_of<Misuse>([&] { serving({.protocols = {bad}}); }), HasSubstr("1 to 255 bytes"));
  }
  EXPECT_NO_THROW(trusting({.protocols = std::vector<std::string>(255, std::string(255, 'x'))}));
  EXPECT_THAT(what_of<Misuse>([&] { trusting({.protocols = std::vector<std::string>(256, std::string(255, 'x'))}); }),
              HasSubstr("65535 bytes"));
}

// --- versions ------------------------------------------------------------------------------------------------------------------

TEST_F(TlsTest, Tls12IsSpoken) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    auto server = spawn("server", [it = std::move(b)]() mutable {
      TlsStream stream = TlsStream::accept(serving(), std::move(it));
      EXPECT_EQ(*stream.read_line(), "asked");
      stream.write_all("answered\n");
      stream.shut_down_writing();
      // Half of it has ended.
      EXPECT_EQ(*stream.read_line(), "more");
      EXPECT_EQ(stream.read_line().why(), Why::closed);
      return stream.version();
    });
    RawTls client(a, {.max_version = TLS1_2_VERSION});
    client.shake_hands();
    client.write("asked\n");
    EXPECT_EQ(client.read(100), "answered\n");
    EXPECT_EQ(SSL_get_shutdown(client.ssl()), SSL_RECEIVED_SHUTDOWN);
    client.write("more\n");
    client.run([&] { return SSL_shutdown(client.ssl()); });
    EXPECT_EQ(server.join(), "TLSv1.2");
  });
}

// Whoever records a connection, and gets hold of the server's key later, could read it.
TEST_F(TlsTest, KeysThatTheServersKeyEncryptsAreRefusedUnlessOneAsks) {
  on_host([] {
    constexpr const char* kStatic = "AES128-GCM-SHA256";
    const TlsIdentity rsa = authority().issue({.key = testing::KeyKind::rsa});
    for (const bool allowed : {false, true}) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      auto server = spawn("server", [&, it = std::move(b)]() mutable -> std::string {
        try {
          return TlsStream::accept(serving({.identities = {rsa}, .static_rsa = allowed}), std::move(it)).cipher();
        } catch (const TlsError& error) {
          return error.what();
        }
      });
      RawTls client(a, {.max_version = TLS1_2_VERSION});
      ASSERT_EQ(SSL_set_cipher_list(client.ssl(), kStatic), 1);
      EXPECT_EQ(client.run([&] { return SSL_do_handshake(client.ssl()); }) == 1, allowed);
      EXPECT_THAT(server.join(), HasSubstr(allowed ? kStatic : "no shared cipher"));
    }
    for (const bool allowed : {false, true}) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      auto server = spawn("server", [&, it = std::move(b)]() mutable {
        RawTls raw(it, {.is_server = true, .max_version = TLS1_2_VERSION, .identity = rsa});
        EXPECT_EQ(SSL_set_cipher_list(raw.ssl(), kStatic), 1);
        return raw.run([&] { return SSL_do_handshake(raw.ssl()); }) == 1;
      });
      std::string end;
      try {
        end = TlsStream::connect(trusting({.static_rsa = allowed}), std::move(a), "server.test").cipher();
      } catch (const TlsError& error) {
        end = error.what();
      }
      EXPECT_THAT(end, HasSubstr(allowed ? kStatic : "handshake failure"));
      EXPECT_EQ(server.join(), allowed);
    }
  });
}

// What TLS 1.2 has beside that stays as the system's settings say.
TEST_F(TlsTest, EphemeralKeysOfTls12AreTaken) {
  on_host([] {
    const TlsIdentity rsa = authority().issue({.key = testing::KeyKind::rsa});
    for (const char* const cipher : {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"}) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      auto server = spawn("server", [&, it = std::move(b)]() mutable { return TlsStream::accept(serving({.identities = {rsa}}), std::move(it)).cipher(); });
      RawTls client(a, {.max_version = TLS1_2_VERSION});
      ASSERT_EQ(SSL_set_cipher_list(client.ssl(), cipher), 1);
      client.shake_hands();
      EXPECT_EQ(server.join(), cipher);
    }
  });
}

// --- sessions that are resumed ---------------------------------------------------------------------------------------------------

// Connects, and has the server say a line, behind its tickets if there are any. Whether both say that the session was resumed.
bool is_resumed(const TlsContext& client, const TlsContext& server, std::string_view host = "server.test") {
  Socket a;
  Socket b;
  std::tie(a, b) = Socket::pair();
  auto other = spawn("server", [&server, it = std::move(b)]() mutable {
    TlsStream stream = TlsStream::accept(server, std::move(it));
    stream.write_all("line\n");
    EXPECT_EQ(*stream.read_line(), "answer");
    stream.shut_down_writing();
    return stream.is_resumed();
  });
  TlsStream stream = TlsStream::connect(client, std::move(a), host);
  EXPECT_EQ(*stream.read_line(), "line");
  EXPECT_EQ(stream.peer_certificate_subject(), "CN=server.test");
  stream.write_all("answer\n");
  EXPECT_EQ(stream.read_line().why(), Why::closed);
  EXPECT_EQ(other.join(), stream.is_resumed());
  return stream.is_resumed();
}

TEST_F(TlsTest, ASessionIsResumedWhereBothSidesWantThat) {
  on_host([] {
    const TlsContext both[]{trusting({.resumes = true}), serving({.tickets = 2})};
    EXPECT_FALSE(is_resumed(both[0], both[1]));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(is_resumed(both[0], both[1])) << i;
    EXPECT_FALSE(is_resumed(both[0], serving({.tickets = 2}))) << "another server's context";
    EXPECT_FALSE(is_resumed(trusting({.resumes = true}), both[1])) << "another client's context";
    for (const TlsContext& client : {trusting(), trusting({.resumes = true})}) {
      const TlsContext plain = serving();
      for (int i = 0; i < 2; ++i) EXPECT_FALSE(is_resumed(client, plain)) << "without tickets";
    }
    const TlsContext forgets = trusting();
    for (int i = 0; i < 2; ++i) EXPECT_FALSE(is_resumed(forgets, both[1])) << "of a client that keeps none";
  });
}

TEST_F(TlsTest, ASessionIsResumedWithItsHostAloneAndOnce) {
  on_host([] {
    const TlsContext client = trusting({.resumes = true});
    const TlsContext server = serving({.identities = {authority().issue({.alternatives = {"DNS:a.test", "DNS:b.test"}})}, .tickets = 1});
    EXPECT_FALSE(is_resumed(client, server, "a.test"));
    EXPECT_FALSE(is_resumed(client, server, "b.test"));
    EXPECT_TRUE(is_resumed(client, server, "a.test"));
    // One that is used by an attempt that fails is not used again.
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    b.close();
    EXPECT_ANY_THROW(static_cast<void>(TlsStream::connect(client, std::move(a), "a.test")));
    EXPECT_FALSE(is_resumed(client, server, "a.test"));
    EXPECT_TRUE(is_resumed(client, server, "b.test"));
  });
}

TEST_F(TlsTest, ASessionIsResumedForAnHour) {
  on_virtual_time([](VirtualClock& clock) {
    const TlsContext client = trusting({.resumes = true});
    const TlsContext server = serving({.tickets = 1});
    EXPECT_FALSE(is_resumed(client, server));
    clock.advance(kTlsResumeTime);
    EXPECT_TRUE(is_resumed(client, server));
    clock.advance(kTlsResumeTime + absl::Nanoseconds(1));
    EXPECT_FALSE(is_resumed(client, server));
  });
}

TEST_F(TlsTest, AServerKnowsItsClientAlsoInASessionThatIsResumed) {
  on_host([] {
    const TlsContext client = trusting({.identity = authority().issue({.common_name = "a client", .alternatives = {}}), .resumes = true});
    const TlsContext server = serving({.client_certificates = ClientCertificates::required, .trusted = authority().pem(), .tickets = 1});
    for (const bool again : {false, true}) {
      Connected both = connected(client, server);
      both.server.write_all("x\n");
      EXPECT_EQ(*both.client.read_line(), "x");
      EXPECT_EQ(both.server.is_resumed(), again);
      EXPECT_EQ(both.server.peer_certificate_subject(), "CN=a client");
      both.server.shut_down_writing();
    }
  });
}

TEST_F(TlsTest, WhatIsTooOldIsRefused) {
  on_host([] {
    for (const auto& [least, offered] : {std::pair(TlsVersion::v1_3, TLS1_2_VERSION), std::pair(TlsVersion::v1_2, TLS1_1_VERSION)}) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      std::string error;
      auto server = spawn("server", [&, it = std::move(b), least = least]() mutable {
        error = what_of<TlsError>([&] { static_cast<void>(TlsStream::accept(serving({.min_version = least}), std::move(it))); });
      });
      RawTls client(a, {.max_version = offered});
      SSL_set_security_level(client.ssl(), 0);
      SSL_set_min_proto_version(client.ssl(), offered);
      EXPECT_THROW(client.shake_hands(), std::runtime_error);
      server.join();
      EXPECT_THAT(error, HasSubstr("unsupported protocol"));
    }
  });
}

TEST_F(TlsTest, NothingIsRenegotiated) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    auto server = spawn("server", [it = std::move(b)]() mutable {
      TlsStream stream = TlsStream::accept(serving(), std::move(it));
      return *stream.read_line();
    });
    RawTls client(a, {.max_version = TLS1_2_VERSION});
    client.shake_hands();
    client.write("before ");
    ASSERT_EQ(SSL_renegotiate(client.ssl()), 1);
    int reason = 0;
    EXPECT_LE(client.run([&] {
      const int result = SSL_do_handshake(client.ssl());
      reason = ERR_GET_REASON(ERR_peek_error());
      return result;
    }),
              0);
    EXPECT_EQ(reason, SSL_R_NO_RENEGOTIATION);
    a.close();
    EXPECT_THROW(server.join(), TlsError);
  });
}

}  // namespace
}  // namespace cooperative
