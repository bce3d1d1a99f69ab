#pragma once

// Bytes that come one after the other: a socket, TLS over one, a pipe, a file.
//
//     while (auto line = client.read_line(absl::Seconds(30))) client.write_all(reply(*line));
//
// A fiber reads and writes in straight lines, and waits where it must; only it waits. Reading looks ahead into a buffer where it has to
// find a delimiter; all that reads takes what is there first, so the ways to read may be mixed.
//
// A limit is total: it counts from the call to its end, however many waits that takes. A call without one has the object's, if it has one:
// set_timeout(). What a limit interrupts loses nothing: see received.h and WriteTimedout.
//
// One fiber may read while another writes. Several that read, or several that write, have their turns in the order they came, call of the
// system by call of the system: what they get, or what the other side gets, is mixed accordingly.
//
// Errors of the system are thrown as IoError; the end of the stream is none, but a result.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/received.h"
#include "mothreads/until.h"

namespace cooperative {

class Stream {
 public:
  // So many bytes may come before a delimiter, unless set_max_line() says otherwise.
  static constexpr std::size_t kDefaultMaxLine = 64 * 1024;

  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // --- reading ------------------------------------------------------------------------------------------------------------

  // What is there, at least one byte and at most `into` has room for.
  Received read_some(std::span<std::byte> into, const mothreads::Until& until = {});
  // As much as `into` has room for. Less only when it ended early: that much is in `into`.
  Received read_exact(std::span<std::byte> into, const mothreads::Until& until = {});
  // As many bytes, as text. What ended early: see Text.
  Text read_exact(std::size_t size, const mothreads::Until& until = {});

  // Up to the delimiter, which is taken, too, and not given. Throws TooLong when there is none among the first max_line() bytes, and
  // mothreads::Misuse for an empty delimiter.
  Text read_until(std::string_view delimiter, const mothreads::Until& until = {});
  // The same to the end of a line, "\n" or "\r\n".
  Text read_line(const mothreads::Until& until = {});
  // All to the end of the stream; `ready` there. Throws TooLong when that is more than `max`.
  Text read_all(std::size_t max, const mothreads::Until& until = {});

  void set_max_line(std::size_t bytes) { max_line_ = bytes; }
  std::size_t max_line() const { return max_line_; }

  // For parsers: what has come and nobody has taken; the view lasts until the next call that reads.
  std::string_view buffered() const { return std::string_view(buffer_).substr(taken_); }
  // Waits for more of that; `closed` at the end of the stream.
  mothreads::Ended fill(const mothreads::Until& until = {});
  void consume(std::size_t bytes);

  // --- writing ------------------------------------------------------------------------------------------------------------

  // As much as goes at once, at least one byte, if there are any.
  Sent write_some(std::string_view data, const mothreads::Until& until = {});
  // All. Throws WriteTimedout when the limit comes first.
  void write_all(std::string_view data, const mothreads::Until& until = {});
  void write_all(std::span<const std::byte> data, const mothreads::Until& until = {});
  // All of several pieces, one after the other, with as few calls of the system as that takes.
  void write_all(std::span<const std::string_view> pieces, const mothreads::Until& until = {});

  // No more is written: the other side reads the end of the stream. Reading goes on.
  virtual void shut_down_writing(const mothreads::Until& until = {}) = 0;

  // Ends it. Fibers that wait for it end by Closed. Nothing when it is closed already.
  virtual void close() = 0;
  virtual bool is_open() const = 0;

  // The limit of each call that is given none; nothing for no limit.
  void set_timeout(std::optional<absl::Duration> timeout) { timeout_ = timeout.value_or(absl::InfiniteDuration()); }
  std::optional<absl::Duration> timeout() const;

  // What errors call it.
  virtual std::string name() const = 0;

 protected:
  Stream() = default;
  Stream(Stream&& other) noexcept = default;
  Stream& operator=(Stream&& other) noexcept = default;

  // Of a stream itself: at least one byte, `closed` at its end, or the limit. `into` has room.
  virtual Received receive(std::span<std::byte> into, const mothreads::Until& until) = 0;
  // At least one byte of the pieces, of which none is empty, and there is at least one.
  virtual Sent send_pieces(std::span<const std::string_view> pieces, const mothreads::Until& until) = 0;

  // Runs `act` with the limit that holds for this call.
  template <typename Act>
  decltype(auto) with_limit(const mothreads::Until& until, Act&& act) const {
    if (until.is_never() && timeout_ != absl::InfiniteDuration()) return act(mothreads::Until(timeout_));
    return act(until);
  }

 private:
  std::size_t take_buffered(std::span<std::byte> into);
  std::string take_text(std::size_t size);
  // The same as fill(), whose limit is settled already.
  mothreads::Why fill_once(const mothreads::Until& limit);

  std::string buffer_;  // what reading looked ahead ...
  std::size_t taken_ = 0;  // ... but for that much of it
  std::size_t max_line_ = kDefaultMaxLine;
  absl::Duration timeout_ = absl::InfiniteDuration();
};

}  // namespace cooperative
