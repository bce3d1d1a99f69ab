#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "cooperative/io/internal/openssl.h"
#include "cooperative/io/internal/tls_session.h"
#include "cooperative/io/tls.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/limit.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::internal::printable;

namespace {

// As certificates have it: without the dot that ends it, without brackets around an address.
std::string plain_host(const TlsContext& context, std::string_view host) {
  if (context.parts(mothreads::internal::kAccess).is_server) throw Misuse("a TLS stream cannot connect with a server's context: make one by TlsContext::client()");
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() && context.parts(mothreads::internal::kAccess).verifies) {
    throw Misuse("a TLS client must know whom to expect: give connect() the host's name, or numeric address");
  }
  if (host.find('\0') != std::string_view::npos) {
    throw Misuse(fmt::format("a TLS client was given the name \"{}\" of a host, with a zero in it: no host has such a name", printable(host)));
  }
  // OpenSSL would take it for every host below that domain.
  if (host.starts_with('.')) {
    throw Misuse(fmt::format("a TLS client was given the name \"{}\" of a host: it begins with a dot, as no host's does", printable(host)));
  }
  return std::string(host);
}

void check_server(const TlsContext& context) {
  if (!context.parts(mothreads::internal::kAccess).is_server) throw Misuse("a TLS stream cannot accept with a client's context: make one by TlsContext::server()");
}

}  // namespace

TlsStream TlsStream::connect(const TlsContext& context, Stream& below, std::string_view host, const Until& until) {
  auto session = std::make_unique<Session>(context, nullptr, below, plain_host(context, host));
  session->shake_hands(Limit(until));
  return TlsStream(std::move(session));
}

TlsStream TlsStream::connect(const TlsContext& context, std::unique_ptr<Stream> below, std::string_view host, const Until& until) {
  Stream& borrowed = *below;
  auto session = std::make_unique<Session>(context, std::move(below), borrowed, plain_host(context, host));
  session->shake_hands(Limit(until));
  return TlsStream(std::move(session));
}

TlsStream TlsStream::accept(const TlsContext& context, Stream& below, const Until& until) {
  check_server(context);
  auto session = std::make_unique<Session>(context, nullptr, below, "");
  session->shake_hands(Limit(until));
  return TlsStream(std::move(session));
}

TlsStream TlsStream::accept(const TlsContext& context, std::unique_ptr<Stream> below, const Until& until) {
  check_server(context);
  Stream& borrowed = *below;
  auto session = std::make_unique<Session>(context, std::move(below), borrowed, "");
  session->shake_hands(Limit(until));
  return TlsStream(std::move(session));
}

TlsStream::TlsStream(std::unique_ptr<Session> session) : session_(std::move(session)) {}
TlsStream::TlsStream(TlsStream&& other) noexcept = default;
TlsStream& TlsStream::operator=(TlsStream&& other) noexcept = default;
TlsStream::~TlsStream() = default;

TlsStream::Session& TlsStream::session() const {
  if (session_ == nullptr) throw Closed("a TLS stream", "a TLS stream was moved away");
  return *session_;
}

void TlsStream::end_writing(Limit limit) { session().end_writing(limit); }
void TlsStream::close() {
  if (session_ != nullptr) session_->close();
}
Descriptor* TlsStream::source() { return session().source(); }
bool TlsStream::is_open() const { return session_ != nullptr && session_->is_open(); }

Received TlsStream::receive(std::span<std::byte> into, Limit limit) { return session().receive(into, limit); }
Sent TlsStream::send_pieces(std::span<const std::string_view> pieces, Limit limit) { return session().send_pieces(pieces, limit); }

std::string TlsStream::selected_protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(session().ssl(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string TlsStream::peer_certificate_subject() const {
  const X509* const certificate = SSL_get0_peer_certificate(session().ssl());
  if (certificate == nullptr) return {};
  const internal::io::OwnedBio text(BIO_new(BIO_s_mem()));
  if (text == nullptr || X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) throw std::bad_alloc();
  std::string subject(BIO_ctrl_pending(text.get()), '\0');
  if (!subject.empty()) BIO_read(text.get(), subject.data(), static_cast<int>(subject.size()));
  return subject;
}

std::string TlsStream::server_name() const {
  const char* const name = SSL_get_servername(session().ssl(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

bool TlsStream::is_resumed() const { return SSL_session_reused(session().ssl()) == 1; }
std::string TlsStream::version() const { return SSL_get_version(session().ssl()); }
std::string TlsStream::cipher() const { return SSL_get_cipher_name(session().ssl()); }
std::string TlsStream::name() const { return session_ == nullptr ? "a TLS stream that was moved away" : session_->name(); }

}  // namespace cooperative
