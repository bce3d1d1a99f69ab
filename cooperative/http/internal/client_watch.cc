#include "cooperative/http/internal/client_watch.h"

#include <cstddef>

#include "cooperative/io/io_error.h"
#include "mothreads/ended.h"

namespace cooperative::http::internal {

namespace {

// A client that sends so much behind its request is there, and may wait for its answer.
constexpr std::size_t kMaxAhead = 64 * 1024;

}  // namespace

void ClientWatch::begin() {
  if (!fiber_) fiber_.emplace(spawn("watch of a client", [this] { watch(); }));
}

void ClientWatch::watch() {
  try {
    while (stream_.fill().why() != mothreads::Why::closed) {
      if (stream_.buffered().size() >= kMaxAhead) return;
    }
  } catch (const IoError&) {
    // The request's own fiber meets it, too.
  }
  gone_.go();
}

}  // namespace cooperative::http::internal
