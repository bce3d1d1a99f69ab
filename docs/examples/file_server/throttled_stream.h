#pragma once

// A stream that is written no faster than it should be.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/io/stream.h"
#include "mothreads/instant.h"
#include "mothreads/until.h"

namespace file_server {

class ThrottledStream final : public cooperative::Stream {
 public:
  // What is written goes to `below` in pieces, each so much later as its bytes take.
  ThrottledStream(cooperative::Stream& below, std::uint64_t bytes_per_second);

  void close() override { below_.close(); }
  bool is_open() const override { return below_.is_open(); }
  std::string name() const override { return below_.name(); }

 protected:
  cooperative::Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  cooperative::Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit limit) override { below_.shut_down_writing(limit); }

 private:
  cooperative::Stream& below_;
  const std::uint64_t bytes_per_second_;
  const std::size_t piece_;      // bytes: a tenth of a second's, within limits
  mothreads::Instant next_{};    // not before that
};

}  // namespace file_server
