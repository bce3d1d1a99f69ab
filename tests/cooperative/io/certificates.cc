#include "tests/cooperative/io/certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <stdexcept>
#include <utility>

namespace cooperative::inline v0::testing {
namespace {

void check(bool done) {
  if (!done) throw std::runtime_error("a certificate for a test could not be made");
}

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;

Key new_key(KeyKind kind) {
  Key key(kind == KeyKind::rsa ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})
                               : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  check(key != nullptr);
  return key;
}

template <typename Write>
std::string text_by(Write&& write) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  check(bio != nullptr && write(bio.get()) == 1);
  std::string text(BIO_ctrl_pending(bio.get()), '\0');
  check(BIO_read(bio.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
  return text;
}

std::string text_of(X509* certificate) {
  return text_by([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string text_of(EVP_PKEY* key, const std::string& password) {
  const EVP_CIPHER* const cipher = password.empty() ? nullptr : EVP_aes_128_cbc();
  return text_by([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, password.data(), static_cast<int>(password.size()), nullptr, nullptr);
  });
}

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// By `issuer` with its key; by itself when there is none.
Certificate certify(EVP_PKEY* key, const Wish& wish, bool is_authority, X509* issuer, EVP_PKEY* issuer_key) {
  static std::atomic<long> next_serial{1};
  Certificate made(X509_new());
  X509* const it = made.get();
  check(it != nullptr && X509_set_version(it, 2) == 1);
  check(ASN1_INTEGER_set(X509_get_serialNumber(it), next_serial.fetch_add(1, std::memory_order_relaxed)) == 1);
  check(X509_gmtime_adj(X509_getm_notBefore(it), absl::ToInt64Seconds(wish.valid_from)) != nullptr);
  check(X509_gmtime_adj(X509_getm_notAfter(it), absl::ToInt64Seconds(wish.valid_to)) != nullptr);
  check(X509_set_pubkey(it, key) == 1);
  const auto* const name = reinterpret_cast<const unsigned char*>(wish.common_name.c_str());
  check(X509_NAME_add_entry_by_txt(X509_get_subject_name(it), "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1);
  if (issuer == nullptr) issuer = it;
  check(X509_set_issuer_name(it, X509_get_subject_name(issuer)) == 1);
  extend(it, issuer, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (is_authority) extend(it, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(it, issuer, NID_subject_key_identifier, "hash");
  if (!is_authority && !wish.alternatives.empty()) {
    std::string all;
    for (const std::string& one : wish.alternatives) all += (all.empty() ? "" : ",") + one;
    extend(it, issuer, NID_subject_alt_name, all);
  }
  check(X509_sign(it, issuer_key == nullptr ? key : issuer_key, EVP_sha256()) > 0);
  return made;
}

}  // namespace

struct Authority::Made {
  Key key;
  Certificate certificate;
  std::string chain;  // from this one to the last below the first
};

Authority::Authority(const std::string& name) {
  auto made = std::make_shared<Made>();
  made->key = new_key(KeyKind::p256);
  made->certificate = certify(made->key.get(), {.common_name = name, .alternatives = {}}, true, nullptr, nullptr);
  made_ = std::move(made);
}

Authority Authority::authority(const std::string& name) const {
  auto made = std::make_shared<Made>();
  made->key = new_key(KeyKind::p256);
  made->certificate = certify(made->key.get(), {.common_name = name, .alternatives = {}}, true, made_->certificate.get(), made_->key.get());
  made->chain = text_of(made->certificate.get()) + made_->chain;
  return Authority(std::move(made));
}

Pem Authority::pem() const { return {.text = text_of(made_->certificate.get()), .name = "the test's authority"}; }

TlsIdentity Authority::issue_alone(const Wish& wish) const {
  const Key key = new_key(wish.key);
  const Certificate certificate = certify(key.get(), wish, false, made_->certificate.get(), made_->key.get());
  return {.certificates = {.text = text_of(certificate.get()), .name = "the certificate of " + wish.common_name},
          .key = {.text = text_of(key.get(), wish.password), .name = "the key of " + wish.common_name}};
}

TlsIdentity Authority::issue(const Wish& wish) const {
  TlsIdentity identity = issue_alone(wish);
  identity.certificates.text += made_->chain;
  return identity;
}

TlsIdentity self_signed(const Wish& wish) {
  const Key key = new_key(wish.key);
  const Certificate certificate = certify(key.get(), wish, false, nullptr, nullptr);
  return {.certificates = {.text = text_of(certificate.get()), .name = "the certificate of " + wish.common_name},
          .key = {.text = text_of(key.get(), wish.password), .name = "the key of " + wish.common_name}};
}

}  // namespace cooperative::testing
