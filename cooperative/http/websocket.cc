#include "cooperative/http/websocket.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cooperative/errors.h"
#include "cooperative/http/client.h"
#include "cooperative/http/internal/message_protocol.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/internal/websocket_key.h"
#include "cooperative/http/internal/websocket_outcome.h"
#include "cooperative/io/stream.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

using internal::WebSocketFrames;
using mothreads::Until;

WebSocket::WebSocket(std::unique_ptr<WebSocketFrames> frames, mothreads::internal::Access) : frames_(std::move(frames)) {}
WebSocket::WebSocket(WebSocket&& other) noexcept : frames_(other.give_away()) {}
WebSocket::~WebSocket() = default;

WebSocket& WebSocket::operator=(WebSocket&& other) noexcept {
  check_moves();
  if (this != &other) frames_ = other.give_away();
  return *this;
}

std::unique_ptr<WebSocketFrames> WebSocket::give_away() noexcept {
  check_moves();
  return std::move(frames_);
}

void WebSocket::check_moves() const noexcept {
  if (!is_kept_) return;
  mothreads::internal::fatal_misuse("a handler's WebSocket was moved, though it ends with its connection: keep a pointer, until the handler returns");
}

WebSocketFrames& WebSocket::frames() const {
  if (frames_ == nullptr) throw mothreads::Misuse("this WebSocket is none any more: it was moved from");
  return *frames_;
}

WebSocketReceived WebSocket::read(const Until& until) { return frames().read(until); }
void WebSocket::write_text(std::string_view text, const Until& until) { frames().write_message(WebSocketFrames::Opcode::text, text, until); }
void WebSocket::write_binary(std::string_view data, const Until& until) { frames().write_message(WebSocketFrames::Opcode::binary, data, until); }
WebSocketWriter WebSocket::begin_text(const Until& until) {
  frames().begin_message(WebSocketFrames::Opcode::text, until);
  return {frames(), /*is_text=*/true, mothreads::internal::kAccess};
}
WebSocketWriter WebSocket::begin_binary(const Until& until) {
  frames().begin_message(WebSocketFrames::Opcode::binary, until);
  return {frames(), /*is_text=*/false, mothreads::internal::kAccess};
}
void WebSocket::ping(std::string_view payload, const Until& until) { frames().ping(payload, until); }
std::uint64_t WebSocket::pongs() const { return frames().pongs(); }
void WebSocket::close(std::uint16_t code, std::string_view reason, const Until& until) { frames().close(code, reason, until); }
bool WebSocket::is_open() const { return frames().is_open(); }
std::uint16_t WebSocket::close_code() const { return frames().close_code(); }
const std::string& WebSocket::close_reason() const { return frames().close_reason(); }
const std::string& WebSocket::protocol() const { return frames().protocol(); }

FiberParent WebSocket::fibers() { return frames().fibers(); }

WebSocketWriter::WebSocketWriter(WebSocketFrames& frames, bool is_text, mothreads::internal::Access) : frames_(&frames), is_text_(is_text) { frames.is_written_by(this); }

WebSocketWriter::WebSocketWriter(WebSocketWriter&& other) noexcept
    : frames_(std::exchange(other.frames_, nullptr)), is_lost_(other.is_lost_), is_text_(other.is_text_), check_(other.check_) {
  if (frames_ != nullptr) frames_->is_written_by(this);
}

WebSocketWriter::~WebSocketWriter() {
  if (frames_ != nullptr) frames_->end_message();
}

void WebSocketWriter::write(std::string_view piece, const Until& until) { put(piece, /*is_last=*/false, until); }

void WebSocketWriter::end(const Until& until) {
  put({}, /*is_last=*/true, until);
  if (frames_ != nullptr) std::exchange(frames_, nullptr)->end_message();  // else it has ended behind this message
}

void WebSocketWriter::put(std::string_view piece, bool is_last, const Until& until) {
  if (is_lost_) throw Closed("a WebSocket", "a piece of a message cannot be written: its WebSocket has ended");
  if (frames_ == nullptr) throw mothreads::Misuse("a piece of a WebSocket's message was written after its end: begin another");
  internal::Utf8Check check = check_;
  if (is_text_ && (!check.add(piece) || (is_last && !check.is_whole()))) {
    throw mothreads::Misuse(fmt::format("{}: a text that is no UTF-8 cannot be written: use begin_binary()", frames_->name()));
  }
  frames_->write_piece(piece, is_last, until);
  check_ = check;
}

namespace {

// Runs it, and closes it in order.
void serve(Stream& stream, absl::AnyInvocable<void(WebSocket&)>& run, const WebSocketOptions& options, const std::string& protocol) {
  auto frames = std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::server, options, protocol);
  const WebSocketFrames& state = *frames;
  WebSocket socket(std::move(frames), mothreads::internal::kAccess);
  socket.keep_in_place(mothreads::internal::kAccess);
  internal::WebSocketOutcome outcome(state);
  outcome.of([&] { run(socket); });
  // The handler may have looked at the same Signal.
  const bool goes_away = outcome.code() == WebSocket::kNormal && state.has_to_leave();
  try {
    socket.close(goes_away ? WebSocket::kGoingAway : outcome.code(), {}, options.close_limit);
  } catch (const std::runtime_error& error) {
    mothreads::log::info("{}: was not closed in order: {}", stream.name(), error.what());
  }
  outcome.rethrow();
}

// The answer to a request for one, without what comes behind it. Not 101 when it is refused.
Response answer_handshake(const Request& request, const WebSocketOptions& options, std::string& protocol) {
  const Headers& headers = request.headers();
  if (request.method() != "GET") return Response::not_allowed("GET");
  if (!headers.has_token("Upgrade", "websocket") || !headers.has_token("Connection", "upgrade") || request.minor_version() == 0) {
    Response refused = Response::error(426);
    refused.headers.add("Upgrade", "websocket");
    return refused;
  }
  if (headers.get("Sec-WebSocket-Version") != "13") {
    Response refused = Response::error(426);
    refused.headers.add("Upgrade", "websocket");
    refused.headers.add("Sec-WebSocket-Version", "13");
    return refused;
  }
  const auto key = headers.get("Sec-WebSocket-Key");
  if (headers.count("Sec-WebSocket-Key") != 1 || !internal::is_websocket_key(*key) || headers.get("Content-Length").value_or("0") != "0" ||
      headers.get("Transfer-Encoding")) {
    return Response::error(400);
  }

  Response response{.status = 101, .headers = options.headers};
  response.headers.add("Upgrade", "websocket");
  response.headers.add("Connection", "Upgrade");
  response.headers.add("Sec-WebSocket-Accept", internal::websocket_accept_of(*key));
  for (const std::string& ours : options.protocols) {
    if (headers.has_token("Sec-WebSocket-Protocol", ours)) {
      protocol = ours;
      response.headers.add("Sec-WebSocket-Protocol", ours);
      break;
    }
  }
  return response;
}

}  // namespace

bool is_same_origin(const Request& request) {
  const std::optional<std::string_view> origin = request.headers().get("Origin");
  if (!origin) return true;
  if (request.headers().count("Origin") > 1) return false;
  const std::size_t scheme = origin->find("://");
  return scheme != std::string_view::npos && !request.host().empty() && http_iequals(origin->substr(scheme + 3), request.host());
}

Response accept_websocket(const Request& request, absl::AnyInvocable<void(WebSocket&)> run, const WebSocketOptions& options) {
  std::string protocol;
  Response response = answer_handshake(request, options, protocol);
  if (response.status != 101) return response;
  WebSocketOptions its_options = options;
  if (!its_options.draining) its_options.draining = request.draining();
  response.body = Upgrade{.run = [run = std::move(run), its_options = std::move(its_options), protocol](Stream& stream) mutable {
    serve(stream, run, its_options, protocol);
  }};
  return response;
}

Response accept_websocket(const Request& request, WebSocketHandler handler, const WebSocketOptions& options) {
  if (!handler.on_message) throw mothreads::Misuse("a WebSocket was accepted without a function for its messages: give on_message");
  std::string protocol;
  Response response = answer_handshake(request, options, protocol);
  if (response.status != 101) return response;
  WebSocketOptions its_options = options;
  const bool has_own_draining = options.draining && *options.draining != request.draining();
  if (!its_options.draining) its_options.draining = request.draining();
  response.body = Upgrade{
      .run = nullptr,
      .begin = [handler = std::move(handler), its_options = std::move(its_options), protocol,
                has_own_draining](Stream& stream, const internal::ProtocolOwner& owner) mutable -> std::unique_ptr<internal::Protocol> {
        return std::make_unique<internal::MessageProtocol>(stream, std::move(handler), its_options, protocol, owner, has_own_draining);
      }};
  return response;
}

WebSocket connect_websocket(Stream& stream, std::string_view host, std::string_view target, const WebSocketOptions& options, const Until& until) {
  const std::string key = internal::make_websocket_key();
  ClientRequest call{.target = std::string(target), .headers = options.headers};
  call.headers.set("Upgrade", "websocket");
  call.headers.set("Connection", "Upgrade");
  call.headers.set("Sec-WebSocket-Version", "13");
  call.headers.set("Sec-WebSocket-Key", key);
  if (!options.protocols.empty()) call.headers.set("Sec-WebSocket-Protocol", fmt::format("{}", fmt::join(options.protocols, ", ")));
  Client client(stream, host);
  const Reply reply = client.begin(call, until);
  const auto refuse = [&](std::string_view why) { throw BadReply(BadReply::Fault::malformed, fmt::format("{}: {}", stream.name(), why)); };
  if (reply.status != 101) {
    throw WebSocketRefused(reply.status, fmt::format("{}: refuses a WebSocket: {} {}", stream.name(), reply.status, reply.reason));
  }
  if (!reply.headers.has_token("Upgrade", "websocket") || !reply.headers.has_token("Connection", "upgrade") ||
      reply.headers.get("Sec-WebSocket-Accept") != internal::websocket_accept_of(key)) {
    refuse("answers another question than that for a WebSocket");
  }
  if (reply.headers.get("Sec-WebSocket-Extensions")) refuse("uses an extension that was not offered");
  const std::string protocol(reply.headers.get("Sec-WebSocket-Protocol").value_or(""));
  if (!protocol.empty() && std::find(options.protocols.begin(), options.protocols.end(), protocol) == options.protocols.end()) {
    refuse("speaks a protocol that was not offered");
  }
  return WebSocket(std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::client, options, protocol), mothreads::internal::kAccess);
}

WebSocket connect_websocket(Stream& stream, std::string_view host, std::string_view target, const Until& until) {
  return connect_websocket(stream, host, target, WebSocketOptions{}, until);
}

}  // namespace cooperative::http
