#pragma once

// TLS over any stream, by OpenSSL: 1.2 and 1.3, both sides.
//
//     const auto trusting = co::TlsContext::client();                                        // once; shared by all connections
//     auto server = co::TlsStream::connect(trusting, co::connect("example.com", 443), "example.com", absl::Seconds(10));
//
//     const auto as_us = co::TlsContext::server({.identities = {{.certificates = co::Pem::of_file("server.crt"),
//                                                                .key = co::Pem::of_file("server.key")}}});
//     co::spawn("client", [client = listening.accept(), as_us]() mutable {                   // a slow client delays nobody else
//       auto secure = co::TlsStream::accept(as_us, std::move(client), absl::Seconds(10));
//       ...
//       secure.shut_down_writing();
//     }).release();
//
// Who is not told otherwise verifies: a client the server's certificate, that it leads to somebody whom the system trusts, is valid now,
// and is for the host that was asked for. All key exchanges are ephemeral. Connections are not renegotiated, not compressed, and send no session
// tickets: a server says nothing after its handshake that it was not told to, so a client that only writes and then closes loses nothing. Sessions
// are resumed where both sides' settings say so; data in the first flight (0-RTT) is never sent or taken.
//
// When not to use it: for what does not come as a stream (QUIC, DTLS), or where revoked certificates must be found out (no CRL, no OCSP).

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/stream.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// What OpenSSL refuses. The message names the connection, what was to be done, and all that OpenSSL says; code() is OpenSSL's own, in the
// category "openssl".
class TlsError : public IoError {
 public:
  TlsError(unsigned long error, const std::string& what);
};

// The other side's certificate is not to be trusted; the message says why.
class CertificateError : public TlsError {
 public:
  CertificateError(unsigned long error, long reason, const std::string& what) : TlsError(error, what), reason_(reason) {}
  long reason() const { return reason_; }  // X509_V_ERR_... of OpenSSL

 private:
  long reason_;
};

// The connection ended, and the other side has not said that its stream does: somebody in between may have cut it off.
class TlsTruncated : public TlsError {
 public:
  using TlsError::TlsError;
};

// Certificates, or a key, as files have them: "-----BEGIN CERTIFICATE-----" and so on.
struct Pem {
  // Blocks the thread while it reads. Throws IoError, which names the file.
  static Pem of_file(const std::string& path);

  std::string text;
  std::string name = "a text";  // for errors
};

// Who one is.
struct TlsIdentity {
  Pem certificates;  // one's own first, then those that lead to whom others trust
  Pem key;
  std::string password = {};  // of the key, when it has one
};

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

// So long after its handshake a session may be resumed.
inline constexpr absl::Duration kTlsResumeTime = absl::Hours(1);

struct TlsClientSettings {
  // Whoever can come in between reads and changes all when this is off.
  bool verify = true;
  // Whom to trust; else those whom the system trusts (OpenSSL's own places, SSL_CERT_FILE and SSL_CERT_DIR).
  std::optional<Pem> trusted = std::nullopt;
  // For servers that ask who the client is.
  std::optional<TlsIdentity> identity = std::nullopt;
  // ALPN, the best first: {"h2", "http/1.1"}.
  std::vector<std::string> protocols = {};
  TlsVersion min_version = TlsVersion::v1_2;
  // TLS 1.2 with a session's key that the server's RSA key has encrypted, for peers that know nothing else: who ever gets hold of the server's
  // key can read what was said before.
  bool static_rsa = false;
  // Keeps what servers give to resume sessions with, which comes with their first data, and resumes one, once, when a stream of this context
  // connects to the same host again: a handshake without certificates. Who the server is has been verified by then, and is not verified again:
  // a certificate that has expired meanwhile counts for up to kTlsResumeTime more.
  bool resumes = false;
};

enum class ClientCertificates : std::uint8_t { ignored, wanted, required };

struct TlsServerSettings {
  // At least one. A client that asks for a name (SNI) gets the first that is for that name, others the first.
  std::vector<TlsIdentity> identities = {};
  // What is given is verified, also where none is required.
  ClientCertificates client_certificates = ClientCertificates::ignored;
  // Who may vouch for clients: never left to the system, which trusts whoever sells certificates.
  std::optional<Pem> trusted = std::nullopt;
  // ALPN, the best first. A client that offers others only is refused; one that offers none is not.
  std::vector<std::string> protocols = {};
  TlsVersion min_version = TlsVersion::v1_2;
  bool static_rsa = false;  // see TlsClientSettings
  // So many tickets each client gets after its handshake, to resume its session with this context within kTlsResumeTime, while there are no more
  // than 20,000 newer ones. They are kept in memory here, and hold no key; the last of a connection that this side ends without a farewell counts no
  // more. A client that never reads does not take them off its connection: when it closes that, the kernel may throw away what it has written last.
  std::size_t tickets = 0;
};

// Settings that have been read and checked. Made once; copies share them, and any number of threads may use them.
class TlsContext {
 public:
  // Throw TlsError for what OpenSSL cannot read, which names it, and mothreads::Misuse for settings that make no sense.
  static TlsContext client(const TlsClientSettings& settings = {});
  static TlsContext server(const TlsServerSettings& settings);

  struct Parts;
  const Parts& parts(mothreads::internal::Access) const { return *parts_; }  // for the library

 private:
  explicit TlsContext(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

// One side of a connection. It belongs to the thread that made it.
//
// What a limit, or a cancellation, interrupts loses nothing: what has come is there for the next read; of what was to be written the
// records are whole, so what is left of one counts as written, and goes out before anything else with the next call, be it to read.
//
// shut_down_writing() says to the other side that no more comes (close_notify): without that it takes what it got for cut off. The stream
// below stays as it is. It throws Timedout when not all is out; another call goes on.
class TlsStream final : public Stream {
 public:
  // Shake hands, as the client of the host of that name, or numeric address: what the server must prove to be. No name begins with a dot. The
  // stream below stays the caller's, or becomes this one's; with an error it is closed then. What it has buffered is read as TLS.
  // Throw Timedout, CertificateError, TlsError, TlsTruncated, what the stream below throws, and mothreads::Misuse for a context of the other side,
  // and for what is no host's name.
  static TlsStream connect(const TlsContext& context, Stream& below, std::string_view host, const mothreads::Until& until = {});
  static TlsStream connect(const TlsContext& context, std::unique_ptr<Stream> below, std::string_view host, const mothreads::Until& until = {});
  template <typename Below>
    requires std::derived_from<Below, Stream>
  static TlsStream connect(const TlsContext& context, Below&& below, std::string_view host, const mothreads::Until& until = {}) {
    return connect(context, std::unique_ptr<Stream>(std::make_unique<Below>(std::move(below))), host, until);
  }
  // The same as its server: by one fiber for each client, so that others are not kept waiting.
  static TlsStream accept(const TlsContext& context, Stream& below, const mothreads::Until& until = {});
  static TlsStream accept(const TlsContext& context, std::unique_ptr<Stream> below, const mothreads::Until& until = {});
  template <typename Below>
    requires std::derived_from<Below, Stream>
  static TlsStream accept(const TlsContext& context, Below&& below, const mothreads::Until& until = {}) {
    return accept(context, std::unique_ptr<Stream>(std::make_unique<Below>(std::move(below))), until);
  }

  TlsStream(TlsStream&& other) noexcept;
  TlsStream& operator=(TlsStream&& other) noexcept;
  // Says nothing to the other side, which is right when an error is why. Ends the program when a fiber uses it: close() first.
  ~TlsStream() override;

  // Closes the stream below, and says nothing to the other side: shut_down_writing() first.
  void close() override;
  bool is_open() const override;

  // Of ALPN; empty when there was nothing to agree on.
  std::string selected_protocol() const;
  // "CN=example.com,O=Example" (RFC 2253); empty when there is no certificate. Verified, unless the settings say that it is not.
  std::string peer_certificate_subject() const;
  // For a server: the name that the client asked for (SNI); empty when it asked for none.
  std::string server_name() const;
  bool is_resumed() const;      // by settings' resumes and tickets
  std::string version() const;  // "TLSv1.3"
  std::string cipher() const;   // "TLS_AES_256_GCM_SHA384"
  std::string name() const override;

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit limit) override;
  Descriptor* source() override;

 private:
  class Session;
  explicit TlsStream(std::unique_ptr<Session> session);
  Session& session() const;

  std::unique_ptr<Session> session_;
};

}  // namespace cooperative
