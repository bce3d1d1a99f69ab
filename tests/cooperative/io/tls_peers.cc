#include "tests/cooperative/io/tls_peers.h"

#include <openssl/pem.h>

namespace cooperative::inline v0::testing {

void RawTls::use(const TlsIdentity& identity) {
  const auto read = [](const Pem& pem, auto function) {
    BIO* const bio = BIO_new_mem_buf(pem.text.data(), static_cast<int>(pem.text.size()));
    auto* const object = function(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    check(object != nullptr);
    return object;
  };
  X509* const certificate = read(identity.certificates, PEM_read_bio_X509);
  EVP_PKEY* const key = read(identity.key, PEM_read_bio_PrivateKey);
  const int done = SSL_CTX_use_cert_and_key(context_.get(), certificate, key, nullptr, 1);
  X509_free(certificate);
  EVP_PKEY_free(key);
  check(done == 1);
}

}  // namespace cooperative::testing
