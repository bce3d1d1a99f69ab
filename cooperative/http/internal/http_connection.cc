#include "cooperative/http/internal/http_connection.h"

#include <array>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/client_watch.h"
#include "cooperative/http/internal/deadline.h"
#include "cooperative/http/internal/http_parser.h"
#include "cooperative/http/internal/response_writer.h"
#include "cooperative/http/internal/target.h"
#include "cooperative/io/session.h"
#include "cooperative/io/stream.h"
#include "mothreads/clock.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {
namespace internal {

using mothreads::Clock;
using mothreads::Ended;
using mothreads::Instant;
using mothreads::Until;
using mothreads::Why;
namespace log = mothreads::log;

namespace {

// The rest of a body that a handler did not read is read and dropped, up to so much; else the connection ends.
constexpr std::uint64_t kMaxDropped = 64 * 1024;

// Whether it is about the connection itself, rather than a file or another connection that the handler uses.
bool names(const std::exception& error, const Stream& stream) { return std::string_view(error.what()).starts_with(stream.name() + ": "); }

// Whether it only says that the other side is no longer there.
bool is_client_leaving(const std::exception& error, const Stream& stream) {
  const bool is_end = dynamic_cast<const IoError*>(&error) != nullptr || dynamic_cast<const CutShort*>(&error) != nullptr ||
                      dynamic_cast<const Closed*>(&error) != nullptr;
  return is_end && names(error, stream);
}

}  // namespace

HttpConnection::HttpConnection(Stream& stream, const Handler& handler, const ConnectionOptions& options, const mothreads::Signal& draining,
                               ConnectionState& state)
    : stream_(stream),
      handler_(handler),
      options_(options),
      draining_(draining),
      parser_(HttpParser::Kind::request),
      state_(state),
      idle_limit_(options.idle_limit) {
  request_.body_ = &body_;
  request_.stream_ = &stream;
  request_.end_ = this;
  request_.draining_ = &draining_;
}

std::optional<absl::Duration> HttpConnection::serve(Why why) {
  try {
    Next next = state_.protocol ? serve_protocol([&] { return state_.protocol->serve(why); }) : serve_one(why);
    while (next == Next::request) next = serve_one(Why::ready);
    if (next == Next::idle) return idle_limit_;
    if (next == Next::linger) {
      linger();
    } else if (stream_.is_open()) {
      stream_.shut_down_writing(deadline_in(options_.linger_limit));
    }
  } catch (const FiberCancelled&) {
    if (is_unanswered_) log_unanswered("its fiber was cancelled");
    if (is_cut_) stream_.abort();
    throw;
  } catch (const std::exception& error) {
    if (is_unanswered_) log_end(error);
  } catch (...) {
    if (is_unanswered_) log_unanswered(log::describe(std::current_exception()));
  }
  watch_.reset();
  is_cut_ ? stream_.abort() : stream_.close();
  return std::nullopt;
}

Why HttpConnection::await_more(absl::Duration limit) {
  try {
    return state_.protocol ? state_.protocol->await_more(limit) : stream_.fill(draining_ | limit).why();
  } catch (const FiberCancelled&) {
    throw;
  } catch (const std::exception& error) {
    log::debug("{}: an idle connection ended: {}", stream_.name(), error.what());
    return Why::closed;
  }
}

mothreads::Signal HttpConnection::ended() {
  if (!watch_) watch_.emplace(stream_, draining_, parent_);
  if (body_.is_done_) watch_->begin();
  return watch_->ended();
}

void HttpConnection::log_end(const std::exception& error) const {
  const std::string what = log::describe(std::current_exception());
  if (dynamic_cast<const WriteTimedout*>(&error) != nullptr && names(error, stream_)) {
    log::info("{}: the client did not take its answer in time: {}", stream_.name(), what);
  } else if (is_client_leaving(error, stream_)) {
    log_client_left(what);
  } else {
    log_unanswered(what);
  }
}

// `request` when one has begun to come.
HttpConnection::Next HttpConnection::find_request(Why why) {
  while (true) {
    // An empty line before a request comes from old clients, which send one behind a body: it begins none.
    if (!state_.has_passed_line && stream_.buffered().starts_with("\r\n")) {
      state_.has_passed_line = true;
      stream_.consume(2);
    }
    if (!stream_.buffered().empty()) return Next::request;
    if (why == Why::closed) return Next::end;
    if (draining_) {
      // A request that came before the drain, or with it, is answered; a client that has just connected may have a request on its way.
      if (!stream_.fill(state_.requests == 0 ? options_.drain_grace : absl::ZeroDuration())) return Next::end;
    } else {
      return why == Why::timed_out ? Next::end : Next::idle;
    }
  }
}

HttpConnection::Next HttpConnection::serve_one(Why why) {
  if (const Next next = find_request(why); next != Next::request) return next;
  is_unanswered_ = true;
  if (Next next = Next::end; !read_head(next)) return next;
  ++state_.requests;
  if (const int status = check_head(); status != 0) return refuse(status, "a request that is not taken");
  prepare_body();
  if (options_.on_answer) asked_ = Clock::current().now();
  const mothreads::internal::Born here;
  Response response = ask_handler();
  if (here.is_left_behind()) mothreads::internal::end_forked_process();  // the handler has called fork(): the connection is the parent's
  return answer(response);
}

// False when there is no request; then `next` says what to do.
bool HttpConnection::read_head(Next& next) {
  std::optional<Instant> deadline;
  Why end = Why::ready;
  const auto more = [&] {
    if (!deadline) deadline = deadline_in(options_.head_limit);
    end = stream_.fill(*deadline).why();
    return end == Why::ready;
  };

  while (stream_.buffered() == "\r" && more()) {
  }
  if (!state_.has_passed_line && stream_.buffered().starts_with("\r\n")) stream_.consume(2);

  // Whether it cannot become a request.
  const auto is_refused = [&](HttpParser::Step step) {
    switch (step) {
      case HttpParser::Step::bad: next = refuse(400, parser_.why()); return true;
      case HttpParser::Step::bad_version: next = refuse(505, parser_.why()); return true;
      case HttpParser::Step::unknown_coding: next = refuse(501, parser_.why()); return true;
      default: return false;
    }
  };
  const auto text = [&] { return stream_.buffered().substr(0, options_.max_head); };
  parser_.begin(request_.headers_);
  do {
    const HttpParser::Step step = parser_.parse_head(text());
    if (step == HttpParser::Step::done) return true;
    if (is_refused(step)) return false;
  } while (text().size() < options_.max_head && more());

  // Once Beast has seen that a head is not complete it looks no further until it is: whether it could become one is asked anew.
  parser_.begin(request_.headers_);
  if (is_refused(parser_.parse_head(text()))) return false;
  if (text().size() >= options_.max_head) {
    next = refuse(text().find("\r\n") != std::string_view::npos ? 431 : 414, "its head is too long");
  } else if (text().empty()) {
    next = Next::end;  // it was no more than an empty line
  } else if (end == Why::closed) {
    log_client_left("the connection ended within the head of its request");
    next = Next::end;
  } else {
    next = refuse(408, "its head took too long");
  }
  return false;
}

// 0 when the request can be given to the handler.
int HttpConnection::check_head() {
  const HttpHead& head = parser_.head();
  const HttpTarget target = split_target(head.method, head.target);
  if (!target.is_valid || head.hosts > 1 || (head.hosts == 0 && head.minor_version >= 1) || !is_valid_host(head.host)) return 400;
  if (head.method == "CONNECT") return 501;
  if (head.target.size() > options_.max_target) return 414;
  if (head.expects_other) return 417;
  if (head.size > options_.max_body) return 413;
  return 0;
}

// Makes the request from the head, which it has a copy of: the stream's buffer is needed for what follows.
void HttpConnection::prepare_body() {
  const HttpHead& head = parser_.head();
  state_.has_passed_line = false;
  request_.parameters_.clear();
  request_.head_.assign(stream_.buffered().substr(0, parser_.head_size()));
  stream_.consume(parser_.head_size());
  parser_.move_head(request_.head_.data());
  body_.begin(stream_, &parser_, head.framing, head.size, options_.max_body, options_.body_limit);
  body_.wants_continue_ = head.expects_continue && head.minor_version >= 1 && !body_.is_done_;

  const HttpTarget target = split_target(head.method, head.target);
  request_.method_ = head.method;
  request_.target_ = head.target;
  request_.minor_version_ = head.minor_version;
  request_.raw_path_ = target.path;
  request_.query_ = target.query;
  request_.host_ = target.has_authority ? target.authority : head.host;
}

Response HttpConnection::ask_handler() {
  try {
    Response response = handler_(request_);
    const bool is_upgrade = std::holds_alternative<Upgrade>(response.body);
    if (is_upgrade ? response.status != 101 : (response.status < 200 || response.status > 999)) {
      throw mothreads::Misuse(fmt::format("a response has the status {}: give 200 to 999, or 101 to an upgrade", response.status));
    }
    return response;
  } catch (const FiberCancelled&) {
    throw;
  } catch (const Error& error) {
    log::info("{}: {} {}: {}: {}", stream_.name(), request_.method(), request_.target(), error.status(), error.what());
    return Response::error(error.status());
  } catch (const std::exception& error) {
    if (is_client_leaving(error, stream_)) throw;  // nobody is left to hear an answer
    log_failure();
    return Response::error(500);
  } catch (...) {
    log_failure();
    return Response::error(500);
  }
}

void HttpConnection::log_failure() const {
  log::error("{}: the handler of {} {} failed: {}", stream_.name(), request_.method(), request_.target(), log::describe(std::current_exception()));
}

HttpConnection::Next HttpConnection::answer(Response& response) {
  const HttpHead& head = parser_.head();
  // A client that waits for "100 Continue" may send the body, or another request, after another answer: nobody can know.
  const bool leaves_body = body_.is_broken_ || (!body_.is_done_ && (body_.wants_continue_ || body_.left_ > kMaxDropped));
  bool keeps = head.keeps_alive && !leaves_body && !draining_ && (options_.max_requests == 0 || state_.requests < options_.max_requests) &&
               !response.headers.has_token("Connection", "close");

  if (std::holds_alternative<Upgrade>(response.body) && (!body_.is_done_ || head.minor_version == 0)) {
    log::error("{}: the handler of {} {} upgrades a request whose body it has not read, or one of HTTP/1.0", stream_.name(), request_.method(),
               request_.target());
    response = Response::error(400);
  }
  if (std::holds_alternative<Upgrade>(response.body)) return upgrade(response);

  ResponseWriter writer(stream_, scratch_, options_.write_limit, request_);
  try {
    keeps = writer.write(response, {.is_head = head.method == "HEAD", .minor_version = head.minor_version, .keeps_alive = keeps});
  } catch (...) {
    is_cut_ = writer.ends_with_connection();
    tell_answered(response.status, /*is_complete=*/false);
    throw;
  }
  is_unanswered_ = false;
  tell_answered(response.status, /*is_complete=*/true);
  const bool has_lost = watch_ && watch_->has_lost();
  watch_.reset();
  if (has_lost) return Next::linger;
  if (!keeps && draining_ && body_.is_done_ && !stream_.buffered().empty()) {
    log::warning("{}: requests behind the last response got no answer: the server stops", stream_.name());
  }
  if (!keeps) return head.keeps_alive || !body_.is_done_ || !stream_.buffered().empty() ? Next::linger : Next::end;
  return body_.is_done_ || drop_body() ? Next::request : Next::linger;
}

HttpConnection::Next HttpConnection::upgrade(Response& response) {
  auto& upgrade = std::get<Upgrade>(response.body);
  try {
    ResponseWriter(stream_, scratch_, options_.write_limit, request_).write_upgrade(response);
  } catch (...) {
    tell_answered(response.status, /*is_complete=*/false);
    throw;
  }
  is_unanswered_ = false;
  tell_answered(response.status, /*is_complete=*/true);
  watch_.reset();
  return serve_protocol([&]() -> std::optional<absl::Duration> {
    if (upgrade.begin) {
      state_.protocol = upgrade.begin(stream_, ProtocolOwner{state_.session != nullptr ? state_.session->parent() : parent_, state_.session});
      return state_.protocol->serve(Why::ready);
    }
    const mothreads::internal::Born here;
    const absl::Cleanup in_child = [&] {
      if (here.is_left_behind()) mothreads::internal::end_forked_process();  // as behind a handler
    };
    upgrade.run(stream_);
    return std::nullopt;
  });
}

// A turn of a protocol, or all of one that has no turns.
HttpConnection::Next HttpConnection::serve_protocol(absl::FunctionRef<std::optional<absl::Duration>()> serve) {
  try {
    if (const std::optional<absl::Duration> limit = serve()) {
      idle_limit_ = *limit;
      return Next::idle;
    }
  } catch (const FiberCancelled&) {
    throw;
  } catch (const std::exception& error) {
    if (is_client_leaving(error, stream_)) {
      log::info("{}: the client left: {}", stream_.name(), log::describe(std::current_exception()));
    } else {
      log_upgrade_failure();
    }
  } catch (...) {
    log_upgrade_failure();
  }
  state_.protocol.reset();
  return Next::linger;
}

void HttpConnection::tell_answered(int status, bool is_complete) const {
  if (!options_.on_answer) return;
  try {
    options_.on_answer(request_, {status, is_complete, absl::FromChrono(Clock::current().now() - asked_)});
  } catch (const FiberCancelled&) {
    throw;
  } catch (...) {
    log::error("{}: the log of requests failed: {}", stream_.name(), log::describe(std::current_exception()));
  }
}

HttpConnection::Next HttpConnection::refuse(int status, std::string_view why) {
  log::debug("{}: {}: {}", stream_.name(), status, why);
  Response response = Response::error(status);
  const HttpHead& head = parser_.head();
  ResponseWriter(stream_, scratch_, options_.write_limit, request_)
      .write(response, {.is_head = head.method == "HEAD", .minor_version = head.minor_version, .keeps_alive = false});
  is_unanswered_ = false;
  return Next::linger;
}

bool HttpConnection::drop_body() {
  std::array<std::byte, 4096> room;
  std::uint64_t dropped = 0;
  try {
    while (dropped <= kMaxDropped) {
      const Received received = body_.read_some(room, draining_);
      if (received.why() == Why::closed || body_.is_done_) return true;
      if (!received) return false;
      dropped += received.size();
    }
  } catch (const Error& error) {
    log::debug("{}: what a handler left of a body: {}", stream_.name(), error.what());
  }
  return false;
}

void HttpConnection::linger() {
  const Instant deadline = deadline_in(options_.linger_limit);
  stream_.shut_down_writing(deadline);
  std::array<std::byte, 4096> room;
  std::uint64_t read = 0;
  while (read < options_.max_lingered) {
    const Received received = stream_.read_some(room, deadline);
    if (!received) return;
    read += received.size();
  }
}

}  // namespace internal
}  // namespace cooperative::http
