#pragma once

// A stream whose other side is a script: what it has sent, in pieces of a size of the test's choice, and then the end, or silence. What is
// written is kept. It never waits, so it needs no fiber.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/io/stream.h"

namespace cooperative::inline v0::testing {

class ScriptedStream final : public Stream {
 public:
  enum class Then : bool { end, silence };

  explicit ScriptedStream(std::string input, std::size_t piece = std::string::npos, Then then = Then::end)
      : input_(std::move(input)), piece_(piece), then_(then) {}

  const std::string& output() const { return output_; }
  std::string take_output() { return std::exchange(output_, {}); }
  std::size_t writes() const { return writes_; }
  std::size_t reads() const { return reads_; }
  std::size_t unread() const { return input_.size() - read_ + buffered().size(); }
  bool has_shut_down() const { return has_shut_down_; }
  void send(std::string_view more) { input_.append(more); }
  // Called when all that was sent has been read, and more is asked for.
  std::function<void(ScriptedStream&)> when_empty;
  // From then on writing fails.
  std::size_t room = std::string::npos;

  void close() override { is_open_ = false; }
  bool is_open() const override { return is_open_; }
  std::string name() const override { return "memory"; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit) override {
    ++reads_;
    if (read_ == input_.size() && when_empty) when_empty(*this);
    if (read_ == input_.size()) return {0, then_ == Then::end ? mothreads::Why::closed : mothreads::Why::timed_out};
    const std::size_t size = std::min({into.size(), piece_, input_.size() - read_});
    std::memcpy(into.data(), input_.data() + read_, size);
    read_ += size;
    return {size, mothreads::Why::ready};
  }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit) override {
    ++writes_;
    std::size_t size = 0;
    for (const std::string_view piece : pieces) {
      const std::size_t fits = std::min(piece.size(), room - std::min(room, output_.size()));
      output_.append(piece.substr(0, fits));
      size += fits;
    }
    if (size == 0) throw IoError(EPIPE, name(), "send");
    return {size, mothreads::Why::ready};
  }
  void end_writing(mothreads::Limit) override { has_shut_down_ = true; }

 private:
  std::string input_;
  const std::size_t piece_;
  const Then then_;
  std::size_t read_ = 0;
  std::string output_;
  std::size_t writes_ = 0;
  std::size_t reads_ = 0;
  bool is_open_ = true;
  bool has_shut_down_ = false;
};

}  // namespace cooperative::testing
