#include "cooperative/internal/wait/label.h"

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::KeptName;

std::string_view checked_name(const char* kind, std::string_view name) {
  if (name.find('\0') == std::string_view::npos) return name;
  throw mothreads::Misuse(fmt::format("\"{}\" cannot be the name of {}: it has a zero byte, which would end it in every report",
                                      mothreads::internal::printable(name), kind));
}

std::string Label::object(const char* kind) const {
  KeptName::Copy name;
  KeptName::read(number(), name);
  return name.size == 0 ? std::string(kind) : fmt::format("{} \"{}\"", kind, name.view());
}

}  // namespace cooperative::internal
