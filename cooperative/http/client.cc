#include "cooperative/http/client.h"

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/http_parser.h"
#include "cooperative/http/internal/target.h"
#include "cooperative/io/connect.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::printable;

namespace internal {

namespace {

constexpr int kMaxInterim = 16;  // "100 Continue" and its like, before the response

}  // namespace

class HttpReader {
 public:
  HttpReader(Stream& stream, std::string_view host, const ClientOptions& options)
      : stream_(stream), host_(host), options_(options), parser_(HttpParser::Kind::response) {
    if (!is_valid_host(host)) throw Misuse(fmt::format("\"{}\" is no host for a request: give its name, and the port behind a \":\"", printable(host)));
    body_.is_reply_ = true;
  }

  Reply begin(const ClientRequest& call, Limit limit) {
    check(call);
    const bool is_quiet_yet = is_quiet();
    is_reusable_ = false;
    if (!is_quiet_yet) throw CutShort(fmt::format("{}: was ended by the server before a request, or sent something unasked", stream_.name()));
    std::exception_ptr not_sent;
    try {
      send(call, limit);
    } catch (const IoError&) {
      // A server that refuses a request may close before it has read all of it: then its answer is there.
      not_sent = std::current_exception();
    }
    Reply reply;
    try {
      int interim = 0;
      do {
        if (++interim > kMaxInterim) refuse(Fault::malformed, "sends no response, but that one will come");
        reply = read_head(call.method == "HEAD", limit);
      } while (reply.status < 200 && reply.status != 101);
      if (reply.status == 101 && !call.headers.get("Upgrade")) refuse(Fault::malformed, "changes the protocol unasked");
    } catch (const FiberCancelled&) {
      throw;
    } catch (...) {
      if (not_sent) std::rethrow_exception(not_sent);
      throw;
    }
    has_answered_ = true;
    const HttpHead& head = parser_.head();
    is_reusable_ = head.keeps_alive && !not_sent && reply.status != 101 && head.framing != Body::Framing::until_close;
    body_.begin(stream_, &parser_, head.framing, head.size, options_.max_body, absl::InfiniteDuration());
    if (head.framing == Body::Framing::sized && head.size > options_.max_body) {
      is_reusable_ = false;
      refuse(Fault::long_body, fmt::format("a body of {} bytes, more than {}", head.size, options_.max_body));
    }
    return reply;
  }

  std::string read_body(Limit limit) {
    try {
      return body_.read_all(static_cast<std::size_t>(std::min<std::uint64_t>(options_.max_body, SIZE_MAX)), limit);
    } catch (...) {
      is_reusable_ = false;
      throw;
    }
  }

  Body& body() { return body_; }
  bool is_reusable() const { return may_begin() && is_quiet(); }

 private:
  using Fault = BadReply::Fault;

  [[noreturn]] void refuse(Fault fault, std::string_view why) const { throw BadReply(fault, fmt::format("{}: {}", stream_.name(), why)); }

  bool may_begin() const { return is_reusable_ && body_.is_at_end() && stream_.is_open(); }

  // Nothing has come, not even the end, since the last response. What comes unasked must not be taken for the response to the next request (RFC 9112,
  // 6.3); a server that has lost its patience says 408.
  bool is_quiet() const {
    if (!has_answered_) return true;
    try {
      return stream_.buffered().empty() && stream_.fill(absl::ZeroDuration()).why() == Why::timed_out;
    } catch (const IoError&) {
      return false;
    }
  }

  void check(const ClientRequest& call) const {
    if (!may_begin()) {
      throw Misuse(fmt::format("{}: cannot take another request: look at is_reusable(), and read a body to its end", stream_.name()));
    }
    const bool is_target = !call.target.empty() && std::all_of(call.target.begin(), call.target.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!is_http_token(call.method) || !is_target) {
      throw Misuse(fmt::format("\"{} {}\" cannot be the beginning of a request: encode its target first", printable(call.method),
                               printable(call.target)));
    }
  }

  void send(const ClientRequest& call, Limit limit) {
    std::string head = fmt::format("{} {} HTTP/1.1\r\n", call.method, call.target);
    if (!call.headers.get("Host")) head.append("Host: ").append(host_).append("\r\n");
    for (std::size_t i = 0; i < call.headers.size(); ++i) {
      const auto [name, value] = call.headers[i];
      if (http_iequals(name, "Content-Length") || http_iequals(name, "Transfer-Encoding")) continue;
      head.append(name).append(": ").append(value).append("\r\n");
    }
    if (!call.body.empty() || call.method == "POST" || call.method == "PUT" || call.method == "PATCH") {
      head.append(fmt::format("Content-Length: {}\r\n", call.body.size()));
    }
    head.append("\r\n");
    const std::array<std::string_view, 2> pieces{head, call.body};
    stream_.write_all(pieces, limit);
  }

  Reply read_head(bool is_head, Limit limit) {
    Reply reply;
    const auto text = [&] { return stream_.buffered().substr(0, options_.max_head); };
    const auto is_done = [&] {
      const HttpParser::Step step = parser_.parse_head(text());
      if (step == HttpParser::Step::done || step == HttpParser::Step::need_more) return step == HttpParser::Step::done;
      refuse(Fault::malformed, parser_.why());
    };
    parser_.begin(reply.headers, is_head);
    while (!is_done()) {
      const bool is_full = text().size() >= options_.max_head;
      const Why why = is_full ? Why::ready : stream_.fill(limit).why();
      if (!is_full && why == Why::ready) continue;
      // Once Beast has seen that a head is not complete it looks no further until it is: whether it could become one is asked anew.
      parser_.begin(reply.headers, is_head);
      static_cast<void>(is_done());
      if (is_full) refuse(Fault::long_head, fmt::format("a head of more than {} bytes", options_.max_head));
      if (why != Why::closed) {
        mothreads::throw_ended_early(why, stream_.name(), fmt::format("{}: {} before its response", stream_.name(), to_string(why)));
      }
      throw CutShort(fmt::format("{}: ended {}", stream_.name(), text().empty() ? "before its response" : "within the head of its response"));
    }
    const HttpHead& head = parser_.head();
    if (head.status < 100) refuse(Fault::malformed, fmt::format("the status {} is none", head.status));
    reply.status = head.status;
    reply.reason = head.reason;
    reply.minor_version = head.minor_version;
    reply.headers = Headers(std::as_const(reply.headers));  // its own text
    stream_.consume(parser_.head_size());
    return reply;
  }

  Stream& stream_;
  const std::string host_;
  const ClientOptions options_;
  HttpParser parser_;
  Body body_;
  bool is_reusable_ = true;
  bool has_answered_ = false;  // the server, to a request before
};

}  // namespace internal

Client::Client(Stream& stream, std::string_view host, const ClientOptions& options)
    : reader_(std::make_unique<internal::HttpReader>(stream, host, options)) {}
Client::~Client() = default;

Reply Client::begin(const ClientRequest& call, const Until& until) { return reader_->begin(call, Limit(until)); }

Reply Client::request(const ClientRequest& call, const Until& until) {
  const Limit limit(until);
  Reply reply = reader_->begin(call, limit);
  reply.body = reader_->read_body(limit);
  return reply;
}

Body& Client::body() { return reader_->body(); }
bool Client::is_reusable() const { return reader_->is_reusable(); }

Reply request(Stream& stream, std::string_view host, const ClientRequest& call, const Until& until) {
  return Client(stream, host).request(call, until);
}

Reply request(std::string_view url, const ClientRequest& call, const Until& until) {
  const auto split = internal::split_http_url(url);
  if (!split) throw std::invalid_argument(fmt::format("\"{}\" is not of the form http://host:port/path", printable(url)));
  ClientRequest whole = call;
  whole.target = std::string(split->path);
  if (!split->query.empty()) whole.target.append("?").append(split->query);
  if (!whole.headers.get("Connection")) whole.headers.add("Connection", "close");
  const Limit limit(until);
  Socket socket = connect(split->host, split->port, limit);
  return request(socket, split->authority, whole, limit);
}

Reply get(std::string_view url, const Until& until) { return request(url, {}, until); }

}  // namespace cooperative::http
