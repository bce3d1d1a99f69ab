#include "cooperative/io/tls.h"

#include <fstream>
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
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::NothingLeft;
using mothreads::testing::what_of;
using testing::authority;
using testing::connected;
using testing::Connected;
using testing::on_host;
using testing::server_identity;
using testing::serving;
using testing::trusting;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using TlsTest = NothingLeft;

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
