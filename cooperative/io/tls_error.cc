#include <system_error>

#include <fmt/core.h>

#include "cooperative/io/internal/openssl.h"
#include "mothreads/internal/base/made_once.h"

namespace cooperative::inline v0 {

namespace {

std::string text_of(unsigned long error) {
  if (error == 0) return "OpenSSL gives no reason";
  const char* const library = ERR_lib_error_string(error);
  const char* const reason = ERR_SYSTEM_ERROR(error) ? nullptr : ERR_reason_error_string(error);
  if (reason == nullptr) {
    char text[256];
    ERR_error_string_n(error, text, sizeof text);
    return text;
  }
  return fmt::format("{}: {}", library != nullptr ? library : "OpenSSL", reason);
}

// Its errors fit into 32 bits.
class OpensslCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "openssl"; }
  std::string message(int value) const override { return text_of(static_cast<unsigned int>(value)); }
};

std::error_code code_of(unsigned long error) {
  static constinit mothreads::internal::MadeOnce<const OpensslCategory> category;
  return {static_cast<int>(static_cast<unsigned int>(error)), category.get([] { return new const OpensslCategory; })};
}

}  // namespace

TlsError::TlsError(unsigned long error, const std::string& what) : IoError(code_of(error), what) {}

namespace internal::io {

QueuedErrors take_errors() {
  // The oldest first, and that is the innermost. What is said of the outermost is its text, which the exception's code has already.
  QueuedErrors errors;
  const auto add = [&errors](std::string_view text) {
    if (text.empty()) return;
    if (!errors.details.empty()) errors.details += "; ";
    errors.details += text;
  };
  const char* data = nullptr;
  int flags = 0;
  while (const unsigned long error = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    if (errors.outermost != 0) add(text_of(errors.outermost));
    errors.outermost = error;
    if ((flags & ERR_TXT_STRING) != 0 && data != nullptr) add(data);
  }
  return errors;
}

void throw_tls_error(std::string_view object, std::string_view verb) {
  const QueuedErrors errors = take_errors();
  throw TlsError(errors.outermost, fmt::format("{}: cannot {}{}{}", object, verb, errors.details.empty() ? "" : ": ", errors.details));
}

}  // namespace internal::io
}  // namespace cooperative
