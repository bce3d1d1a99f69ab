#include "cooperative/http/internal/response_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/http/internal/http_date.h"
#include "cooperative/io/stream.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http::internal {

namespace {

constexpr std::uint64_t kPiece = 256 * 1024;

// Made once in a second.
std::string_view date_of_now() {
  struct Cached {
    std::time_t time = -1;
    std::string text;
  };
  thread_local Cached cached;
  if (const std::time_t now = std::time(nullptr); now != cached.time) {
    cached.time = now;
    cached.text = format_http_date(now);
  }
  return cached.text;
}

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

void append_number(std::string& text, std::uint64_t number, int base = 10) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
  text.append(digits.data(), end.ptr);
}

}  // namespace

void ResponseWriter::begin_head(const Response& response, bool is_upgrade, bool keeps_length) {
  head_.assign("HTTP/1.1 ");
  append_number(head_, static_cast<std::uint64_t>(response.status));
  head_.append(" ").append(reason(response.status)).append("\r\n");
  bool has_date = false;
  for (std::size_t i = 0; i < response.headers.size(); ++i) {
    const auto [name, value] = response.headers[i];
    if (http_iequals(name, "Date")) has_date = true;
    const bool is_ours = (http_iequals(name, "Content-Length") && !keeps_length) || http_iequals(name, "Transfer-Encoding") ||
                         (http_iequals(name, "Connection") && !is_upgrade);
    if (!is_ours) head_.append(name).append(": ").append(value).append("\r\n");
  }
  if (!has_date) head_.append("Date: ").append(date_of_now()).append("\r\n");
}

void ResponseWriter::add_length(std::uint64_t size) {
  head_.append("Content-Length: ");
  append_number(head_, size);
  head_.append("\r\n");
}

void ResponseWriter::end_head(const To& to, bool keeps) {
  if (!keeps) {
    head_.append("Connection: close\r\n");
  } else if (to.minor_version == 0) {
    head_.append("Connection: keep-alive\r\n");
  }
  head_.append("\r\n");
}

void ResponseWriter::write_upgrade(const Response& response) {
  begin_head(response, true, false);
  head_.append("\r\n");
  stream_.write_all(head_, limit_);
}

bool ResponseWriter::write(Response& response, const To& to) {
  if (std::holds_alternative<Streamed>(response.body)) return write_streamed(response, to);
  const auto* const text = std::get_if<std::string>(&response.body);
  const auto* const file = std::get_if<FileParts>(&response.body);
  const bool keeps_length = to.is_head && text != nullptr && text->empty() && response.headers.count("Content-Length") == 1;
  begin_head(response, false, keeps_length);
  if (!has_no_body(response.status) && !keeps_length) add_length(text != nullptr ? text->size() : file->size());
  end_head(to, to.keeps_alive);
  if (to.is_head || has_no_body(response.status)) {
    stream_.write_all(head_, limit_);
  } else if (text != nullptr) {
    const std::array<std::string_view, 2> pieces{head_, std::string_view(*text).substr(0, kPiece)};
    stream_.write_all(pieces, limit_);
    for (std::size_t sent = pieces[1].size(); sent < text->size(); sent += kPiece) {
      stream_.write_all(std::string_view(*text).substr(sent, kPiece), limit_);
    }
  } else {
    write_file(*file);
  }
  return to.keeps_alive;
}

void ResponseWriter::write_file(const FileParts& body) {
  std::string_view head = head_;
  for (const auto& [before, offset, size] : body.parts) {
    const std::array<std::string_view, 2> pieces{std::exchange(head, {}), before};
    stream_.write_all(pieces, limit_);
    for (std::uint64_t sent = 0; sent < size;) {
      const auto piece = static_cast<std::size_t>(std::min(size - sent, kPiece));
      const std::size_t done = stream_.send_file(body.file->native(), static_cast<off_t>(offset + sent), piece, limit_);
      sent += done;
      if (done < piece) throw std::runtime_error("its file became shorter while it was sent");
    }
  }
  const std::array<std::string_view, 2> pieces{head, body.after};
  stream_.write_all(pieces, limit_);
}

// Takes a handler's pieces, and sends the head before the first of them.
class ResponseWriter::Chunks final : public BodyWriter {
 public:
  Chunks(ResponseWriter& writer, const Streamed& body, bool in_chunks) : writer_(writer), size_(body.size), in_chunks_(in_chunks) {}

  void write(std::string_view piece) override {
    if (piece.empty()) return;
    if (size_ && piece.size() > *size_ - written_) {
      throw mothreads::Misuse(fmt::format("a response wrote more than the {} bytes it announced", *size_));
    }
    if (in_chunks_) {
      std::array<char, 24> digits;
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), piece.size(), 16);
      send(std::array<std::string_view, 4>{std::string_view(digits.data(), end.ptr), "\r\n", piece, "\r\n"});
    } else {
      send(std::array{piece});
    }
    written_ += piece.size();
  }

  void flush() override {
    if (!has_begun_) send(std::array<std::string_view, 0>{});
  }

  const Request& request() const override { return writer_.request_; }

  void finish() {
    if (size_ && written_ < *size_) {
      throw mothreads::Misuse(fmt::format("a response wrote {} of the {} bytes it announced", written_, *size_));
    }
    send(std::array{std::string_view(in_chunks_ ? "0\r\n\r\n" : "")});
  }

  bool has_begun() const { return has_begun_; }

 private:
  // The head first, if it has not gone. What was cut short is the last: whatever followed would be taken for a part of it.
  template <std::size_t count>
  void send(const std::array<std::string_view, count>& pieces) {
    if (is_broken_) throw Closed(writer_.stream_.name(), fmt::format("{}: a response was cut short: nothing can follow", writer_.stream_.name()));
    std::array<std::string_view, count + 1> all;
    if (!std::exchange(has_begun_, true)) {
      writer_.ends_with_connection_ = !size_ && !in_chunks_;
      all[0] = writer_.head_;
    }
    std::copy(pieces.begin(), pieces.end(), all.begin() + 1);
    is_broken_ = true;  // unless all of it goes
    writer_.stream_.write_all(all, writer_.limit_);
    is_broken_ = false;
  }

  ResponseWriter& writer_;
  const std::optional<std::uint64_t> size_;
  const bool in_chunks_;
  std::uint64_t written_ = 0;
  bool has_begun_ = false;
  bool is_broken_ = false;
};

bool ResponseWriter::write_streamed(Response& response, const To& to) {
  Streamed body = std::move(std::get<Streamed>(response.body));
  const bool is_bare = to.is_head || has_no_body(response.status);
  const bool in_chunks = !body.size && to.minor_version >= 1;
  // To a client of HTTP/1.0 the end of the connection is the end of what has no size.
  const bool keeps = to.keeps_alive && (is_bare || in_chunks || body.size);
  begin_head(response, false, false);
  if (!has_no_body(response.status)) {
    if (body.size) {
      add_length(*body.size);
    } else if (in_chunks) {
      head_.append("Transfer-Encoding: chunked\r\n");
    }
  }
  end_head(to, keeps);
  if (is_bare) {
    stream_.write_all(head_, limit_);
    return keeps;
  }
  Chunks chunks(*this, body, in_chunks);
  try {
    body.write(chunks);
    chunks.finish();
  } catch (const FiberCancelled&) {
    throw;
  } catch (...) {
    if (chunks.has_begun()) throw;
    mothreads::log::error("{}: the function that writes a response failed: {}", stream_.name(),
                          mothreads::log::describe(std::current_exception()));
    response = Response::error(500);
    return write(response, to);
  }
  return keeps;
}

}  // namespace cooperative::http::internal
