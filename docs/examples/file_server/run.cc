#include "docs/examples/file_server/run.h"

#include <vector>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "cooperative/http/server.h"
#include "cooperative/http/static_files.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/server.h"
#include "cooperative/io/tls.h"
#include "docs/examples/file_server/throttled_stream.h"
#include "mothreads/log.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"

namespace file_server {

namespace co = cooperative;
namespace http = cooperative::http;
using mothreads::Signal;

namespace {

constexpr absl::Duration kHandshakeLimit = absl::Seconds(10);

// What all threads share, and none changes.
struct Site {
  explicit Site(const Options& its_options) : options(its_options), files(its_options.directory) {
    if (options.certificates.empty()) return;
    tls = co::TlsContext::server({.identities = {{.certificates = co::Pem::of_file(options.certificates), .key = co::Pem::of_file(options.key)}},
                                  .protocols = {"http/1.1"}});
  }

  static void log_answer(const http::Request& request, const http::Answered& answered) {
    mothreads::log::info("{} \"{} {}\" {} {:.1f} ms{}", request.peer(), request.method(), request.target(), answered.status,
                         absl::ToDoubleMilliseconds(answered.took), answered.is_complete ? "" : ", cut short");
  }

  const Options& options;
  const http::StaticFiles files;
  std::optional<co::TlsContext> tls;
};

void talk(const Site& site, co::Stream& client, const Signal& please_stop) {
  http::ConnectionOptions connection;
  connection.draining = please_stop;
  if (!site.options.is_quiet) connection.on_answer = Site::log_answer;
  if (site.options.bytes_per_second) {
    ThrottledStream slower(client, *site.options.bytes_per_second);
    http::serve_http_connection(slower, site.files, connection);
  } else {
    http::serve_http_connection(client, site.files, connection);
  }
}

void serve_one(const Site& site, co::Socket& client, const Signal& please_stop) {
  if (!site.tls) return talk(site, client, please_stop);
  // Also while it drains: who has been let in gets an answer to what was asked by then.
  co::TlsStream secure = co::TlsStream::accept(*site.tls, client, kHandshakeLimit);
  talk(site, secure, please_stop);
}

}  // namespace

void run(const Options& options, const Signal& please_stop, const std::function<void(const std::string& url)>& listens) {
  const Site site(options);
  // All listen at one address, and the kernel gives each its share of the connections. The first finds out which port that is.
  std::vector<co::Socket> listeners;
  listeners.push_back(co::listen(co::Address(options.ip, options.port), {.reuse_port = true}));
  const co::Address address = listeners.front().local_address();
  while (listeners.size() < options.threads) listeners.push_back(co::listen(address, {.reuse_port = true}));

  mothreads::ThreadGroup servers("servers");
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    servers.run(fmt::format("server {}", i + 1), [&site, listener = std::move(listeners[i])](const Signal& stop) mutable {
      auto server = co::serve(
          std::move(listener), [&site](co::Socket& client, const Signal& drains) { serve_one(site, client, drains); }, {.name = "file_server"});
      stop.wait();  // and then its fibers are told, and waited for
      server.join();
    });
  }
  listens(fmt::format("{}://{}/", site.tls ? "https" : "http", address.to_string()));
  please_stop.wait();
  servers.stop();
  servers.join();
}

}  // namespace file_server
