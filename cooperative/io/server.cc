#include "cooperative/io/server.h"

#include <exception>

#include "cooperative/errors.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/internal/connections.h"
#include "cooperative/io/internal/serving.h"
#include "cooperative/io/session.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Signal;
using mothreads::Until;

namespace {

// The session of a handler: one turn, to the end of the connection.
class HandlerSession final : public internal::io::Session {
 public:
  HandlerSession(ConnectionHandler& handler, Socket& client) : handler_(handler), client_(client) {}
  std::optional<Rest> serve(mothreads::Why, const Signal& please_stop) override {
    handler_(client_, please_stop);
    return std::nullopt;
  }

 private:
  ConnectionHandler& handler_;
  Socket& client_;
};

class ServingDatagrams final : public Server::Serving {
 public:
  ServingDatagrams(Socket&& socket, DatagramHandler&& handler, const ServerOptions& options)
      : Serving(std::move(socket), options), handler_(std::move(handler)), room_(internal::make_memory<std::byte>(kLargestDatagram)) {}

 private:
  static constexpr std::size_t kLargestDatagram = 65'536;

  bool take_one(const Until& until) override {
    Datagram got{};
    try {
      got = socket_.recv_from({room_.get(), kLargestDatagram}, until);
    } catch (const EndedEarly& early) {
      if (early.why() == mothreads::Why::closed) throw;
      return false;
    }
    spawn_taken(Turn{.place = Admission(*this),
                     .handler = handler_,
                     .request = {.data = std::string(reinterpret_cast<const char*>(room_.get()), got.size), .from = got.from, .socket = socket_}});
    return true;
  }

  struct Turn {
    void begins() const { place.begins(); }
    std::string describe() const { return "a datagram from " + request.from.to_string(); }
    void operator()(const Signal& please_stop) { handler(request, please_stop); }

    Admission place;
    DatagramHandler& handler;
    DatagramRequest request;
  };

  // Answers go by the same socket: it is closed when all have ended.
  void close() override {
    if (!std::exchange(is_closed_, true)) remove_path();
  }

  DatagramHandler handler_;
  const internal::Memory<std::byte> room_;
  bool is_closed_ = false;
};

}  // namespace

namespace internal::io {

Server serve(Socket listener, ConnectionHandler handler, const ServerOptions& options) {
  auto make = [handler = std::move(handler)](Socket& client, SessionOwner&, const Signal&) mutable -> std::unique_ptr<Session> {
    return std::make_unique<HandlerSession>(handler, client);
  };
  return serve_sessions(std::move(listener), std::move(make), mothreads::NEVER, options);
}

Server serve_sessions(Socket listener, SessionMaker make, const Signal& ends_rests, const ServerOptions& options) {
  return Server::Serving::start(std::make_shared<ServingConnections>(std::move(listener), std::move(make), ends_rests, options));
}

Server serve_datagrams(Socket socket, DatagramHandler handler, const ServerOptions& options) {
  return Server::Serving::start(std::make_shared<ServingDatagrams>(std::move(socket), std::move(handler), options));
}

}  // namespace internal::io

Server::Server(std::shared_ptr<Serving> serving, Fiber<void> fiber, mothreads::internal::Access) : serving_(std::move(serving)), fiber_(std::move(fiber)) {}

Server::Serving& Server::serving() const {
  if (serving_ == nullptr) throw mothreads::Misuse("this Server serves nothing: it was moved from");
  return *serving_;
}

const Address& Server::address() const { return serving().address(); }
ServerStatistics Server::statistics() const { return serving().statistics(); }

Server& Server::operator=(Server&& other) noexcept {
  if (this == &other) return *this;
  leave_in_child();
  fiber_ = std::move(other.fiber_);
  serving_ = std::move(other.serving_);
  return *this;
}

Server::~Server() { leave_in_child(); }

void Server::leave_in_child() noexcept {
  if (serving_ != nullptr && serving_->is_left_behind()) serving_->leave();
}

mothreads::Signal Server::stopped() const {
  static_cast<void>(serving());
  return fiber_.stopped();
}

Server& Server::stop() {
  static_cast<void>(serving());
  leave_in_child();
  fiber_.stop();
  return *this;
}

void Server::join(const mothreads::Until& until) {
  static_cast<void>(serving());
  try {
    fiber_.join(until);
  } catch (const WasCancelled&) {
    // The deadline of a stop has cut the drain, and the connections with it.
  }
}

}  // namespace cooperative
