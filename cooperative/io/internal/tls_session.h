#pragma once

// The inside of a TlsStream: OpenSSL's state of one connection, and the fibers that wait for it.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/turn.h"
#include "cooperative/io/internal/openssl.h"
#include "cooperative/io/stream.h"
#include "cooperative/io/tls.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0 {

// OpenSSL never waits and never sees a descriptor: it takes its input from `arrived_` and leaves its output in `unsent_`, in a call that
// no other fiber can come between. The waits are between those calls:
//
//     reading_   who has it reads the stream below, and feeds what comes to OpenSSL. One at a time: what somebody waits for below may
//                come with what another one has read.
//     writing_   who has it writes the stream below, and nothing of its own before all that is unsent. One at a time: records have an order.
//     stalled_   writers that must wait until OpenSSL has read the rest of a message (of the handshake's kind, after it); whoever reads
//                wakes them, for they may go on, or have to read themselves.
class TlsStream::Session {
 public:
  Session(const TlsContext& context, std::unique_ptr<Stream> owned, Stream& below, std::string host);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void shake_hands(mothreads::Limit limit);
  Received receive(std::span<std::byte> into, mothreads::Limit limit);
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit);
  void end_writing(mothreads::Limit limit);
  void close();

  bool is_open() const { return !is_closed_ && below_.is_open(); }
  Descriptor* source() const {
    const bool has_input = taken_ < arrived_.size() || SSL_has_pending(ssl()) != 0 || !below_.buffered().empty();
    return is_closed_ || failure_ || has_unsent() || has_input ? nullptr : below_.begin_rest(mothreads::internal::kAccess);
  }
  SSL* ssl() const { return ssl_.get(); }
  const TlsContext::Parts& parts() const { return context_.parts(mothreads::internal::kAccess); }
  std::string name() const;

 private:
  enum class Step : std::uint8_t { done, needs_input, at_end };

  static BIO_METHOD* pipe();
  static Session& of(BIO* bio) { return *static_cast<Session*>(BIO_get_data(bio)); }

  void expect_host();
  void resume_session();
  void check_usable() const;
  mothreads::Why taken_or_closed(mothreads::Why why) const;

  template <typename Function>
  Step run(const char* verb, Function&& call);
  [[noreturn]] void fail(const char* verb);
  [[noreturn]] void give_up(mothreads::Why why, const char* verb) const;

  mothreads::Why feed(mothreads::Limit limit);
  mothreads::Why await_input(mothreads::Limit limit);
  void leave_reading() noexcept;
  bool has_unsent() const { return sent_ < sending_.size() || !unsent_.empty(); }
  mothreads::Why flush(mothreads::Limit limit);
  bool flush_at_once();
  mothreads::Why flush_or_hear_why(mothreads::Limit limit, const char* verb);
  void hear_why_it_went(const char* verb);
  mothreads::Why feed_while_sending(mothreads::Limit limit);

  internal::Home home_;
  const mothreads::internal::Born born_;
  const TlsContext context_;
  const std::unique_ptr<Stream> owned_;
  Stream& below_;
  const std::string host_;  // of a client
  internal::io::OwnedSsl ssl_;
  bool is_closed_ = false;
  bool is_shut_ = false;            // close_notify has been written
  bool reads_large_ = false;        // the last read was as full as it could be
  std::exception_ptr failure_;      // after which OpenSSL must not be asked again

  std::string arrived_;             // and OpenSSL has not taken it ...
  std::size_t taken_ = 0;           // ... but for that much
  std::size_t in_vain_ = 0;         // so much has come since the last data
  std::string unsent_;              // OpenSSL wrote it, behind ...
  std::string sending_;             // ... that: who has writing_ sends it ...
  std::size_t sent_ = 0;            // ... and has sent so much
  internal::Turn reading_;
  internal::Turn writing_;
  mothreads::internal::WaitList stalled_;
};

}  // namespace cooperative
