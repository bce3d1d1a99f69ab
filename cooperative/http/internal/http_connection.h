#pragma once

// The server's side of one HTTP connection, or of the protocol that it was upgraded to. It waits for the rest of a request and for room to answer, but not
// for the next request: whoever owns it does that, in a fiber or without one.

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/http_body.h"
#include "cooperative/http/internal/client_watch.h"
#include "cooperative/http/internal/http_parser.h"
#include "cooperative/http/internal/protocol.h"
#include "cooperative/http/message.h"
#include "cooperative/http/server.h"
#include "cooperative/io/stream.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/log.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::http::internal {

// A connection keeps this between two requests. Destroyed before its stream.
struct ConnectionState {
  std::uint64_t requests = 0;
  bool has_passed_line = false;                              // an empty one, before the next request
  cooperative::internal::io::SessionOwner* session = nullptr;  // as ProtocolOwner
  std::unique_ptr<Protocol> protocol = nullptr;              // once it has been upgraded to one that is served in turns
};

class HttpConnection final : RequestEnd {
 public:
  HttpConnection(Stream& stream, const Handler& handler, const ConnectionOptions& options, const mothreads::Signal& draining, ConnectionState& state);

  // Serves what has come, and closes the connection when that was its end. Else gives for how long it may be silent now. `why` is how the wait before it
  // ended: `ready` also at first. Throws only what cancels the fiber that calls.
  std::optional<absl::Duration> serve(mothreads::Why why);
  // Waits, in the fiber that calls, for what is to be given to serve(); not longer than `limit`, nor than until `draining` goes.
  mothreads::Why await_more(absl::Duration limit);
  // Whether its owner may wait in its place, without a fiber.
  bool may_rest() const { return !state_.protocol || state_.protocol->may_rest(); }

 private:
  enum class Next : std::uint8_t { request, idle, linger, end };

  Next serve_one(mothreads::Why why);
  Next find_request(mothreads::Why why);
  bool read_head(Next& next);
  Next refuse(int status, std::string_view why);
  int check_head();
  void prepare_body();
  Response ask_handler();
  Next answer(Response& response);
  Next upgrade(Response& response);
  Next serve_protocol(absl::FunctionRef<std::optional<absl::Duration>()> serve);
  bool drop_body();
  void linger();
  mothreads::Signal ended() override;
  void tell_answered(int status, bool is_complete) const;
  void log_failure() const;
  void log_upgrade_failure() const {
    mothreads::log::error("{}: the function behind an upgrade failed: {}", stream_.name(), mothreads::log::describe(std::current_exception()));
  }
  void log_end(const std::exception& error) const;
  void log_unanswered(std::string_view why) const { mothreads::log::warning("{}: a request got no answer: {}", stream_.name(), why); }
  // It is no fault of anybody's here.
  void log_client_left(std::string_view why) const { mothreads::log::info("{}: the client left before it had its answer: {}", stream_.name(), why); }

  Stream& stream_;
  const Handler& handler_;
  const ConnectionOptions& options_;
  const mothreads::Signal draining_;
  HttpParser parser_;
  Request request_;
  Body body_;
  std::string scratch_;          // of the response's head, kept for the next
  ConnectionState& state_;
  absl::Duration idle_limit_;    // of the wait for what comes next
  bool is_unanswered_ = false;
  bool is_cut_ = false;          // a response, in a way that only a reset shows to the client
  mothreads::Instant asked_{};   // for on_answer
  std::optional<ClientWatch> watch_;
  const FiberParent parent_ = ClientWatch::this_fiber();  // of what it starts, whichever fiber of a handler asks for it
};

}  // namespace cooperative::http::internal
