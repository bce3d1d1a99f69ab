#include "cooperative/http/internal/http_parser.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>

#include "cooperative/http/message.h"

namespace cooperative::inline v0::http {

std::string_view reason(int status) {
  if (status < 100 || status > 999) return {};
  const auto name = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  if (name == "<unknown-status>") return {};
  return {name.data(), name.size()};
}

namespace internal {

namespace http = boost::beast::http;
using Text = boost::beast::string_view;
using boost::beast::error_code;
using Framing = Body::Framing;

namespace {

// So much may come between two chunks: a size, what nobody has ever put behind it, and trailers.
constexpr std::size_t kMaxBetweenChunks = 8 * 1024;

// A view of text that may move before the head is complete.
struct Slice {
  std::size_t from = 0;
  std::size_t size = 0;
};

// The third part of the first line begins like "HTTP/2.0": well-formed, and not ours.
bool has_other_version(std::string_view text) {
  const std::size_t target = text.find(' ');
  const std::size_t end = target == std::string_view::npos ? target : text.find(' ', target + 1);
  if (end == std::string_view::npos) return false;
  const std::string_view version = text.substr(end + 1, 8);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' && is_digit(version[7]) &&
         version != "HTTP/1.0" && version != "HTTP/1.1";
}

// A line begins with a space: it goes on with the field before (obs-fold), of which recipients make different values.
bool has_fold(std::string_view text) { return text.find("\r\n ") != std::string_view::npos || text.find("\r\n\t") != std::string_view::npos; }

// Where a status line ends without the space behind its status, "HTTP/1.1 200", which some servers send; else npos. Beast wants the space.
std::size_t end_of_bare_status(std::string_view text) {
  constexpr std::size_t kSize = std::string_view("HTTP/1.1 200").size();
  return text.starts_with("HTTP/1.") && text.find("\r\n") == kSize ? kSize : std::string_view::npos;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

enum class ChunkLine : std::uint8_t { whole, unfinished, bad };

// Looks at the line with the size of a chunk, which Beast takes in many forms that RFC 9112 (7.1) has not: recipients that see other chunks than we
// do see other requests behind them. `text` begins with the end of the line before, unless it is the first.
ChunkLine check_chunk_line(std::string_view text, bool is_first) {
  constexpr std::string_view kEnd = "\r\n";
  if (!is_first) {
    const std::string_view end = text.substr(0, kEnd.size());
    if (!kEnd.starts_with(end)) return ChunkLine::bad;
    text.remove_prefix(end.size());
  }
  bool has_digits = false, has_space = false, in_extension = false, in_quotes = false, is_escaped = false;
  for (const char c : text) {
    if (c == '\r') break;
    if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f') return ChunkLine::bad;
    if (in_quotes) {
      in_quotes = is_escaped || c != '"';
      is_escaped = !is_escaped && c == '\\';
    } else if (in_extension) {
      in_quotes = c == '"';
    } else if (c == ';') {
      if (!has_digits) return ChunkLine::bad;
      in_extension = true;
    } else if (c == ' ' || c == '\t') {
      if (!has_digits) return ChunkLine::bad;
      has_space = true;  // only before an extension
    } else {
      if (has_space || !is_hex(c)) return ChunkLine::bad;
      has_digits = true;
    }
  }
  const std::size_t end = text.find('\r');
  if (end == std::string_view::npos) return ChunkLine::unfinished;
  if (in_quotes || (has_space && !in_extension) || !kEnd.starts_with(text.substr(end, kEnd.size()))) return ChunkLine::bad;
  return text.size() - end < kEnd.size() ? ChunkLine::unfinished : ChunkLine::whole;
}

}  // namespace

// The state that the parser's calls leave.
struct HttpParser::State {
  Slice place(Text text) const { return {static_cast<std::size_t>(text.data() - base), text.size()}; }
  std::string_view view(Slice place) const { return {base + place.from, place.size}; }
  void take_field(http::field field, Text name, Text value, error_code& error);

  HttpHead head;
  Headers* headers = nullptr;
  const char* base = nullptr;  // of the text under way
  std::size_t parsed = 0;
  bool is_head_done = false;
  Slice method, target, reason, host, coding;
  int content_lengths = 0;
  bool lists_lengths = false;
  bool has_bad_chunk = false;
  bool has_had_chunk = false;
  int codings = 0;

  std::uint64_t chunk_left = 0;
  char* into = nullptr;
  std::size_t room = 0;
  std::size_t copied = 0;
};

template <bool is_request>
struct HttpParser::Beast final : http::basic_parser<is_request> {
  explicit Beast(State& its_state) : state(its_state) {
    this->header_limit(std::numeric_limits<std::uint32_t>::max());  // who calls gives no more than its limit
    this->body_limit(boost::none);
  }

  void on_request_impl(http::verb, Text method, Text target, int version, error_code&) override {
    state.method = state.place(method);
    state.target = state.place(target);
    state.head.minor_version = version % 10;
  }
  void on_response_impl(int code, Text reason, int version, error_code&) override {
    state.head.status = code;
    state.reason = state.place(reason);
    state.head.minor_version = version % 10;
  }
  void on_field_impl(http::field field, Text name, Text value, error_code& error) override { state.take_field(field, name, value, error); }
  void on_header_impl(error_code&) override { state.is_head_done = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(Text, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t size, Text, error_code&) override {
    state.chunk_left = size;
    state.has_had_chunk = true;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, error_code&) override {
    const std::size_t size = std::min(body.size(), state.room - state.copied);
    if (size > 0) std::memcpy(state.into + state.copied, body.data(), size);
    state.copied += size;
    state.chunk_left -= size;
    return size;
  }
  void on_finish_impl(error_code&) override {}

  State& state;
};

struct HttpParser::Impl : State {
  explicit Impl(Kind its_kind) : kind(its_kind) {}

  template <typename Parser>
  Step parse_head(Parser& parser, std::string_view text);
  template <typename Parser>
  Step check_head(const Parser& parser, std::string_view text);
  template <typename Parser>
  Chunk parse_chunks(Parser& parser, std::string_view text);
  Step bad(std::string_view reason_why) {
    why = reason_why;
    return Step::bad;
  }

  const Kind kind;
  std::optional<Beast<true>> request;
  std::optional<Beast<false>> response;
  std::string_view why;
};

void HttpParser::State::take_field(http::field field, Text name, Text value, error_code& error) {
  if (is_head_done) return;  // a trailer
  const Slice name_place = place(name);
  Slice value_place{name_place.from + name_place.size, 0};
  if (!value.empty()) {
    value_place = place(value);
    // Of a value on several lines Beast makes one, elsewhere.
    if (value_place.from < name_place.from || value_place.from - name_place.from > std::numeric_limits<std::uint32_t>::max() / 2) {
      error = http::error::bad_obs_fold;
      return;
    }
  }
  switch (field) {
    case http::field::host:
      ++head.hosts;
      host = value_place;
      break;
    case http::field::content_length:
      ++content_lengths;
      lists_lengths = lists_lengths || value.find(',') != Text::npos;
      break;
    case http::field::transfer_encoding:
      ++codings;
      coding = value_place;
      break;
    case http::field::expect:
      (http_iequals({value.data(), value.size()}, "100-continue") ? head.expects_continue : head.expects_other) = true;
      break;
    default: break;
  }
  headers->places_.push_back({static_cast<std::uint32_t>(name_place.from), static_cast<std::uint32_t>(name_place.size),
                              static_cast<std::uint32_t>(value_place.from), static_cast<std::uint32_t>(value_place.size)});
}

template <typename Parser>
HttpParser::Step HttpParser::Impl::parse_head(Parser& parser, std::string_view text) {
  error_code error;
  const std::size_t bare = kind == Kind::response && parsed == 0 ? end_of_bare_status(text) : std::string_view::npos;
  if (bare == std::string_view::npos) {
    base = text.data();
    parsed += parser.put(boost::asio::const_buffer(text.data() + parsed, text.size() - parsed), error);
  } else {
    const std::string mended = std::string(text.substr(0, bare)).append(" ").append(text.substr(bare));
    base = mended.data() + 1;  // what lies behind the space is found in `text` at the same distance
    parsed = parser.put(boost::asio::const_buffer(mended.data(), mended.size()), error);
    parsed -= std::min<std::size_t>(parsed, 1);
    reason = {};
    base = text.data();
  }
  if (error == http::error::need_more) return Step::need_more;
  if (error == http::error::bad_version && has_other_version(text)) {
    why = "another version of HTTP";
    return Step::bad_version;
  }
  if (error) {
    // Its text is static, but comes as a string.
    return bad(error == http::error::bad_line_ending             ? "a line ends wrongly"
               : error == http::error::bad_method                ? "no method"
               : error == http::error::bad_target                ? "no target"
               : error == http::error::bad_version               ? "no version"
               : error == http::error::bad_status                ? "no status"
               : error == http::error::bad_field                 ? "no name of a header field"
               : error == http::error::bad_value                 ? "no value of a header field"
               : error == http::error::bad_content_length        ? "a wrong Content-Length"
               : error == http::error::multiple_content_length   ? "two Content-Lengths"
               : error == http::error::bad_transfer_encoding     ? "a wrong Transfer-Encoding"
               : error == http::error::bad_obs_fold              ? "a header field on several lines"
                                                                 : "a malformed head");
  }
  return check_head(parser, text);
}

template <typename Parser>
HttpParser::Step HttpParser::Impl::check_head(const Parser& parser, std::string_view text) {
  if (has_fold(text.substr(0, parsed))) return bad("a header field on several lines");
  if (content_lengths > 1 || lists_lengths) return bad("two Content-Lengths");
  if (codings > 1 || (codings > 0 && head.minor_version == 0)) return bad("a wrong Transfer-Encoding");
  head.method = view(method);
  head.target = view(target);
  head.reason = view(reason);
  head.host = view(host);
  if (codings > 0 && !http_iequals(view(coding), "chunked")) {
    why = "a Transfer-Encoding that is not known";
    return parser.chunked() ? Step::unknown_coding : bad("a wrong Transfer-Encoding");
  }
  head.keeps_alive = parser.keep_alive();
  head.is_upgrade = parser.upgrade();
  if (parser.is_done()) {
    head.framing = content_lengths > 0 ? Framing::sized : Framing::none;
  } else if (parser.chunked()) {
    head.framing = Framing::chunked;
  } else if (content_lengths > 0) {
    head.framing = Framing::sized;
    head.size = *parser.content_length();
  } else {
    head.framing = Framing::until_close;
  }
  headers->borrowed_ = base;
  // Beast takes Proxy-Connection for Connection, and looks for "keep-alive" alone where the version is 1.0; "close" counts before it (RFC 9112, 9.3).
  if (head.minor_version == 0 || !head.keeps_alive) {
    const bool may_keep = head.minor_version > 0 || headers->has_token("Connection", "keep-alive");
    head.keeps_alive = may_keep && !headers->has_token("Connection", "close");
  }
  return Step::done;
}

template <typename Parser>
HttpParser::Chunk HttpParser::Impl::parse_chunks(Parser& parser, std::string_view text) {
  copied = 0;
  std::size_t consumed = 0;
  // A fault is told after the bytes that came before it, in whatever pieces they came.
  const auto bad_chunk = [&](std::string_view reason_why) -> Chunk {
    has_bad_chunk = true;
    bad(reason_why);
    return {copied > 0 ? Step::need_more : Step::bad, consumed, copied};
  };
  if (has_bad_chunk) return {Step::bad, 0, 0};
  while (copied < room && !parser.is_done()) {
    std::size_t left = text.size() - consumed;
    if (chunk_left == 0) left = std::min(left, kMaxBetweenChunks);
    if (chunk_left == 0 && left > 0) {
      const ChunkLine line = check_chunk_line(text.substr(consumed, left), !has_had_chunk);
      if (line == ChunkLine::bad) return bad_chunk("a malformed size of a chunk");
      if (line == ChunkLine::unfinished) {
        if (left >= kMaxBetweenChunks) return bad_chunk("too much between two chunks");
        return {Step::need_more, consumed, copied};
      }
    }
    // Between two chunks Beast counts on the five bytes that the shortest end of a body has.
    if (left < (chunk_left == 0 ? 5 : 1)) return {Step::need_more, consumed, copied};
    error_code error;
    const std::size_t taken = parser.put(boost::asio::const_buffer(text.data() + consumed, left), error);
    // Beast takes the last chunk with all of its trailers.
    if (parser.is_done() && has_fold(text.substr(consumed, taken))) return bad_chunk("a trailer on several lines");
    consumed += taken;
    if (error == http::error::need_more) {
      if (left >= kMaxBetweenChunks) return bad_chunk("too much between two chunks");
      return {Step::need_more, consumed, copied};
    }
    if (error) return bad_chunk("a malformed chunk");
  }
  return {parser.is_done() ? Step::done : Step::need_more, consumed, copied};
}

HttpParser::HttpParser(Kind kind) : impl_(std::make_unique<Impl>(kind)) {}
HttpParser::~HttpParser() = default;

void HttpParser::begin(Headers& headers, bool has_no_body) {
  Impl& impl = *impl_;
  if (impl.kind == Kind::request) {
    impl.request.emplace(impl);
  } else {
    impl.response.emplace(impl);
    impl.response->skip(has_no_body);
  }
  static_cast<State&>(impl) = {};
  headers.clear();
  impl.headers = &headers;
  impl.why = {};
}

HttpParser::Step HttpParser::parse_head(std::string_view text) {
  return impl_->kind == Kind::request ? impl_->parse_head(*impl_->request, text) : impl_->parse_head(*impl_->response, text);
}

const HttpHead& HttpParser::head() const { return impl_->head; }
std::size_t HttpParser::head_size() const { return impl_->parsed; }
std::string_view HttpParser::why() const { return impl_->why; }

void HttpParser::move_head(const char* text) {
  Impl& impl = *impl_;
  impl.base = text;
  impl.headers->borrowed_ = text;
  impl.head.method = impl.view(impl.method);
  impl.head.target = impl.view(impl.target);
  impl.head.reason = impl.view(impl.reason);
  impl.head.host = impl.view(impl.host);
}

HttpParser::Chunk HttpParser::parse_chunks(std::string_view text, char* into, std::size_t room) {
  impl_->into = into;
  impl_->room = room;
  return impl_->kind == Kind::request ? impl_->parse_chunks(*impl_->request, text) : impl_->parse_chunks(*impl_->response, text);
}

}  // namespace internal
}  // namespace cooperative::http
