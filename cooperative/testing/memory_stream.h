#pragma once

// A connection in memory: two Streams, of which each reads what the other has written. For tests of what talks over a Stream, most of all in a
// World, where there are no sockets.
//
//     auto link = co::testing::MemoryStream::pair({.latency = absl::Milliseconds(20), .pieces = co::testing::Pieces::by_chance});
//     auto server = co::spawn("server", [&] { http::serve_http_connection(link.second, greet); });
//     http::Client client(link.first, "example.org");
//
// Bytes arrive in their order, each write so much later as the options say. A side that reads or writes waits as it would for a socket, with
// the same limits and results. What happens to a side:
//
//     the other side                        reading gives                               writing gives
//     has shut down its writing             what came before, then `closed`             as before
//     has closed, and had read everything   what came before, then `closed`             IoError, std::errc::broken_pipe
//     has closed, with bytes left unread    what came before, then IoError,             IoError, std::errc::broken_pipe
//                                           std::errc::connection_reset
//     or this one was cut                   what came before, then the same IoError     IoError, std::errc::connection_reset
//
// What was sent before the end arrives; a write to a side that has closed fails at once, while over a network the first might still succeed.
//
// Chance follows from MemoryStreamOptions::seed; without one from the World's seed, outside of a World from 1.
//
// Thread safety: as a Stream, each side is used by one thread; the two sides may be on different threads, of a World or real ones. Times are
// those of the caller's clock, so both sides need the same one. Failure: also std::bad_alloc.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/io/received.h"
#include "cooperative/io/stream.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::testing {

enum class Pieces : std::uint8_t {
  whole,      // a read gets all that has arrived, and has room; a write takes all that there is room for
  by_chance,  // of that at least one byte
};

struct MemoryStreamOptions {
  std::string name = "memory";                            // errors call the sides "memory, side 1" and "memory, side 2"
  absl::Duration latency = absl::ZeroDuration();          // from a write to the moment when the other side can read it
  absl::Duration latency_spread = absl::ZeroDuration();   // and at most so much more, by chance
  Pieces pieces = Pieces::whole;
  std::size_t room = 64 * 1024;                           // so many bytes of one direction are unread before a writer waits; at least 1
  std::optional<std::uint64_t> cut_after = std::nullopt;  // cut() once so many bytes have been written, of both sides together
  std::optional<std::uint64_t> seed = std::nullopt;
};

class [[nodiscard]] MemoryStream final : public Stream {
 public:
  // Throws mothreads::Misuse for a time that is negative or without an end, and for no room.
  static std::pair<MemoryStream, MemoryStream> pair(const MemoryStreamOptions& options = {});

  MemoryStream(MemoryStream&&) noexcept = default;
  MemoryStream& operator=(MemoryStream&& other) noexcept;
  ~MemoryStream() override;

  // As if the network had failed, for both sides. Once more changes nothing.
  void cut();

  void close() override;
  bool is_open() const override;
  std::string name() const override;

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit limit) override;

 private:
  class Link;
  MemoryStream(std::shared_ptr<Link> link, int side) : link_(std::move(link)), side_(side) {}
  std::shared_ptr<Link> share() const;

  std::shared_ptr<Link> link_;  // null when moved from
  int side_;
};

}  // namespace cooperative::testing
