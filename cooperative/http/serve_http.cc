#include "cooperative/http/serve_http.h"

#include <utility>
#include <vector>

#include <fmt/core.h>

#include "cooperative/http/internal/deadline.h"
#include "cooperative/io/connect.h"
#include "mothreads/instant.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread_group.h"

namespace cooperative::http {

using mothreads::MainThread;
using mothreads::Signal;
using mothreads::ThreadGroup;

namespace {

// The part of a site that all its threads share, and none changes.
struct Shared {
  Shared(Handler its_handler, ServeOptions its_options)
      : handler(std::move(its_handler)), options(std::move(its_options)), draining(options.draining ? *options.draining : MainThread::draining()) {}

  Response answer(Request& request, const Signal& please_stop) const {
    if (options.ready_path.empty() || request.raw_path() != options.ready_path) return handler(request);
    if (request.method() != "GET" && request.method() != "HEAD") {
      Response refused = Response::error(405);
      refused.headers.add("Allow", "GET, HEAD");
      return refused;
    }
    const bool drains = please_stop || draining || MainThread::draining();
    Response response = drains ? Response::text(503, "draining\n") : Response::text(200, "ready\n");
    response.headers.add("Cache-Control", "no-store");
    return response;
  }

  void talk(Stream& client, const Signal& please_stop) const {
    const std::unique_ptr<Stream> wrapped = options.wrap ? options.wrap(client) : nullptr;
    serve_http_connection(
        wrapped ? *wrapped : client, [&](Request& request) { return answer(request, please_stop); }, options.connection,
        please_stop | draining | options.connection.draining);
  }

  void serve(Socket& client, const Signal& please_stop) const {
    if (!options.tls) return talk(client, please_stop);
    // A client that has sent nothing gets no more than drain_grace at a drain, as without TLS.
    const Signal drains = please_stop | draining | options.connection.draining;
    const mothreads::Instant deadline = internal::deadline_in(options.handshake_limit);
    if (!client.fill(drains | deadline) && !(drains && client.fill(options.connection.drain_grace))) return;
    // Also while it drains: who has been let in gets an answer to what was asked by then.
    TlsStream secure = TlsStream::accept(*options.tls, client, deadline);
    talk(secure, please_stop);
  }

  const Handler handler;
  const ServeOptions options;
  const Signal draining;
};

Server serve_on_this_thread(const std::shared_ptr<const Shared>& shared, Socket listener) {
  const ServeOptions& options = shared->options;
  return cooperative::serve(
      std::move(listener), [shared](Socket& client, const Signal& please_stop) { shared->serve(client, please_stop); },
      ServerOptions{.name = options.name,
                    .max_connections = options.max_connections,
                    .drain = options.drain,
                    .draining = shared->draining,
                    .stack_size = options.stack_size});
}

}  // namespace

class Site::Serving {
 public:
  // A listener for each thread, or one for the calling one.
  Serving(std::vector<Socket> listeners, const std::shared_ptr<const Shared>& shared) : address_(listeners.front().local_address()) {
    const ServeOptions& options = shared->options;
    if (options.threads == 0) {
      server_.emplace(serve_on_this_thread(shared, std::move(listeners.front())));
      stopped_ = server_->stopped();
      return;
    }
    threads_.emplace(options.name);
    std::vector<Signal> members;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      members.push_back(threads_->run(fmt::format("{} {}", options.name, i + 1),
                                       [shared, listener = std::move(listeners[i])](const Signal& please_stop) mutable {
                                         Server server = serve_on_this_thread(shared, std::move(listener));
                                         (please_stop | server.stopped()).wait();
                                         server.stop().join();
                                       }).stopped());
    }
    stopped_ = Signal::all_of(members);
  }

  const Address& address() const { return address_; }
  void stop() {
    if (server_) server_->stop();
    if (threads_) threads_->stop();
  }
  void join(const mothreads::Until& until) {
    if (server_) server_->join(until);
    if (threads_) threads_->join(until);
  }
  const Signal& stopped() const { return stopped_; }

 private:
  const Address address_;
  std::optional<Server> server_;
  std::optional<ThreadGroup> threads_;
  Signal stopped_;
};

Site::Site(std::unique_ptr<Serving> serving) : serving_(std::move(serving)) {}
Site::Site(Site&&) noexcept = default;
Site& Site::operator=(Site&&) noexcept = default;
Site::~Site() = default;

const Address& Site::address() const { return serving_->address(); }
mothreads::Signal Site::stopped() const { return serving_->stopped(); }
void Site::join(const mothreads::Until& until) { serving_->join(until); }
Site& Site::stop() {
  serving_->stop();
  return *this;
}

namespace {

Site serve_at(std::vector<Socket> listeners, Handler handler, ServeOptions options) {
  if (!handler) throw mothreads::Misuse(fmt::format("{} has no handler", options.name));
  return Site(std::make_unique<Site::Serving>(std::move(listeners), std::make_shared<const Shared>(std::move(handler), std::move(options))));
}

}  // namespace

Site serve_http(const Address& at, Handler handler, ServeOptions options) {
  // All listen at one address, and the kernel gives each its share of the connections. The first finds out which port that is.
  if (!handler) throw mothreads::Misuse(fmt::format("{} has no handler", options.name));  // before a path is made
  if (!at.is_ip()) return serve_http(listen(at), std::move(handler), std::move(options));
  std::vector<Socket> listeners;
  listeners.push_back(listen(at, {.reuse_port = options.threads > 1}));
  const Address address = listeners.front().local_address();
  while (listeners.size() < options.threads) listeners.push_back(listen(address, {.reuse_port = true}));
  return serve_at(std::move(listeners), std::move(handler), std::move(options));
}

Site serve_http(Socket listener, Handler handler, ServeOptions options) {
  std::vector<Socket> listeners;
  while (listeners.size() + 1 < options.threads) listeners.push_back(listener.duplicate());
  listeners.push_back(std::move(listener));
  return serve_at(std::move(listeners), std::move(handler), std::move(options));
}

}  // namespace cooperative::http
