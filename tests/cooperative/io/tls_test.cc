#include "cooperative/io/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
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
using testing::server_identity;
using testing::serving;
using testing::trusting;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class TlsTest : public NothingLeft {};

// --- connections -------------------------------------------------------------------------------------------------------------

TEST_F(TlsTest, BytesGoBothWays) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    EXPECT_EQ(client.version(), "TLSv1.3");
    EXPECT_EQ(client.cipher(), server.cipher());
    EXPECT_THAT(client.cipher(), StartsWith("TLS_"));
    EXPECT_EQ(client.peer_certificate_subject(), "CN=server.test");
    EXPECT_THAT(server.peer_certificate_subject(), IsEmpty());
    client.write_all("one\ntwo\n");
    EXPECT_EQ(*server.read_line(), "one");
    EXPECT_EQ(*server.read_line(), "two");
    server.write_all("three\r\n");
    EXPECT_EQ(*client.read_line(), "three");
    client.shut_down_writing();
    EXPECT_EQ(server.read_line().why(), Why::closed);
    EXPECT_EQ(server.read_line().why(), Why::closed);
  });
}

TEST_F(TlsTest, OverTcp) {
  on_host([] {
    Socket listening = listen(Address::loopback(0));
    const TlsContext context = serving({.identities = {authority().issue({.alternatives = {"IP:127.0.0.1"}})}});
    auto server = spawn("server", [&] {
      TlsStream stream = TlsStream::accept(context, listening.accept());
      stream.write_all(*stream.read_line());
      stream.shut_down_writing();
    });
    TlsStream client = TlsStream::connect(trusting(), connect(listening.local_address()), "127.0.0.1");
    EXPECT_THAT(client.name(), AllOf(StartsWith("TLS client of \"127.0.0.1\" over tcp socket 127.0.0.1:"), HasSubstr(" to 127.0.0.1:")));
    client.write_all("asked\n");
    EXPECT_EQ(*client.read_all(100), "asked");
    server.join();
  });
}

TEST_F(TlsTest, TheStreamBelowMayBeAnothers) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    const TlsContext context = serving();
    auto server = spawn("server", [&context, it = std::move(b)]() mutable {
      // As protocols do that begin without TLS. What the client says at once is in a buffer of the stream's, behind the line.
      EXPECT_EQ(*it.read_line(), "STARTTLS");
      {
        TlsStream secure = TlsStream::accept(context, it);
        EXPECT_EQ(*secure.read_line(), "hidden");
        secure.shut_down_writing();
      }
      it.write_all("plain\n");
      EXPECT_EQ(it.read_line().why(), Why::closed);
    });
    a.write_all("STARTTLS\n");
    {
      TlsStream secure = TlsStream::connect(trusting(), a, "server.test");
      secure.write_all("hidden\n");
      EXPECT_EQ(secure.read_all(10).why(), Why::ready);
    }
    EXPECT_TRUE(a.is_open());
    a.close();
    server.join();
  });
}

TEST_F(TlsTest, TlsGoesOverTls) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    Connected inside = testing::connected_over({std::make_unique<TlsStream>(std::move(client)), std::make_unique<TlsStream>(std::move(server))});
    EXPECT_THAT(inside.client.name(), StartsWith("TLS client of \"server.test\" over TLS client of \"server.test\" over stream socket"));
    inside.client.write_all(std::string(100'000, 'x') + "\n");
    inside.server.set_max_line(100'000);
    EXPECT_EQ(inside.server.read_line()->size(), 100'000U);
  });
}

TEST_F(TlsTest, IsMoved) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    TlsStream moved = std::move(client);
    server.write_all("x\n");
    EXPECT_EQ(*moved.read_line(), "x");
    EXPECT_FALSE(client.is_open());
    EXPECT_EQ(client.name(), "a TLS stream that was moved away");
    EXPECT_THAT(what_of<Closed>([&] { client.write_all("x"); }), HasSubstr("moved away"));
    client.close();
    client = std::move(moved);
    client.write_all("y\n");
    EXPECT_EQ(*server.read_line(), "y");
  });
}

// A handshake checks signatures: it must fit into the stack that fibers have.
TEST_F(TlsTest, AHandshakeFitsIntoAFibersStack) {
  on_host([] {
    const TlsContext context = serving({.identities = {authority().issue({.key = testing::KeyKind::rsa})}});
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    auto client = spawn("client", [it = std::move(a)]() mutable { return TlsStream::connect(trusting(), std::move(it), "server.test").version(); });
    auto server = spawn("server", [&context, it = std::move(b)]() mutable { return TlsStream::accept(context, std::move(it)).version(); });
    EXPECT_EQ(client.join(), "TLSv1.3");
    EXPECT_EQ(server.join(), "TLSv1.3");
  });
}

TEST_F(TlsTest, ThreadsShareAContext) {
  const TlsContext client = trusting();
  const TlsContext server = serving();
  std::vector<mothreads::ThreadHandle<int>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(Thread::run("host", [&](Signal) {
      int good = 0;
      for (int round = 0; round < 5; ++round) {
        Connected both = connected(client, server);
        both.client.write_all("x\n");
        if (*both.server.read_line() == "x") ++good;
      }
      return good;
    }));
  }
  for (auto& thread : threads) EXPECT_EQ(thread.join(), 5);
}

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

TEST_F(TlsTest, APemWithAZeroByteIsRefused) {
  const std::string text = authority().pem().text;
  const Pem bad{.text = text + std::string("\0", 1) + text, .name = "bad.pem"};
  EXPECT_THAT(what_of<TlsError>([&] { trusting({.trusted = bad}); }), HasSubstr("cannot read bad.pem: it has a zero byte"));
  EXPECT_THAT(what_of<TlsError>([&] { serving({.identities = {{.certificates = bad, .key = bad}}}); }), HasSubstr("cannot read bad.pem"));
  const std::string path = ::testing::TempDir() + "/tls_test.pem";
  std::ofstream(path) << text;
  EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(Pem::of_file(path + std::string("\0.other", 7))); }),
              AllOf(HasSubstr("tls_test.pem\\x00.other: cannot open it"), HasSubstr("Invalid argument")));
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

// --- misuse --------------------------------------------------------------------------------------------------------------------

TEST_F(TlsTest, ContextsHaveASide) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(TlsStream::connect(serving(), a, "server.test")); }), HasSubstr("TlsContext::client()"));
    EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(TlsStream::accept(trusting(), a)); }), HasSubstr("TlsContext::server()"));
    EXPECT_EQ(b.readable_bytes(), 0U);
  });
}

TEST_F(TlsTest, SettingsMustMakeSense) {
  EXPECT_THAT(what_of<Misuse>([] { TlsContext::server({}); }), HasSubstr("give it an identity"));
  for (const auto how : {ClientCertificates::wanted, ClientCertificates::required}) {
    EXPECT_THAT(what_of<Misuse>([&] { serving({.client_certificates = how}); }), HasSubstr("say whom it trusts"));
  }
  EXPECT_THAT(what_of<Misuse>([] { serving({.trusted = authority().pem()}); }), HasSubstr("ignores clients' certificates"));
}

TEST_F(TlsTest, WhatCannotBeReadIsNamed) {
  EXPECT_THAT(what_of<IoError>([] { Pem::of_file("/nowhere/ca.pem"); }), AllOf(StartsWith("/nowhere/ca.pem: cannot open it"), HasSubstr("No such file")));
  EXPECT_THAT(what_of<IoError>([] { Pem::of_file("/"); }), StartsWith("/: cannot read it"));

  const std::string path = ::testing::TempDir() + "/empty.pem";
  std::ofstream(path).close();
  const auto error_of_trusted = [](Pem pem) { return what_of<TlsError>([&] { trusting({.trusted = std::move(pem)}); }); };
  // Not the same as none: the system's would be trusted.
  EXPECT_THAT(error_of_trusted(Pem::of_file(path)), AllOf(HasSubstr("cannot read certificates from " + path), HasSubstr("no start line")));
  EXPECT_THAT(error_of_trusted({.text = "x", .name = "ca.pem"}), HasSubstr("cannot read certificates from ca.pem"));
  EXPECT_THAT(error_of_trusted({.text = server_identity().key.text, .name = "ca.pem"}), HasSubstr("cannot read certificates from ca.pem"));
  // One that is good hides no bad one.
  const std::string good = authority().pem().text;
  EXPECT_THAT(error_of_trusted({.text = good + good.substr(0, good.size() / 2), .name = "ca.pem"}), HasSubstr("cannot read certificates from ca.pem"));

  const auto error_of = [](TlsIdentity identity) { return what_of<TlsError>([&] { serving({.identities = {std::move(identity)}}); }); };
  TlsIdentity identity = server_identity();
  identity.key = {.text = "x", .name = "our.key"};
  EXPECT_THAT(error_of(identity), HasSubstr("cannot read a key from our.key"));
  identity.key = authority().issue({.common_name = "another"}).key;
  EXPECT_THAT(error_of(identity), AllOf(HasSubstr("cannot use the certificate from the certificate of server.test with the key from the key of another"),
                                        HasSubstr("key values mismatch")));
}

TEST_F(TlsTest, AKeyMayHaveAPassword) {
  on_host([] {
    TlsIdentity identity = authority().issue({.password = "sesame"});
    EXPECT_THAT(what_of<TlsError>([&] { serving({.identities = {identity}}); }), HasSubstr("cannot read a key")) << "and nobody is asked for it";
    identity.password = "wrong";
    EXPECT_THAT(what_of<TlsError>([&] { serving({.identities = {identity}}); }), HasSubstr("cannot read a key"));
    identity.password = "sesame";
    Connected both = connected(trusting(), serving({.identities = {identity}}));
    EXPECT_EQ(both.client.peer_certificate_subject(), "CN=server.test");
  });
}

TEST_F(TlsTest, BelongsToItsThread) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    Thread::run("other", [&client](Signal) {
      EXPECT_THAT(what_of<Misuse>([&] { client.write_all("x"); }), HasSubstr("a TLS stream was used on another thread"));
      EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(client.read_line()); }), HasSubstr("another thread"));
      EXPECT_THAT(what_of<Misuse>([&] { client.shut_down_writing(); }), HasSubstr("another thread"));
      EXPECT_THAT(what_of<Misuse>([&] { client.close(); }), HasSubstr("another thread"));
    }).join();
    client.write_all("y\n");
    EXPECT_EQ(*server.read_line(), "y");
  });
}

using TlsDeathTest = TlsTest;

TEST_F(TlsDeathTest, MayNotGoWhileAFiberUsesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(on_host([] {
                 Connected both = connected();
                 auto stream = std::make_unique<TlsStream>(std::move(both.client));
                 auto reader = spawn("reader", [it = stream.get()] { static_cast<void>(it->read_line()); });
                 yield();
                 stream.reset();
               }),
               "TLS client of .* was destroyed while a fiber uses it: close\\(\\) it first");
}

}  // namespace
}  // namespace cooperative
