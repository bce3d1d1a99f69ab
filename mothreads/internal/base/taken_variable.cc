#include "mothreads/internal/base/taken_variable.h"

#include <cstdlib>

namespace mothreads::inline v0::internal {

std::optional<std::string> take_variable(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  std::string value(text);
  ::unsetenv(name);
  return value;
}

}  // namespace mothreads::internal
