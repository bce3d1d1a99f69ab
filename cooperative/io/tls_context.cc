#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include <fmt/core.h>

#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/internal/openssl.h"
#include "cooperative/io/internal/tls_sessions.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::io::LoadedIdentity;
using internal::io::OwnedBio;
using internal::io::OwnedCertificate;
using internal::io::OwnedKey;
using internal::io::throw_tls_error;
using mothreads::Misuse;

namespace {

constexpr const char* kObject = "TLS settings";

void check(bool done, std::string_view verb) {
  if (!done) throw_tls_error(kObject, verb);
}

OwnedBio bio_of(const Pem& pem) {
  // OpenSSL would pass over what is behind a zero byte. UTF-16 has them, and so has a key in binary form.
  if (internal::io::has_zero(pem.text)) throw TlsError(0, fmt::format("{}: cannot read {}: it has a zero byte, as no PEM has", kObject, pem.name));
  OwnedBio bio(BIO_new_mem_buf(pem.text.data(), static_cast<int>(pem.text.size())));
  check(bio != nullptr, "read " + pem.name);
  return bio;
}

// Called where OpenSSL would else ask whoever sits at the terminal, and wait for him.
int give_password(char* into, int room, int /*is_for_writing*/, void* password) {
  const auto& text = *static_cast<const std::string*>(password);
  if (text.size() > static_cast<std::size_t>(room)) return -1;
  std::memcpy(into, text.data(), text.size());
  return static_cast<int>(text.size());
}

std::vector<OwnedCertificate> certificates_of(const Pem& pem) {
  const OwnedBio bio = bio_of(pem);
  std::string no_password;
  std::vector<OwnedCertificate> all;
  ERR_clear_error();
  while (X509* one = PEM_read_bio_X509_AUX(bio.get(), nullptr, give_password, &no_password)) all.emplace_back(one);
  // The end of the text is an error, too: that nothing more begins.
  const unsigned long last = ERR_peek_last_error();
  const bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (all.empty() || !is_end) throw_tls_error(kObject, fmt::format("read certificates from {}", pem.name));
  ERR_clear_error();
  return all;
}

LoadedIdentity load(const TlsIdentity& identity) {
  LoadedIdentity loaded;
  std::vector<OwnedCertificate> certificates = certificates_of(identity.certificates);
  loaded.certificate = std::move(certificates.front());
  loaded.chain.reset(sk_X509_new_null());
  check(loaded.chain != nullptr, "keep certificates");
  for (auto one = certificates.begin() + 1; one != certificates.end(); ++one) {
    check(sk_X509_push(loaded.chain.get(), one->get()) > 0, "keep certificates");
    static_cast<void>(one->release());
  }
  const OwnedBio bio = bio_of(identity.key);
  std::string password = identity.password;
  ERR_clear_error();
  loaded.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_password, &password));
  check(loaded.key != nullptr, fmt::format("read a key from {}", identity.key.name));
  return loaded;
}

std::string use_verb(const TlsIdentity& identity) {
  return fmt::format("use the certificate from {} with the key from {}", identity.certificates.name, identity.key.name);
}

void check_pair(const LoadedIdentity& loaded, const TlsIdentity& identity) {
  ERR_clear_error();
  check(X509_check_private_key(loaded.certificate.get(), loaded.key.get()) == 1, use_verb(identity));
}

void use(SSL_CTX* ssl, const LoadedIdentity& loaded, const TlsIdentity& identity) {
  ERR_clear_error();
  check(SSL_CTX_use_cert_and_key(ssl, loaded.certificate.get(), loaded.key.get(), loaded.chain.get(), 1) == 1, use_verb(identity));
}

void trust(SSL_CTX* ssl, const Pem& trusted, bool tells_clients) {
  X509_STORE* const store = SSL_CTX_get_cert_store(ssl);
  for (const OwnedCertificate& one : certificates_of(trusted)) {
    ERR_clear_error();
    check(X509_STORE_add_cert(store, one.get()) == 1, "trust " + trusted.name);
    if (tells_clients) check(SSL_CTX_add_client_CA(ssl, one.get()) == 1, "trust " + trusted.name);
  }
}

std::string in_wire_format(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& one : protocols) {
    if (one.empty() || one.size() > 255) {
      throw Misuse(fmt::format("\"{}\" cannot be the name of a protocol for ALPN: it must have 1 to 255 bytes", mothreads::internal::printable(one)));
    }
    wire += static_cast<char>(one.size());
    wire += one;
  }
  if (wire.size() > 65535) throw Misuse("ALPN has room for 65535 bytes of protocols: give it fewer");
  return wire;
}

const unsigned char* bytes_of(const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); }

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered, unsigned int offered_size,
                    void* parts) {
  const std::string& ours = static_cast<const TlsContext::Parts*>(parts)->protocols;
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, size, bytes_of(ours), static_cast<unsigned int>(ours.size()), offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, 3.2
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

int choose_identity(SSL* ssl, void* parts) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return 1;
  for (const LoadedIdentity& one : static_cast<const TlsContext::Parts*>(parts)->identities) {
    if (X509_check_host(one.certificate.get(), name, std::strlen(name), 0, nullptr) != 1) continue;
    SSL_certs_clear(ssl);  // there is one for each kind of key
    return SSL_use_cert_and_key(ssl, one.certificate.get(), one.key.get(), one.chain.get(), 1);
  }
  return 1;  // the first is there already
}

// A client that asks for a name hears that it was understood.
int acknowledge_name(SSL*, int*, void*) { return SSL_TLSEXT_ERR_OK; }

// Of the ciphers that the system's settings allow, those remain that do not encrypt the session's key with the server's.
void refuse_static_rsa(SSL_CTX* ssl) {
  const STACK_OF(SSL_CIPHER)* const allowed = SSL_CTX_get_ciphers(ssl);
  std::string kept;
  for (int i = 0; i < sk_SSL_CIPHER_num(allowed); ++i) {
    const SSL_CIPHER* const one = sk_SSL_CIPHER_value(allowed, i);
    const int exchange = SSL_CIPHER_get_kx_nid(one);
    if (exchange == NID_kx_any || exchange == NID_kx_rsa || exchange == NID_kx_rsa_psk) continue;  // any: of TLS 1.3, whose list is another
    if (!kept.empty()) kept += ':';
    kept += SSL_CIPHER_get_name(one);
  }
  const bool done = kept.empty() ? SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 : SSL_CTX_set_cipher_list(ssl, kept.c_str()) == 1;
  check(done, "choose ciphers");
}

constexpr long kMaxSessions = 20'000;  // of a server

// OpenSSL calls it when a server has given a session to a client. Always 0: a copy is kept, since OpenSSL spoils its own when the connection ends
// without a farewell, which says nothing about the session.
int keep_session(SSL* ssl, SSL_SESSION* session) {
  const auto* const parts = static_cast<const TlsContext::Parts*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0));
  const auto* const host = static_cast<const std::string*>(SSL_get_ex_data(ssl, 0));
  if (host == nullptr || host->empty() || SSL_SESSION_is_resumable(session) != 1) return 0;
  internal::io::OwnedSession copy(SSL_SESSION_dup(session));
  if (copy == nullptr) return 0;
  try {
    parts->sessions->put(*host, std::move(copy));
  } catch (const std::bad_alloc&) {
  }
  return 0;
}

void resume_sessions(TlsContext::Parts& parts) {
  SSL_CTX* const ssl = parts.ssl.get();
  parts.sessions = std::make_unique<internal::io::TlsSessions>();
  check(SSL_CTX_set_ex_data(ssl, 0, &parts) == 1, "keep sessions");
  SSL_CTX_clear_options(ssl, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ssl, keep_session);
}

// With SSL_OP_NO_TICKET on, a ticket is no more than the number of a session that is kept here.
void give_tickets(SSL_CTX* ssl, std::size_t tickets) {
  check(SSL_CTX_set_num_tickets(ssl, tickets) == 1, "give tickets");
  static constexpr unsigned char kContext[] = "mothreads";
  check(SSL_CTX_set_session_id_context(ssl, kContext, sizeof kContext - 1) == 1, "give tickets");
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_SERVER);
  SSL_CTX_sess_set_cache_size(ssl, kMaxSessions);
  SSL_CTX_set_timeout(ssl, static_cast<long>(absl::ToInt64Seconds(kTlsResumeTime)));
}

std::shared_ptr<TlsContext::Parts> begin(bool is_server, TlsVersion min_version, bool static_rsa) {
  auto parts = std::make_shared<TlsContext::Parts>();
  parts->is_server = is_server;
  ERR_clear_error();
  parts->ssl.reset(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
  check(parts->ssl != nullptr, "make a context");
  SSL_CTX* const ssl = parts->ssl.get();
  check(SSL_CTX_set_min_proto_version(ssl, min_version == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1, "set the least version");
  if (!static_rsa) refuse_static_rsa(ssl);
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  check(SSL_CTX_set_num_tickets(ssl, 0) == 1, "turn off tickets");
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  // A retried write may come from another place; what is idle gives its buffers back.
  SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return parts;
}

}  // namespace

Pem Pem::of_file(const std::string& path) {
  internal::io::check_c_string(path, path, "open it");
  const std::unique_ptr<std::FILE, internal::io::FreedBy<std::fclose>> file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) throw IoError(errno, path, "open it");
  Pem pem{.text = {}, .name = path};
  char room[4096];
  while (const std::size_t size = std::fread(room, 1, sizeof room, file.get())) pem.text.append(room, size);
  if (std::ferror(file.get()) != 0) throw IoError(errno, path, "read it");
  return pem;
}

TlsContext TlsContext::client(const TlsClientSettings& settings) {
  const std::shared_ptr<Parts> parts = begin(false, settings.min_version, settings.static_rsa);
  SSL_CTX* const ssl = parts->ssl.get();
  parts->verifies = settings.verify;
  SSL_CTX_set_verify(ssl, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (settings.trusted) {
    trust(ssl, *settings.trusted, false);
  } else if (settings.verify) {
    check(SSL_CTX_set_default_verify_paths(ssl) == 1, "find whom the system trusts");
  }
  if (settings.resumes) resume_sessions(*parts);
  if (settings.identity) use(ssl, load(*settings.identity), *settings.identity);
  parts->protocols = in_wire_format(settings.protocols);
  if (!parts->protocols.empty()) {
    // Zero is success, here alone.
    check(SSL_CTX_set_alpn_protos(ssl, bytes_of(parts->protocols), static_cast<unsigned int>(parts->protocols.size())) == 0, "offer protocols");
  }
  return TlsContext(parts);
}

TlsContext TlsContext::server(const TlsServerSettings& settings) {
  if (settings.identities.empty()) throw Misuse("a TLS server needs a certificate and its key: give it an identity");
  const bool verifies = settings.client_certificates != ClientCertificates::ignored;
  if (verifies != settings.trusted.has_value()) {
    throw Misuse(verifies ? "a TLS server that asks for clients' certificates must know who may vouch for them: say whom it trusts"
                          : "a TLS server was told whom to trust, and ignores clients' certificates: say that they are wanted, or required");
  }
  const std::shared_ptr<Parts> parts = begin(true, settings.min_version, settings.static_rsa);
  SSL_CTX* const ssl = parts->ssl.get();
  parts->verifies = verifies;
  if (settings.tickets > 0) give_tickets(ssl, settings.tickets);
  if (verifies) {
    const bool required = settings.client_certificates == ClientCertificates::required;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    trust(ssl, *settings.trusted, true);
  }
  for (const TlsIdentity& identity : settings.identities) {
    parts->identities.push_back(load(identity));
    check_pair(parts->identities.back(), identity);
  }
  use(ssl, parts->identities.front(), settings.identities.front());
  // By hand what a macro with an old cast in it does.
  SSL_CTX_callback_ctrl(ssl, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(acknowledge_name));
  if (parts->identities.size() > 1) SSL_CTX_set_cert_cb(ssl, choose_identity, parts.get());
  parts->protocols = in_wire_format(settings.protocols);
  if (!parts->protocols.empty()) SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, parts.get());
  return TlsContext(parts);
}

}  // namespace cooperative
