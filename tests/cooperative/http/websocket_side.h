#pragma once

// The other side of a WebSocket, as bytes.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/stream.h"
#include "cooperative/pulse.h"

namespace cooperative::inline v0::testing {

// A frame of a client's, with a mask.
inline std::string frame(int first, const std::string& payload) {
  using namespace std::string_literals;
  const std::string mask = "\x01\xA2\x03\xF4";
  std::string text{static_cast<char>(first)};
  if (payload.size() < 126) {
    text.push_back(static_cast<char>(0x80 | payload.size()));
  } else if (payload.size() < 65536) {
    text += "\xFE"s + static_cast<char>(payload.size() >> 8) + static_cast<char>(payload.size() & 0xFF);
  } else {
    text.push_back('\xFF');
    for (int shift = 56; shift >= 0; shift -= 8) text.push_back(static_cast<char>(payload.size() >> shift & 0xFF));
  }
  text += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) text.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return text;
}

// A server's side on `stream`.
inline http::WebSocket server_side(Stream& stream, const http::WebSocketOptions& options = {}) {
  return http::WebSocket(
      std::make_unique<http::internal::WebSocketFrames>(stream, http::internal::WebSocketFrames::Role::server, options, ""), mothreads::internal::kAccess);
}

// A stream whose other side takes as much as the test says, and sends what the test says. Who finds no room, or nothing to read, waits.
class NarrowStream final : public Stream {
 public:
  void give_room(std::size_t bytes) {
    room_ += bytes;
    changed_.signal();
  }
  void send(std::string_view more) {
    input_ += more;
    changed_.signal();
  }
  const std::string& output() const { return output_; }
  std::string take_output() { return std::exchange(output_, {}); }

  void close() override { is_open_ = false; }
  bool is_open() const override { return is_open_; }
  std::string name() const override { return "narrow"; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override {
    if (const mothreads::Why why = await(limit, [this] { return !input_.empty(); }); why != mothreads::Why::ready) return {0, why};
    const std::size_t size = std::min(into.size(), input_.size());
    std::copy_n(std::as_bytes(std::span(input_)).data(), size, into.data());
    input_.erase(0, size);
    return {size, mothreads::Why::ready};
  }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override {
    if (const mothreads::Why why = await(limit, [this] { return room_ > 0; }); why != mothreads::Why::ready) return {0, why};
    const std::string_view piece = pieces.front().substr(0, room_);
    output_ += piece;
    room_ -= piece.size();
    return {piece.size(), mothreads::Why::ready};
  }
  void end_writing(mothreads::Limit) override {}

 private:
  template <typename Condition>
  mothreads::Why await(const mothreads::Until& until, Condition&& condition) {
    while (!condition()) {
      try {
        changed_.wait(until);
      } catch (const EndedEarly& early) {
        return early.why();
      }
    }
    return mothreads::Why::ready;
  }

  std::string input_, output_;
  std::size_t room_ = 0;
  Pulse changed_;
  bool is_open_ = true;
};

}  // namespace cooperative::testing
