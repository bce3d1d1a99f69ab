#pragma once

// Certificates for tests, made in memory when they are needed.

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/io/tls.h"

namespace cooperative::inline v0::testing {

enum class KeyKind { p256, rsa };

struct Wish {
  std::string common_name = "server.test";
  std::vector<std::string> alternatives = {"DNS:server.test"};
  absl::Duration valid_from = -absl::Hours(1);  // from now
  absl::Duration valid_to = absl::Hours(1);
  KeyKind key = KeyKind::p256;
  std::string password = {};  // of the key
};

class Authority {
 public:
  // One that nobody vouches for.
  explicit Authority(const std::string& name);
  // One that this one vouches for.
  Authority authority(const std::string& name) const;

  Pem pem() const;
  // With what leads from it to the authority that nobody vouches for, that one left out.
  TlsIdentity issue(const Wish& wish = {}) const;
  // The same without what leads there.
  TlsIdentity issue_alone(const Wish& wish = {}) const;

 private:
  struct Made;
  explicit Authority(std::shared_ptr<const Made> made) : made_(std::move(made)) {}
  std::shared_ptr<const Made> made_;
};

// Vouches for itself alone.
TlsIdentity self_signed(const Wish& wish = {});

}  // namespace cooperative::testing
