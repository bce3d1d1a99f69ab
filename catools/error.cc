#include "catools/error.h"

#include <fmt/core.h>

namespace catools::inline v0 {

Error::Error(mothreads::Why why, Code code, std::string_view name, std::string_view text)
    : why_(why),
      code_(code),
      parts_(std::make_shared<const Parts>(Parts{std::string(name), std::string(text), fmt::format("{}: {}", name, text)})) {}

void Error::raise() const {
  switch (why_) {
    case mothreads::Why::timed_out: throw ErrorAs<mothreads::Timedout>(*this);
    case mothreads::Why::stopped: throw ErrorAs<mothreads::Stopped>(*this);
    case mothreads::Why::closed:
    case mothreads::Why::full:
    case mothreads::Why::ready: break;
  }
  throw ErrorAs<mothreads::Closed>(*this);
}

std::ostream& operator<<(std::ostream& out, Code code) { return out << static_cast<int>(code); }
std::ostream& operator<<(std::ostream& out, const Error& error) { return out << error.what(); }

}  // namespace catools::inline v0
