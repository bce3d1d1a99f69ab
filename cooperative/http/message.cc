#include "cooperative/http/message.h"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <span>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/http/internal/target.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/stream.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

using mothreads::internal::printable;

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    decoded.push_back(c);
  }
  return decoded;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) { return decode(text, false); }

std::string percent_encode(std::string_view text, std::string_view kept) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("-._~").find(c) != std::string_view::npos || kept.find(c) != std::string_view::npos;
    if (is_plain) {
      encoded.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded.push_back('%');
    encoded.push_back(kDigits[byte >> 4]);
    encoded.push_back(kDigits[byte & 15]);
  }
  return encoded;
}

std::optional<std::string> Request::query_value(std::string_view name) const {
  std::string_view left = query_;
  while (!left.empty()) {
    const std::size_t end = left.find('&');
    const std::string_view pair = left.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (decode(pair.substr(0, equals), true) == name) {
      return equals == std::string_view::npos ? std::optional<std::string>("") : decode(pair.substr(equals + 1), true);
    }
    if (end == std::string_view::npos) break;
    left.remove_prefix(end + 1);
  }
  return std::nullopt;
}

// A body that is there already.
class TextStream final : public Stream {
 public:
  explicit TextStream(std::string text) : text_(std::move(text)) {}

  void close() override { is_open_ = false; }
  bool is_open() const override { return is_open_; }
  std::string name() const override { return "a request that was made by hand"; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit) override {
    const std::size_t size = text_.copy(reinterpret_cast<char*>(into.data()), into.size(), taken_);
    taken_ += size;
    return {size, size > 0 ? mothreads::Why::ready : mothreads::Why::closed};
  }
  Sent send_pieces(std::span<const std::string_view>, mothreads::Limit) override {
    throw mothreads::Misuse(name() + " has nobody to write to");
  }
  void end_writing(mothreads::Limit) override {}

 private:
  const std::string text_;
  std::size_t taken_ = 0;
  bool is_open_ = true;
};

struct Request::Made {
  Made(std::string_view its_method, std::string_view its_target, RequestParts parts)
      : method(its_method), target(its_target), headers(std::move(parts.headers)), size(parts.body.size()), stream(std::move(parts.body)) {}

  const std::string method, target;
  Headers headers;
  const std::size_t size;
  TextStream stream;
  Body body;
};

Request::Request() = default;
Request::~Request() = default;

Request::Request(std::unique_ptr<Made> made)
    : method_(made->method), target_(made->target), headers_(std::move(made->headers)), body_(&made->body), made_(std::move(made)) {
  body_->begin(made_->stream, nullptr, Body::Framing::sized, made_->size, made_->size, absl::InfiniteDuration());
  const internal::HttpTarget split = internal::split_target(method_, target_);
  if (!is_http_token(method_) || method_ == "CONNECT" || !split.is_valid) {
    throw mothreads::Misuse(fmt::format("\"{} {}\" cannot be the beginning of a request: encode its target first", printable(method_), printable(target_)));
  }
  if (split.has_authority) headers_.set("Host", split.authority);
  if (!headers_.get("Host")) headers_.add("Host", "localhost");
  raw_path_ = split.path;
  query_ = split.query;
  host_ = *headers_.get("Host");
  if (headers_.count("Host") != 1 || !internal::is_valid_host(host_) || headers_.get("Transfer-Encoding") ||
      headers_.get("Content-Length").value_or(std::to_string(made_->size)) != std::to_string(made_->size)) {
    throw mothreads::Misuse(fmt::format("the headers of {} {} could not come: give one Host, and leave the length to the body", method_, target_));
  }
}

Request Request::make(std::string_view method, std::string_view target, RequestParts parts) {
  return Request(std::make_unique<Made>(method, target, std::move(parts)));
}

std::string_view Request::parameter(std::string_view name) const {
  for (const auto& [its_name, value] : parameters_) {
    if (its_name == name) return value;
  }
  throw mothreads::Misuse(fmt::format("the pattern of {} {} has no {{{}}}", method_, target_, printable(name)));
}

mothreads::Signal Request::ended() const { return end_ != nullptr ? end_->ended() : mothreads::NEVER; }

std::string Request::peer() const { return stream_ != nullptr ? stream_->name() : "no connection"; }

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t FileParts::size() const {
  std::uint64_t size = after.size();
  for (const Part& part : parts) size += part.before.size() + part.size;
  return size;
}

Response Response::of(int status, std::string_view content_type, std::string body) {
  return {.status = status, .headers = {{"Content-Type", content_type}}, .body = std::move(body)};
}

Response Response::text(int status, std::string body) { return of(status, "text/plain; charset=utf-8", std::move(body)); }

Response Response::json(int status, std::string body) { return of(status, "application/json", std::move(body)); }

Response Response::streamed(std::string_view content_type, absl::AnyInvocable<void(BodyWriter&)> write) {
  if (!write) throw mothreads::Misuse("a response in pieces needs a function that writes them");
  return {.status = 200, .headers = {{"Content-Type", content_type}}, .body = Streamed{.write = std::move(write)}};
}

Response Response::error(int status) { return text(status, fmt::format("{} {}\n", status, reason(status))); }

Response Response::not_allowed(std::string_view allow) {
  Response response = error(405);
  response.headers.add("Allow", allow);
  return response;
}

namespace {

class BodyText final : public BodyWriter {
 public:
  explicit BodyText(const Request& request) : request_(request) {}

  void write(std::string_view piece) override { text_.append(piece); }
  void flush() override {}
  const Request& request() const override { return request_; }
  std::string take() { return std::move(text_); }

 private:
  const Request& request_;
  std::string text_;
};

std::string read_parts(const FileParts& body) {
  std::string text;
  for (const auto& [before, offset, size] : body.parts) {
    text.append(before);
    const std::size_t begin = text.size();
    text.resize(begin + size);
    for (std::uint64_t done = 0; done < size;) {
      const ssize_t got = ::pread(body.file->native(), text.data() + begin + done, size - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw IoError(errno, "the file of a response", "read it");
      if (got == 0) throw std::runtime_error("the file of a response became shorter while it was read");
      done += static_cast<std::uint64_t>(got);
    }
  }
  return text.append(body.after);
}

}  // namespace

std::string take_body(Response& response, const Request& request) {
  if (auto* const text = std::get_if<std::string>(&response.body)) return std::move(*text);
  if (const auto* const file = std::get_if<FileParts>(&response.body)) return read_parts(*file);
  auto* const streamed = std::get_if<Streamed>(&response.body);
  if (streamed == nullptr) throw mothreads::Misuse("an upgrade has no body: it needs a connection");
  BodyText body(request);
  streamed->write(body);
  return body.take();
}

}  // namespace cooperative::http
