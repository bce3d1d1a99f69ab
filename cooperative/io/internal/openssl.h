#pragma once

// OpenSSL's objects as owners, its errors as exceptions. For the .cc files of tls.h alone.
//
// The queue of errors is the OS thread's: another fiber may fill or empty it during any wait. So it is emptied before a call to OpenSSL,
// read at once behind it, and never looked at again.

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/io/internal/tls_sessions.h"
#include "cooperative/io/tls.h"

namespace cooperative::inline v0::internal::io {

template <auto kFree>
struct FreedBy {
  template <typename T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};
using OwnedBio = std::unique_ptr<BIO, FreedBy<BIO_free_all>>;
using OwnedCertificate = std::unique_ptr<X509, FreedBy<X509_free>>;
struct FreeCertificates {
  void operator()(STACK_OF(X509)* all) const noexcept { sk_X509_pop_free(all, X509_free); }
};
using OwnedCertificates = std::unique_ptr<STACK_OF(X509), FreeCertificates>;
using OwnedKey = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;
using OwnedSsl = std::unique_ptr<SSL, FreedBy<SSL_free>>;
using OwnedSslContext = std::unique_ptr<SSL_CTX, FreedBy<SSL_CTX_free>>;

// The errors of OpenSSL's queue, which take_errors() empties.
struct QueuedErrors {
  unsigned long outermost = 0;
  std::string details;  // of the others, and what more is said than an error's own text
};
QueuedErrors take_errors();

// Throws TlsError from what the queue has.
[[noreturn]] void throw_tls_error(std::string_view object, std::string_view verb);

// A TlsIdentity that has been read.
struct LoadedIdentity {
  OwnedCertificate certificate;
  OwnedKey key;
  OwnedCertificates chain;
};

}  // namespace cooperative::internal::io

namespace cooperative::inline v0 {

struct TlsContext::Parts {
  internal::io::OwnedSslContext ssl;
  bool is_server = false;
  bool verifies = true;
  std::string protocols;                              // as ALPN writes them
  std::vector<internal::io::LoadedIdentity> identities;  // of a server
  std::unique_ptr<internal::io::TlsSessions> sessions;   // of a client that resumes them
};

}  // namespace cooperative
