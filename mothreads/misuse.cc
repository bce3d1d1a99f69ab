#include "mothreads/misuse.h"

#include <cstdio>
#include <cstdlib>

namespace mothreads::inline v0::internal {

void fatal_misuse(std::string_view message) noexcept {
  std::fprintf(stderr, "mothreads: %.*s\n", static_cast<int>(message.size()), message.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace mothreads::internal
