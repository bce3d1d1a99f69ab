#include "docs/examples/file_server/run.h"

#include <memory>
#include <utility>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/static_files.h"
#include "cooperative/io/address.h"
#include "cooperative/io/stream.h"
#include "cooperative/io/tls.h"
#include "docs/examples/file_server/throttled_stream.h"
#include "mothreads/log.h"

namespace file_server {

namespace co = cooperative;
namespace http = cooperative::http;
using mothreads::Signal;

namespace {

void log_answer(const http::Request& request, const http::Answered& answered) {
  mothreads::log::info("{} \"{} {}\" {} {:.1f} ms{}", request.peer(), request.method(), request.target(), answered.status,
                       absl::ToDoubleMilliseconds(answered.took), answered.is_complete ? "" : ", cut short");
}

http::ServeOptions serve_options(const Options& options) {
  http::ServeOptions serve{.name = "file_server", .threads = options.threads};
  if (!options.certificates.empty()) {
    serve.tls = co::TlsContext::server({.identities = {{.certificates = co::Pem::of_file(options.certificates), .key = co::Pem::of_file(options.key)}},
                                        .protocols = {"http/1.1"}});
  }
  if (!options.is_quiet) serve.connection.on_answer = log_answer;
  if (options.bytes_per_second) {
    serve.wrap = [rate = *options.bytes_per_second](co::Stream& client) { return std::make_unique<ThrottledStream>(client, rate); };
  }
  return serve;
}

}  // namespace

void run(const Options& options, const Signal& please_stop, const std::function<void(const std::string& url)>& listens) {
  auto site = http::serve_http(co::Address(options.ip, options.port), http::StaticFiles(options.directory), serve_options(options));
  listens(fmt::format("{}://{}/", options.certificates.empty() ? "http" : "https", site.address().to_string()));
  please_stop.wait();
  site.stop().join();
}

}  // namespace file_server
