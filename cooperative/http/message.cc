#include "cooperative/http/message.h"

#include <unistd.h>

#include <fmt/core.h>

#include "cooperative/io/stream.h"

namespace cooperative::http {

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

Response Response::streamed(std::string_view content_type, std::function<void(BodyWriter&)> write) {
  return {.status = 200, .headers = {{"Content-Type", content_type}}, .body = Streamed{.write = std::move(write)}};
}

Response Response::error(int status) { return text(status, fmt::format("{} {}\n", status, reason(status))); }

}  // namespace cooperative::http
