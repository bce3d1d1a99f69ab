#include "cooperative/io/internal/tls_session.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/address.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::io::QueuedErrors;
using internal::Turn;
using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::printable;
using mothreads::internal::WaitNode;

namespace {

constexpr std::size_t kMaxRecord = 16 * 1024;   // of what is written: RFC 8446, 5.1
constexpr std::size_t kSmallRead = 4096;        // on the stack, while it waits
constexpr std::size_t kLargeRead = 17 * 1024;   // a record with all that belongs to it, and more
constexpr std::size_t kMuchInVain = 32 * 1024;  // more than a record: where nothing came of that a limit is looked at, though nobody waited

}  // namespace

// --- between OpenSSL and the stream below ------------------------------------------------------------------------------------

BIO_METHOD* TlsStream::Session::pipe() {
  static constinit mothreads::internal::MadeOnce<BIO_METHOD> method;
  return &method.get([] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "a stream of mothreads");
    if (made == nullptr) throw std::bad_alloc();
    BIO_meth_set_read_ex(made, [](BIO* bio, char* into, std::size_t room, std::size_t* size) {
      Session& self = of(bio);
      BIO_clear_retry_flags(bio);
      *size = std::min(room, self.arrived_.size() - self.taken_);
      if (*size == 0) {
        BIO_set_retry_read(bio);
        return 0;
      }
      std::copy_n(self.arrived_.data() + self.taken_, *size, into);
      self.taken_ += *size;
      if (self.taken_ == self.arrived_.size()) {
        self.taken_ = 0;
        if (self.arrived_.capacity() > kSmallRead) self.arrived_ = {};  // an idle stream holds little
        self.arrived_.clear();
      }
      return 1;
    });
    BIO_meth_set_write_ex(made, [](BIO* bio, const char* data, std::size_t size, std::size_t* written) {
      BIO_clear_retry_flags(bio);
      try {
        of(bio).unsent_.append(data, size);
      } catch (const std::bad_alloc&) {
        return 0;
      }
      *written = size;
      return 1;
    });
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  });
}

TlsStream::Session::Session(const TlsContext& context, std::unique_ptr<Stream> owned, Stream& below, std::string host)
    : context_(context), owned_(std::move(owned)), below_(below), host_(std::move(host)) {
  ERR_clear_error();
  ssl_.reset(SSL_new(parts().ssl.get()));
  if (ssl_ == nullptr) internal::io::throw_tls_error("TLS", "begin a session");
  BIO* const bio = BIO_new(pipe());
  if (bio == nullptr) internal::io::throw_tls_error("TLS", "begin a session");
  BIO_set_data(bio, this);
  SSL_set_bio(ssl(), bio, bio);
  if (parts().is_server) {
    SSL_set_accept_state(ssl());
  } else {
    SSL_set_connect_state(ssl());
    expect_host();
    resume_session();
  }
}

TlsStream::Session::~Session() {
  if (born_.is_left_behind()) return;  // a fiber of the parent may use it
  if (reading_.is_taken() || writing_.is_taken() || !stalled_.is_empty()) {
    mothreads::internal::fatal_misuse(
        fmt::format("{} was destroyed while a fiber uses it: close() it first, and wait for that fiber", name()));
  }
}

void TlsStream::Session::expect_host() {
  const auto check = [this](bool done) {
    if (!done) internal::io::throw_tls_error(name(), "ask for that host");
  };
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl());
  if (const std::optional<Address> address = Address::parse(host_, 0)) {
    const std::string ip = address->ip();
    check(X509_VERIFY_PARAM_set1_ip_asc(wanted, ip.substr(0, ip.find('%')).c_str()) == 1);
    return;
  }
  if (host_.empty()) return;  // and nothing is verified
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  check(X509_VERIFY_PARAM_set1_host(wanted, host_.data(), host_.size()) == 1);
  // By hand what a macro with an old cast in it does.
  check(SSL_ctrl(ssl(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(host_.c_str())) == 1);
}

void TlsStream::Session::resume_session() {
  internal::io::TlsSessions* const sessions = parts().sessions.get();
  if (sessions == nullptr || host_.empty()) return;
  // For whoever keeps what the server gives (tls_context.cc).
  if (SSL_set_ex_data(ssl(), 0, const_cast<std::string*>(&host_)) != 1) internal::io::throw_tls_error(name(), "begin a session");
  // One that OpenSSL does not take is none: the handshake is a full one.
  if (const internal::io::OwnedSession session = sessions->take(host_)) SSL_set_session(ssl(), session.get());
}

std::string TlsStream::Session::name() const {
  if (parts().is_server) return fmt::format("TLS server over {}", below_.name());
  return fmt::format("TLS client of \"{}\" over {}", host_, below_.name());
}

// --- errors ------------------------------------------------------------------------------------------------------------------

void TlsStream::Session::check_usable() const {
  home_.check("a TLS stream");
  if (is_closed_) throw Closed("a TLS stream", "a TLS stream is closed");
  if (failure_) std::rethrow_exception(failure_);
}

Why TlsStream::Session::taken_or_closed(Why why) const {
  if (why == Why::closed) throw Closed("a TLS stream", "a TLS stream was closed while a fiber waited for it");
  return why;
}

template <typename Function>
TlsStream::Session::Step TlsStream::Session::run(const char* verb, Function&& call) {
  if (failure_) std::rethrow_exception(failure_);  // of another fiber, while this one waited
  ERR_clear_error();
  const int result = call();
  if (result > 0) return Step::done;
  switch (SSL_get_error(ssl(), result)) {
    case SSL_ERROR_WANT_READ: return Step::needs_input;
    case SSL_ERROR_ZERO_RETURN: return Step::at_end;
    default: fail(verb);
  }
}

void TlsStream::Session::fail(const char* verb) {
  const QueuedErrors errors = internal::io::take_errors();
  const bool is_distrust = ERR_GET_LIB(errors.outermost) == ERR_LIB_SSL && ERR_GET_REASON(errors.outermost) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  const auto said = [&](std::string_view more) {
    return fmt::format("{}: cannot {}{}{}{}{}", name(), verb, more.empty() ? "" : ": ", more, errors.details.empty() ? "" : ": ", errors.details);
  };
  if (is_distrust) {
    const long reason = SSL_get_verify_result(ssl());
    failure_ = std::make_exception_ptr(CertificateError(errors.outermost, reason, said(X509_verify_cert_error_string(reason))));
  } else {
    failure_ = std::make_exception_ptr(TlsError(errors.outermost, said("")));
  }
  static_cast<void>(flush_at_once());  // the alert, which tells the other side why
  std::rethrow_exception(failure_);
}

void TlsStream::Session::give_up(Why why, const char* verb) const {
  throw_early(name(), why, verb);
}

// --- reading -----------------------------------------------------------------------------------------------------------------

// For who has reading_: gives OpenSSL what comes next.
Why TlsStream::Session::feed(Limit limit) {
  // A peer that sends tickets or keys without end, and no data, keeps nobody beyond his limit.
  if (in_vain_ >= kMuchInVain) {
    in_vain_ = 0;  // the next call gets further
    if (const std::optional<Why> come = limit.has_come()) return *come;
  }
  const auto read = [&](std::span<std::byte> room) {
    const Received more = below_.read_some(room, limit);
    if (is_closed_) throw Closed("a TLS stream", "a TLS stream was closed while a fiber read from it");
    if (more.why() == Why::closed) {
      throw TlsTruncated(ERR_PACK(ERR_LIB_SSL, 0, SSL_R_UNEXPECTED_EOF_WHILE_READING),
                         fmt::format("{}: the other side ended the connection, not its stream: what it sent may have been cut off", name()));
    }
    internal::append_much(arrived_, {reinterpret_cast<const char*>(room.data()), more.size()});
    in_vain_ += more.size();
    reads_large_ = more.size() == room.size();
    return more.why();
  };
  if (reads_large_) {
    const internal::Memory<std::byte> room = internal::make_memory<std::byte>(kLargeRead);
    return read({room.get(), kLargeRead});
  }
  alignas(64) std::array<std::byte, kSmallRead> room;
  return read(room);
}

// The same for who reads and has nothing to write: what is unsent, an answer of OpenSSL's or what a limit has left, must not wait until
// something comes, which may be the answer to it.
Why TlsStream::Session::feed_while_sending(Limit limit) {
  if (flush_at_once()) return feed(limit);
  // There is no room for it, and the other side may make none before it has been read from: both at the same time, then.
  Fiber<void> sender = spawn("sends what is left", [this] {
    try {
      if (taken_or_closed(writing_.take("waits for its turn to write to a TLS stream", {})) != Why::ready) return;
      const absl::Cleanup leave = [this] { writing_.leave(); };
      static_cast<void>(flush({}));
    } catch (const IoError&) {  // who writes next finds it, too
    } catch (const Closed&) {
    }
  });
  return feed(limit);
}

void TlsStream::Session::leave_reading() noexcept {
  reading_.leave();
  Turn::wake_all(stalled_, Why::ready);
}

Received TlsStream::Session::receive(std::span<std::byte> into, Limit limit) {
  check_usable();
  if (const Why why = taken_or_closed(reading_.take("waits for its turn to read from a TLS stream", limit)); why != Why::ready) return {0, why};
  const absl::Cleanup leave = [this] { leave_reading(); };
  while (true) {
    check_usable();
    std::size_t size = 0;
    const Step step = run("read", [&] { return SSL_read_ex(ssl(), into.data(), into.size(), &size); });
    if (step == Step::at_end) return {0, Why::closed};
    if (step == Step::done) {
      in_vain_ = 0;
      if (has_unsent()) static_cast<void>(flush_at_once());
      return {size, Why::ready};
    }
    Turn::wake_all(stalled_, Why::ready);
    if (const Why why = feed_while_sending(limit); why != Why::ready) return {0, why};
  }
}

// --- writing -----------------------------------------------------------------------------------------------------------------

// For who has writing_.
Why TlsStream::Session::flush(Limit limit) {
  while (true) {
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      if (unsent_.empty()) {
        if (sending_.capacity() > kSmallRead) sending_ = {};
        return Why::ready;
      }
      std::swap(sending_, unsent_);
    }
    const Sent more = below_.write_some(std::string_view(sending_).substr(sent_), limit);
    sent_ += more.size();
    if (!more) return more.why();
  }
}

// Without a wait for room. False when there was too little; whoever has writing_ sends it all in any case.
bool TlsStream::Session::flush_at_once() {
  if (!has_unsent() || !writing_.try_take()) return true;
  const absl::Cleanup leave = [this] { writing_.leave(); };
  try {
    return flush(Limit::now()) == Why::ready;
  } catch (const IoError&) {
    return true;  // who writes next finds it, too; there may still be something to be read
  }
}

// The same for who has something to say, and can only be told that there is nobody to listen.
Why TlsStream::Session::flush_or_hear_why(Limit limit, const char* verb) {
  try {
    return flush(limit);
  } catch (const IoError&) {
    hear_why_it_went(verb);
    throw;
  }
}

// An alert may be there. Throws what it says.
void TlsStream::Session::hear_why_it_went(const char* verb) {
  if (failure_ || !reading_.try_take()) return;  // who reads will know
  const absl::Cleanup leave = [this] { leave_reading(); };
  std::byte next{};
  std::size_t size = 0;
  try {
    while (run(verb, [&] { return SSL_peek_ex(ssl(), &next, 1, &size); }) == Step::needs_input && feed(Limit::now()) == Why::ready) {
    }
  } catch (const TlsTruncated&) {
  } catch (const TlsError&) {
    throw;
  } catch (const IoError&) {
  }
}

// For who has writing_, when OpenSSL must read before it can write.
Why TlsStream::Session::await_input(Limit limit) {
  if (const Why why = flush(limit); why != Why::ready) return why;
  if (reading_.try_take()) {
    const absl::Cleanup leave = [this] { leave_reading(); };
    return feed(limit);
  }
  WaitNode node;
  const Why why = home_.core().wait(stalled_, node, "waits for the rest of a TLS message", limit);
  return taken_or_closed(why);
}

Sent TlsStream::Session::send_pieces(std::span<const std::string_view> pieces, Limit limit) {
  constexpr const char* kVerb = "write";
  check_usable();
  if (const Why why = taken_or_closed(writing_.take("waits for its turn to write to a TLS stream", limit)); why != Why::ready) return {0, why};
  const absl::Cleanup leave = [this] { writing_.leave(); };
  check_usable();
  if (is_shut_) throw IoError(EPIPE, name(), "write: shut_down_writing() was called");
  if (const Why why = flush_or_hear_why(limit, kVerb); why != Why::ready) return {0, why};

  // One record, whole or not at all. Small pieces share it.
  std::string together;
  std::string_view record = pieces.front().substr(0, kMaxRecord);
  if (record.size() < kMaxRecord && pieces.size() > 1) {
    for (const std::string_view piece : pieces) {
      together += piece.substr(0, kMaxRecord - together.size());
      if (together.size() == kMaxRecord) break;
    }
    record = together;
  }
  std::size_t size = 0;
  while (run(kVerb, [&] { return SSL_write_ex(ssl(), record.data(), record.size(), &size); }) != Step::done) {
    if (const Why why = await_input(limit); why != Why::ready) return {0, why};
    check_usable();
  }
  try {
    return {size, flush_or_hear_why(limit, kVerb)};
  } catch (const FiberCancelled&) {
    return {size, Why::ready};  // it is taken, and may not be given again; the cancellation comes again, at the next wait
  }
}

void TlsStream::Session::end_writing(Limit limit) {
  constexpr const char* kVerb = "end its stream";
  check_usable();
  const auto or_give_up = [&](Why why) {
    if (taken_or_closed(why) != Why::ready) give_up(why, kVerb);
  };
  or_give_up(writing_.take("waits for its turn to write to a TLS stream", limit));
  const absl::Cleanup leave = [this] { writing_.leave(); };
  check_usable();
  bool sends_only_farewell = false;
  if (!is_shut_) {
    or_give_up(flush(limit));
    sends_only_farewell = true;
    // Not in the middle of a message that comes.
    while (SSL_in_init(ssl()) != 0 && run(kVerb, [&] { return SSL_do_handshake(ssl()); }) != Step::done) or_give_up(await_input(limit));
    run(kVerb, [&] {
      const int result = SSL_shutdown(ssl());
      return result == 0 ? 1 : result;  // the other side goes on for now
    });
    is_shut_ = true;
  }
  try {
    or_give_up(flush(limit));
  } catch (const IoError&) {
    // The other side may have gone once it had ended its own stream, as was wanted.
    if (!sends_only_farewell || (SSL_get_shutdown(ssl()) & SSL_RECEIVED_SHUTDOWN) == 0) throw;
  }
}

// --- its beginning and its end -----------------------------------------------------------------------------------------------

// Nobody else knows of it yet.
void TlsStream::Session::shake_hands(Limit limit) {
  constexpr const char* kVerb = "shake hands";
  while (true) {
    const Step step = run(kVerb, [&] { return SSL_do_handshake(ssl()); });
    if (const Why why = flush_or_hear_why(limit, kVerb); why != Why::ready) give_up(why, kVerb);
    if (step == Step::done) break;
    if (const Why why = feed(limit); why != Why::ready) give_up(why, kVerb);
  }
  in_vain_ = 0;
}

void TlsStream::Session::close() {
  home_.check("a TLS stream");
  if (std::exchange(is_closed_, true)) return;
  below_.close();
  reading_.close();
  writing_.close();
  Turn::wake_all(stalled_, Why::closed);
}

}  // namespace cooperative
