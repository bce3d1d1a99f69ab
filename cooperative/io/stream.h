#pragma once

// Bytes that come one after the other: a socket, TLS over one, a pipe, a file.
//
//     while (auto line = client.read_line(absl::Seconds(30))) client.write_all(reply(*line));
//
// A fiber reads and writes in straight lines, and waits where it must; only it waits. Reading looks ahead into a buffer where it has to
// find a delimiter; all that reads takes what is there first, so the ways to read may be mixed.
//
// A limit is total: it counts from the call to its end, however many waits that takes, and also where there is always more to read without
// one. Zero takes what is there. A call without a limit has the object's, if it has one: set_timeout(). What a limit interrupts loses
// nothing: see received.h and WriteTimedout.
//
// One fiber may read while another writes. Several that read, or several that write, have their turns in the order they came, call of the
// system by call of the system: what they get, or what the other side gets, is mixed accordingly.
//
// Errors of the system are thrown as IoError; the end of the stream is none, but a result.
//
// Memory that is passed to be filled with much at a time (16 KiB or more) should begin at a page, as std::aligned_alloc(4096, size) gives it. What
// malloc and std::string give for much begins 16 bytes behind one, where the kernel's copy takes three times as long on some processors (AMD
// Zen 3). What the library reads into itself begins at a page.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cooperative/io/internal/read_ahead.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/received.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class Descriptor;

class Stream {
 public:
  // So many bytes may come before a delimiter, unless set_max_line() says otherwise.
  static constexpr std::size_t kDefaultMaxLine = 64 * 1024;

  virtual ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // --- reading ------------------------------------------------------------------------------------------------------------

  // What is there, at least one byte and at most `into` has room for.
  Received read_some(std::span<std::byte> into, const mothreads::Until& until = {});
  Received read_some(std::span<char> into, const mothreads::Until& until = {}) { return read_some(std::as_writable_bytes(into), until); }
  // As much as `into` has room for. Less only when it ended early: that much is in `into`.
  Received read_exact(std::span<std::byte> into, const mothreads::Until& until = {}) {
    if (ahead_.size() < into.size() || into.empty()) return read_rest(into, until);
    std::memcpy(into.data(), ahead_.view().data(), into.size());
    ahead_.drop(into.size());
    return {into.size(), mothreads::Why::ready};
  }
  Received read_exact(std::span<char> into, const mothreads::Until& until = {}) { return read_exact(std::as_writable_bytes(into), until); }
  // As many bytes, as text. What ended early: see ReceivedText.
  ReceivedText read_exact(std::size_t size, const mothreads::Until& until = {});

  // Up to the delimiter, which is taken, too, and not given; `closed`, with what came, when the stream ends before it. Throws TooLong when there
  // is none among the first max_line() bytes, and mothreads::Misuse for an empty delimiter.
  ReceivedText read_until(std::string_view delimiter, const mothreads::Until& until = {});
  // The same to the end of a line, "\n" or "\r\n", neither of which counts. What the stream ends with is a line, too, and `ready`, also without
  // a newline: the next call is then `closed`. Who must not take a line that was cut off for a whole one looks at ReceivedText::has_delimiter().
  ReceivedText read_line(const mothreads::Until& until = {});
  // All to the end of the stream; `ready` there. Throws TooLong when that is more than `max`.
  ReceivedText read_all(std::size_t max, const mothreads::Until& until = {});

  void set_max_line(std::size_t bytes) { max_line_ = bytes; }
  std::size_t max_line() const { return max_line_; }

  // For parsers: what has come and nobody has taken; the view lasts until the next call that reads.
  std::string_view buffered() const { return ahead_.view(); }
  // Waits for more of that; `closed` at the end of the stream.
  mothreads::Ended fill(const mothreads::Until& until = {});
  // Waits until `is_enough`, which is asked about what is buffered, before any wait and after each. `closed` when the end came before. What
  // it throws is thrown, and nothing is taken.
  mothreads::Ended fill_until(absl::FunctionRef<bool(std::string_view)> is_enough, const mothreads::Until& until = {});
  void consume(std::size_t bytes);

  // --- writing ------------------------------------------------------------------------------------------------------------

  // As much as goes at once, at least one byte, if there are any.
  Sent write_some(std::string_view data, const mothreads::Until& until = {});
  // All. Throws WriteTimedout when the limit comes first.
  void write_all(std::string_view data, const mothreads::Until& until = {});
  void write_all(std::span<const std::byte> data, const mothreads::Until& until = {});
  // All of several pieces, one after the other, with as few calls of the system as that takes.
  void write_all(std::span<const std::string_view> pieces, const mothreads::Until& until = {});
  // So much of a file, from `offset` on; gives how much, which is less only where the file ends before. What is not in memory is fetched by other
  // threads, as far as the system tells (docs/decisions/0008). Throws WriteTimedout, and IoError for the file, too; Closed when the stream is
  // closed meanwhile, after which it may be destroyed.
  virtual std::size_t send_file(int file, off_t offset, std::size_t size, const mothreads::Until& until = {});

  // For answers that belong together: kept here until flush(), or until there are kMaxLater bytes, or something else is written. What was not
  // flushed before the end is lost, which the log says.
  static constexpr std::size_t kMaxLater = 64 * 1024;
  void write_later(std::string_view data, const mothreads::Until& until = {}) {
    if (later_.size() + data.size() > kMaxLater) [[unlikely]] return make_room_for(data, start(until));
    later_.append(data.data(), data.size());
  }
  // Throws WriteTimedout; then what was not written is still to be flushed. It is gone when the stream has failed.
  void flush(const mothreads::Until& until = {}) {
    if (later_.size() > 0) write_what_waits(start(until));
  }

  // No more is written: the other side reads the end of the stream. Reading goes on. Flushes.
  void shut_down_writing(const mothreads::Until& until = {});

  // Ends it. Fibers that wait for it end by Closed. Nothing when it is closed already.
  virtual void close() = 0;
  // The same so that the other side can tell it from an end in order, where the stream has a way to say so: a reset of TCP, TLS without close_notify.
  // Bytes that were sent and that the other side has not read yet may be lost.
  virtual void abort() { close(); }
  virtual bool is_open() const = 0;

  // The limit of each call that is given none; nothing for no limit.
  void set_timeout(std::optional<absl::Duration> timeout) { timeout_ = timeout.value_or(absl::InfiniteDuration()); }
  std::optional<absl::Duration> timeout() const;

  // What errors call it.
  virtual std::string name() const = 0;

  // For the library, before a wait without a fiber: gives back the memory of empty buffers. Gives the descriptor that becomes readable once there is more
  // to read here, as far as a read has just found nothing; null where only another read can tell, or something must be written first.
  Descriptor* begin_rest(mothreads::internal::Access) {
    ahead_.release();
    later_.release();
    return source();
  }

  // For the library: whether a verb of several steps is under way, or one that reads, even where its fiber does not wait but has given others a turn.
  bool is_in_use(mothreads::internal::Access) const { return visits_ != nullptr; }
  // For the library: what was read from below by another way, behind what was read ahead before.
  void append_ahead(std::string_view bytes, mothreads::internal::Access) { ahead_.append(bytes.data(), bytes.size()); }

 protected:
  Stream() = default;
  // What flushes another goes on with that one, as far as it can; what flushed this one before finds it gone.
  Stream(Stream&& other) noexcept
      : ahead_(std::move(other.ahead_)), later_(std::move(other.later_)), max_line_(other.max_line_), timeout_(other.timeout_) {}
  Stream& operator=(Stream&& other) noexcept;

  // Of a stream itself: at least one byte, `closed` at its end, or the limit. `into` has room.
  virtual Received receive(std::span<std::byte> into, mothreads::Limit limit) = 0;
  // At least one byte of the pieces, of which none is empty, and there is at least one. Bytes that were taken but are not on their way count;
  // when a limit came before they were, it says so.
  virtual Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) = 0;
  virtual void end_writing(mothreads::Limit limit) = 0;
  // For begin_rest().
  virtual Descriptor* source() { return nullptr; }

  using Ahead = internal::io::ReadAhead;
  // On the stack of a fiber that waits in a verb of several steps: close() is enough for the stream to be destroyed meanwhile, and the fiber
  // looks at this before it touches the stream again.
  class Visit {
   public:
    explicit Visit(Stream& stream) noexcept : stream_(&stream), next_(std::exchange(stream.visits_, this)) {}
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    bool is_stream_gone() const noexcept { return stream_ == nullptr; }
    // Throws Closed when it is.
    void check() const;

   private:
    friend class Stream;
    Stream* stream_;
    Visit* next_;
  };
  // receive() for reading ahead: adds at least one byte. For streams that can do better than by way of the fiber's stack.
  virtual Received receive_ahead(Ahead& ahead, mothreads::Limit limit);

  // What each verb does with its Until, once: a call that is given none has the object's limit. All that the verb does then has the rest of it.
  mothreads::Limit start(const mothreads::Until& until) const {
    if (until.is_never() && timeout_ == absl::InfiniteDuration()) return {};
    return start_limited(until);
  }

 private:
  mothreads::Limit start_limited(const mothreads::Until& until) const;
  ReceivedText read_up_to(std::string_view delimiter, bool is_line, const mothreads::Until& until);
  [[noreturn]] void throw_too_long() const;
  void write_rest(std::span<const std::string_view> pieces, Sent sent, mothreads::Limit limit);
  void write_what_waits(mothreads::Limit limit);
  void flush_within(mothreads::Limit limit) {
    if (later_.size() > 0) write_what_waits(limit);
  }
  void make_room_for(std::string_view data, mothreads::Limit limit);
  void write_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit);
  Received read_rest(std::span<std::byte> into, const mothreads::Until& until);
  std::size_t take_ahead(std::span<std::byte> into);
  void spend_act_on_what_is_there() const;
  std::string take_text(std::size_t size);

  void end_visits() noexcept;

  Ahead ahead_;
  Ahead later_;
  Visit* visits_ = nullptr;
  std::size_t max_line_ = kDefaultMaxLine;
  absl::Duration timeout_ = absl::InfiniteDuration();
};

}  // namespace cooperative
