#include "cooperative/http/serve_http.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "cooperative/http/internal/deadline.h"
#include "cooperative/http/internal/http_connection.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/session.h"
#include "mothreads/clock.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread_group.h"

namespace cooperative::inline v0::http {

using mothreads::Clock;
using mothreads::MainThread;
using mothreads::Signal;
using mothreads::ThreadGroup;
using mothreads::Why;

namespace {

// The part of a site that all its threads share, and none changes.
struct Shared {
  Shared(Handler its_handler, ServeOptions its_options)
      : handler(std::move(its_handler)), options(std::move(its_options)), draining(options.draining ? *options.draining : MainThread::draining()) {}

  Response answer(Request& request, const Signal& please_stop) const {
    if (options.ready_path.empty() || request.raw_path() != options.ready_path) return handler(request);
    if (request.method() != "GET" && request.method() != "HEAD") return Response::not_allowed("GET, HEAD");
    const bool drains = please_stop || draining || MainThread::draining();
    Response response = drains ? Response::text(503, "draining\n") : Response::text(200, "ready\n");
    response.headers.add("Cache-Control", "no-store");
    return response;
  }

  const Handler handler;
  const ServeOptions options;
  const Signal draining;
};

// A connection that was asked again so soon keeps its fiber for so long after an answer: that costs less than another turn.
constexpr absl::Duration kSoon = absl::Milliseconds(10);

// One connection of a site. When it is silent for longer it rests, unless something stands between HTTP and the socket of which only a read can tell
// whether there is more.
class SiteSession final : public cooperative::internal::io::Session {
 public:
  // `ends` is what ends connections that are kept alive.
  SiteSession(std::shared_ptr<const Shared> shared, Socket& client, cooperative::internal::io::SessionOwner& owner, const Signal& please_stop,
              const Signal& ends)
      : shared_(std::move(shared)), client_(client), please_stop_(please_stop), ends_(ends) {
    state_.session = &owner;
  }

  std::optional<Rest> serve(Why why, const Signal&) override {
    if (stream_ == nullptr && !begin()) return std::nullopt;
    const Handler handler = [this](Request& request) { return shared_->answer(request, please_stop_); };
    internal::HttpConnection connection(*stream_, handler, shared_->options.connection, ends_, state_);
    std::optional<absl::Duration> limit = come_back(connection, why);
    while (true) {
      if (!limit) limit = connection.serve(why);
      if (!limit) return std::nullopt;
      if (const std::optional<Rest> rest = await_more(connection, *limit, why)) return rest;
      limit.reset();
    }
  }

 private:
  // False when the client has sent nothing by the time it has to go.
  bool begin() {
    const ServeOptions& options = shared_->options;
    stream_ = &client_;
    if (options.tls) {
      // A client that has sent nothing gets no more than drain_grace at a drain, as without TLS.
      const mothreads::Instant deadline = internal::deadline_in(options.handshake_limit);
      if (!client_.fill(ends_ | deadline) && !(ends_ && client_.fill(options.connection.drain_grace))) return false;
      // Also while it drains: who has been let in gets an answer to what was asked by then.
      secure_ = std::make_unique<TlsStream>(TlsStream::accept(*options.tls, client_, deadline));
      stream_ = secure_.get();
    }
    if (options.wrap) wrapped_ = options.wrap(*stream_);
    if (wrapped_) stream_ = wrapped_.get();
    return true;
  }

  // After a rest. Gives the rest of its limit when nothing has come that ends it; a part of a TLS record is nothing.
  std::optional<absl::Duration> come_back(internal::HttpConnection& connection, Why& why) {
    if (!rests_since_) return std::nullopt;
    const absl::Duration rested = absl::FromChrono(Clock::current().now() - *std::exchange(rests_since_, std::nullopt));
    is_asked_soon_ = rested < kSoon;
    if (why != Why::ready) return std::nullopt;
    why = connection.await_more(absl::ZeroDuration());
    if (why != Why::timed_out || rested >= rest_limit_) return std::nullopt;
    return rest_limit_ - rested;
  }

  // Gives a rest, or has waited: `why` says how that ended.
  std::optional<Rest> await_more(internal::HttpConnection& connection, absl::Duration limit, Why& why) {
    const bool stays = is_asked_soon_ && limit > kSoon;
    if (stays) {
      why = connection.await_more(kSoon);
      if (why != Why::timed_out) return std::nullopt;
      is_asked_soon_ = false;
      limit -= kSoon;
    }
    Descriptor* const source = ends_ || limit <= kSoon || !connection.may_rest() ? nullptr : stream_->begin_rest(mothreads::internal::kAccess);
    if (source == nullptr) {
      why = connection.await_more(limit);
      return std::nullopt;
    }
    if (source->readiness().may_be_ready(Descriptor::Side::read)) {
      why = connection.await_more(absl::ZeroDuration());
      if (why != Why::timed_out) return std::nullopt;
      if (!connection.may_rest()) {  // another fiber had a turn meanwhile
        why = Why::ready;
        return std::nullopt;
      }
    }
    rests_since_ = Clock::current().now();
    rest_limit_ = limit;
    return Rest{source, limit};
  }

  const std::shared_ptr<const Shared> shared_;
  Socket& client_;
  const Signal please_stop_;
  const Signal ends_;
  std::unique_ptr<TlsStream> secure_;
  std::unique_ptr<Stream> wrapped_;
  Stream* stream_ = nullptr;
  internal::ConnectionState state_;
  bool is_asked_soon_ = true;
  std::optional<mothreads::Instant> rests_since_;
  absl::Duration rest_limit_;
};

Server serve_on_this_thread(const std::shared_ptr<const Shared>& shared, Socket listener) {
  const ServeOptions& options = shared->options;
  const Signal draining = shared->draining | options.connection.draining;
  // One combination for all connections of a thread.
  auto make = [shared, draining, ends = std::optional<Signal>()](Socket& client, cooperative::internal::io::SessionOwner& owner,
                                                                 const Signal& please_stop) mutable -> std::unique_ptr<cooperative::internal::io::Session> {
    if (!ends) ends = please_stop | draining;
    return std::make_unique<SiteSession>(shared, client, owner, please_stop, *ends);
  };
  return cooperative::internal::io::serve_sessions(std::move(listener), std::move(make), draining,
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

Site::Site(std::unique_ptr<Serving> serving, mothreads::internal::Access) : serving_(std::move(serving)) {}
Site::Site(Site&&) noexcept = default;
Site& Site::operator=(Site&&) noexcept = default;
Site::~Site() = default;

Site::Serving& Site::serving() const {
  if (serving_ == nullptr) throw mothreads::Misuse("this Site serves nothing: it was moved from");
  return *serving_;
}

const Address& Site::address() const { return serving().address(); }
mothreads::Signal Site::stopped() const { return serving().stopped(); }
void Site::join(const mothreads::Until& until) { serving().join(until); }
Site& Site::stop() {
  serving().stop();
  return *this;
}

namespace {

Site serve_at(std::vector<Socket> listeners, Handler handler, ServeOptions options) {
  if (!handler) throw mothreads::Misuse(fmt::format("{} has no handler", options.name));
  return Site(std::make_unique<Site::Serving>(std::move(listeners), std::make_shared<const Shared>(std::move(handler), std::move(options))), mothreads::internal::kAccess);
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
