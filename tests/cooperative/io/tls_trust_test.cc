// Whom TLS trusts: certificates, names of hosts, clients' certificates, and what is said when it does not.

#include <openssl/x509_vfy.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/tls.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::testing::NothingLeft;
using mothreads::testing::what_of;
using testing::Authority;
using testing::authority;
using testing::connected;
using testing::Connected;
using testing::on_host;
using testing::self_signed;
using testing::serving;
using testing::trusting;
using testing::Wish;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class TlsTrustTest : public NothingLeft {};

// How a handshake ends for both.
struct Ends {
  std::string client;  // what was thrown
  std::string server;
  long reason = X509_V_OK;
};

Ends ends_of(const TlsContext& client, const TlsContext& server, std::string_view host = "server.test") {
  Ends ends;
  Socket a;
  Socket b;
  std::tie(a, b) = Socket::pair();
  auto other = spawn("server", [&ends, &server, it = std::move(b)]() mutable {
    ends.server = what_of<std::exception>([&] {
      TlsStream stream = TlsStream::accept(server, std::move(it));
      // TLS 1.3 has a server ready before the client has judged it.
      const ReceivedText line = stream.read_line();
      stream.write_all(*line);
      stream.shut_down_writing();
    });
  });
  try {
    TlsStream stream = TlsStream::connect(client, std::move(a), host);
    stream.write_all("asked\n");
    EXPECT_EQ(*stream.read_all(100), "asked");
    stream.shut_down_writing();  // also when the other side has gone by now
  } catch (const CertificateError& error) {
    ends.client = error.what();
    ends.reason = error.reason();
  } catch (const std::exception& error) {
    ends.client = error.what();
  }
  other.join();
  return ends;
}

void expect_trust(const Ends& ends) {
  EXPECT_EQ(ends.client, "");
  EXPECT_EQ(ends.server, "");
}

// --- servers -----------------------------------------------------------------------------------------------------------------

TEST_F(TlsTrustTest, NamesTheHostAndTheReason) {
  on_host([] {
    const Ends ends = ends_of(trusting(), serving(), "other.test");
    EXPECT_THAT(ends.client, StartsWith("TLS client of \"other.test\" over stream socket unnamed"));
    EXPECT_THAT(ends.client, HasSubstr("cannot shake hands: "));
    EXPECT_THAT(ends.client, HasSubstr(X509_verify_cert_error_string(X509_V_ERR_HOSTNAME_MISMATCH)));
    EXPECT_THAT(ends.client, HasSubstr("SSL routines: certificate verify failed"));
    EXPECT_EQ(ends.reason, X509_V_ERR_HOSTNAME_MISMATCH);
    // The other side is told why.
    EXPECT_THAT(ends.server, AllOf(StartsWith("TLS server over stream socket"), HasSubstr("alert bad certificate")));
  });
}

struct Distrust {
  const char* name;
  Wish wish;
  const char* host;
  long reason;  // X509_V_OK: trusted
};

class TlsHostTest : public TlsTrustTest, public ::testing::WithParamInterface<Distrust> {};

TEST_P(TlsHostTest, IsWhoTheCertificateSays) {
  const Distrust& one = GetParam();
  on_host([&] {
    const Ends ends = ends_of(trusting(), serving({.identities = {authority().issue(one.wish)}}), one.host);
    EXPECT_EQ(ends.reason, one.reason) << ends.client;
    if (one.reason == X509_V_OK) {
      expect_trust(ends);
    } else {
      EXPECT_THAT(ends.client, HasSubstr(X509_verify_cert_error_string(one.reason)));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Certificates, TlsHostTest,
    ::testing::Values(
        Distrust{"name", {.alternatives = {"DNS:a.test", "DNS:b.test"}}, "b.test", X509_V_OK},
        Distrust{"case", {.alternatives = {"DNS:a.test"}}, "A.Test", X509_V_OK},
        Distrust{"last_dot", {.alternatives = {"DNS:a.test"}}, "a.test.", X509_V_OK},
        Distrust{"wildcard", {.alternatives = {"DNS:*.a.test"}}, "b.a.test", X509_V_OK},
        Distrust{"wildcard_is_one_label", {.alternatives = {"DNS:*.a.test"}}, "c.b.a.test", X509_V_ERR_HOSTNAME_MISMATCH},
        Distrust{"partial_wildcard", {.alternatives = {"DNS:b*.a.test"}}, "bc.a.test", X509_V_ERR_HOSTNAME_MISMATCH},
        Distrust{"common_name_is_none", {.common_name = "a.test", .alternatives = {}}, "a.test", X509_V_ERR_HOSTNAME_MISMATCH},
        Distrust{"part_of_a_name", {.alternatives = {"DNS:a.test"}}, "test", X509_V_ERR_HOSTNAME_MISMATCH},
        Distrust{"address", {.alternatives = {"IP:127.0.0.1"}}, "127.0.0.1", X509_V_OK},
        Distrust{"address_6", {.alternatives = {"IP:::1"}}, "::1", X509_V_OK},
        Distrust{"address_6_in_brackets", {.alternatives = {"IP:::1"}}, "[::1]", X509_V_OK},
        Distrust{"other_address", {.alternatives = {"IP:127.0.0.2"}}, "127.0.0.1", X509_V_ERR_IP_ADDRESS_MISMATCH},
        Distrust{"address_as_a_name", {.alternatives = {"DNS:127.0.0.1"}}, "127.0.0.1", X509_V_ERR_IP_ADDRESS_MISMATCH},
        Distrust{"expired", {.valid_from = -absl::Hours(2), .valid_to = -absl::Hours(1)}, "server.test", X509_V_ERR_CERT_HAS_EXPIRED},
        Distrust{"not_yet_valid", {.valid_from = absl::Hours(1), .valid_to = absl::Hours(2)}, "server.test", X509_V_ERR_CERT_NOT_YET_VALID}),
    [](const auto& chosen) { return std::string(chosen.param.name); });

TEST_F(TlsTrustTest, OneThatVouchesForItselfIsRefused) {
  on_host([] {
    const Ends ends = ends_of(trusting(), serving({.identities = {self_signed()}}));
    EXPECT_EQ(ends.reason, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) << ends.client;
  });
}

TEST_F(TlsTrustTest, OneThatVouchesForItselfMayBeTrusted) {
  on_host([] {
    const TlsIdentity identity = self_signed();
    expect_trust(ends_of(TlsContext::client({.trusted = identity.certificates}), serving({.identities = {identity}})));
  });
}

TEST_F(TlsTrustTest, AnUnknownAuthorityIsRefused) {
  on_host([] {
    const Authority unknown("Somebody");
    const Ends ends = ends_of(trusting(), serving({.identities = {unknown.issue()}}));
    EXPECT_EQ(ends.reason, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) << ends.client;
  });
}

TEST_F(TlsTrustTest, AnAuthorityOfTheSameNameIsRefused) {
  on_host([] {
    const Authority impostor("Root of tests");
    const Ends ends = ends_of(trusting(), serving({.identities = {impostor.issue()}}));
    EXPECT_EQ(ends.reason, X509_V_ERR_CERT_SIGNATURE_FAILURE) << ends.client;
  });
}

TEST_F(TlsTrustTest, AChainIsFollowed) {
  on_host([] {
    const Authority middle = authority().authority("Middle").authority("Lower");
    expect_trust(ends_of(trusting(), serving({.identities = {middle.issue()}})));
    const Ends ends = ends_of(trusting(), serving({.identities = {middle.issue_alone()}}));
    EXPECT_EQ(ends.reason, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) << ends.client;
  });
}

TEST_F(TlsTrustTest, WhoIsNoAuthorityVouchesForNobody) {
  on_host([] {
    // A server's own certificate, used as if it were an authority's, is trusted as itself and no further.
    const TlsIdentity identity = authority().issue();
    const Ends ends = ends_of(TlsContext::client({.trusted = identity.certificates}), serving({.identities = {authority().issue()}}));
    EXPECT_NE(ends.reason, X509_V_OK);
  });
}

TEST_F(TlsTrustTest, WhomTheSystemTrustsIsTheDefault) {
  on_host([] {
    const std::string path = ::testing::TempDir() + "/system.pem";
    std::ofstream(path) << authority().pem().text;
    const Ends before = ends_of(TlsContext::client(), serving());
    EXPECT_EQ(before.reason, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) << before.client;
    ASSERT_EQ(setenv("SSL_CERT_FILE", path.c_str(), 1), 0);
    const absl::Cleanup forget = [] { unsetenv("SSL_CERT_FILE"); };
    expect_trust(ends_of(TlsContext::client(), serving()));
    // Who names others trusts only them.
    EXPECT_NE(ends_of(TlsContext::client({.trusted = Authority("Another").pem()}), serving()).reason, X509_V_OK);
  });
}

TEST_F(TlsTrustTest, AFileNamesWhomToTrust) {
  on_host([] {
    const std::string path = ::testing::TempDir() + "/trusted.pem";
    std::ofstream(path) << "A line before.\n" << Authority("Another").pem().text << authority().pem().text;
    expect_trust(ends_of(TlsContext::client({.trusted = Pem::of_file(path)}), serving()));
  });
}

TEST_F(TlsTrustTest, VerificationCanBeTurnedOff) {
  on_host([] {
    expect_trust(ends_of(TlsContext::client({.verify = false}), serving({.identities = {self_signed()}}), "other.test"));
    expect_trust(ends_of(TlsContext::client({.verify = false}), serving({.identities = {self_signed()}}), ""));
  });
}

TEST_F(TlsTrustTest, ToVerifyOneMustKnowTheHost) {
  on_host([] {
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    for (const char* host : {"", "."}) {
      EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(TlsStream::connect(trusting(), a, host)); }), HasSubstr("must know whom to expect"));
    }
    const std::string with_zero("server.test\0.evil", 17);
    EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(TlsStream::connect(trusting(), a, with_zero)); }),
                HasSubstr("\"server.test\\x00.evil\" of a host, with a zero in it"));
    // OpenSSL would take it for all hosts below that domain.
    for (const char* host : {".test", ".server.test", "..", ".test."}) {
      for (const bool verify : {true, false}) {
        EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(TlsStream::connect(trusting({.verify = verify}), a, host)); }), HasSubstr("begins with a dot"))
            << host;
      }
    }
    EXPECT_EQ(b.readable_bytes(), 0U);
  });
}

TEST_F(TlsTrustTest, ANameMayBeAsLongAsNamesAre) {
  on_host([] {
    // 255 bytes at most: RFC 1035.
    std::string name = "a";
    while (name.size() < 255) name = "b." + name;
    ASSERT_EQ(name.size(), 255U);
    EXPECT_EQ(ends_of(trusting(), serving(), name).reason, X509_V_ERR_HOSTNAME_MISMATCH);
    Socket a;
    Socket b;
    std::tie(a, b) = Socket::pair();
    EXPECT_THAT(what_of<TlsError>([&] { static_cast<void>(TlsStream::connect(trusting(), a, "bb" + name)); }),
                HasSubstr("cannot ask for that host"));
  });
}

// --- clients -----------------------------------------------------------------------------------------------------------------

TlsIdentity client_identity(const Authority& by = authority()) { return by.issue({.common_name = "a client", .alternatives = {}}); }

TlsContext asking(ClientCertificates how) { return serving({.client_certificates = how, .trusted = authority().pem()}); }

TEST_F(TlsTrustTest, AServerKnowsItsClient) {
  on_host([] {
    for (const auto how : {ClientCertificates::wanted, ClientCertificates::required}) {
      Connected both = connected(trusting({.identity = client_identity()}), asking(how));
      TlsStream& client = both.client;
      TlsStream& server = both.server;
      EXPECT_EQ(server.peer_certificate_subject(), "CN=a client");
      EXPECT_EQ(client.peer_certificate_subject(), "CN=server.test");
    }
  });
}

TEST_F(TlsTrustTest, AServerThatIgnoresClientsAsksForNothing) {
  on_host([] {
    Connected both = connected(trusting({.identity = client_identity()}), serving());
    EXPECT_THAT(both.server.peer_certificate_subject(), IsEmpty());
  });
}

TEST_F(TlsTrustTest, AServerMayGoOnWithoutWhatItWants) {
  on_host([] {
    Connected both = connected(trusting(), asking(ClientCertificates::wanted));
    EXPECT_THAT(both.server.peer_certificate_subject(), IsEmpty());
  });
}

TEST_F(TlsTrustTest, AServerRefusesWhoDoesNotSayWhoItIs) {
  on_host([] {
    const Ends ends = ends_of(trusting(), asking(ClientCertificates::required));
    EXPECT_THAT(ends.server, HasSubstr("peer did not return a certificate"));
    EXPECT_THAT(ends.client, HasSubstr("alert certificate required"));  // by the first read, in TLS 1.3
  });
}

TEST_F(TlsTrustTest, AServerRefusesAClientThatNobodyItTrustsVouchesFor) {
  on_host([] {
    for (const auto how : {ClientCertificates::wanted, ClientCertificates::required}) {
      const Ends ends = ends_of(trusting({.identity = client_identity(Authority("Somebody"))}), asking(how));
      EXPECT_THAT(ends.server, AllOf(HasSubstr("certificate verify failed"), HasSubstr("unable to get local issuer certificate")));
      EXPECT_THAT(ends.client, HasSubstr("alert unknown ca"));
    }
  });
}

// --- names (SNI) -------------------------------------------------------------------------------------------------------------

std::string name_seen(std::string_view host) {
  Socket a;
  Socket b;
  std::tie(a, b) = Socket::pair();
  const TlsContext context = serving();
  auto other = spawn("server", [&context, it = std::move(b)]() mutable { return TlsStream::accept(context, std::move(it)).server_name(); });
  const TlsStream client = TlsStream::connect(TlsContext::client({.verify = false}), std::move(a), host);
  return other.join();
}

TEST_F(TlsTrustTest, AServerSeesTheNameThatWasAskedFor) {
  on_host([] {
    EXPECT_EQ(name_seen("some.test"), "some.test");
    EXPECT_EQ(name_seen("some.test."), "some.test");
    EXPECT_EQ(name_seen("127.0.0.1"), "");  // RFC 6066, 3: no addresses
    EXPECT_EQ(name_seen("[::1]"), "");
    EXPECT_EQ(name_seen(""), "");
  });
}

TEST_F(TlsTrustTest, AServerOfSeveralNamesShowsTheRightOne) {
  on_host([] {
    // Of two kinds: the client's liking for a kind of key must not decide.
    const TlsContext server = serving({.identities = {
                                           authority().issue({.common_name = "first", .alternatives = {"DNS:first.test"}}),
                                           authority().issue({.common_name = "second", .alternatives = {"DNS:second.test"}, .key = testing::KeyKind::rsa}),
                                           authority().issue({.common_name = "rest", .alternatives = {"DNS:*.rest.test"}}),
                                       }});
    const auto shown = [&](std::string_view host) {
      Socket a;
      Socket b;
      std::tie(a, b) = Socket::pair();
      auto other = spawn("server", [&server, it = std::move(b)]() mutable { return TlsStream::accept(server, std::move(it)); });
      const TlsStream client = TlsStream::connect(TlsContext::client({.verify = false}), std::move(a), host);
      const TlsStream end = other.join();
      return client.peer_certificate_subject();
    };
    EXPECT_EQ(shown("first.test"), "CN=first");
    EXPECT_EQ(shown("second.test"), "CN=second");
    EXPECT_EQ(shown("SECOND.TEST"), "CN=second");
    EXPECT_EQ(shown("third.rest.test"), "CN=rest");
    EXPECT_EQ(shown("elsewhere.example"), "CN=first");
    EXPECT_EQ(shown("127.0.0.1"), "CN=first");
    expect_trust(ends_of(trusting(), server, "second.test"));
  });
}

}  // namespace
}  // namespace cooperative
