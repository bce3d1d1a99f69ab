#include "cooperative/http/server.h"

#include <optional>

#include "cooperative/http/internal/http_connection.h"
#include "mothreads/ended.h"

namespace cooperative::inline v0::http {

void serve_http_connection(Stream& client, const Handler& handler, const ConnectionOptions& options) {
  serve_http_connection(client, handler, options, options.draining);
}

void serve_http_connection(Stream& client, const Handler& handler, const ConnectionOptions& options, const mothreads::Signal& draining) {
  internal::ConnectionState state;
  internal::HttpConnection connection(client, handler, options, draining, state);
  mothreads::Why why = mothreads::Why::ready;
  while (const std::optional<absl::Duration> limit = connection.serve(why)) why = connection.await_more(*limit);
}

}  // namespace cooperative::http
