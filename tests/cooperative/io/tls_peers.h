#pragma once

// What the tests of TLS talk over, and with.

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/stream.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/cooperative/io/certificates.h"

namespace cooperative::inline v0::testing {

// On a thread of its own: the scheduler, and what it waits for descriptors with, end with it.
template <typename F>
void on_host(F&& body) {
  mothreads::Thread::run("host", [&](mothreads::Signal) { body(); }).join();
}

// The one that all trust here; making one takes its time.
inline const Authority& authority() {
  static const Authority one("Root of tests");
  return one;
}
inline const TlsIdentity& server_identity() {
  static const TlsIdentity one = authority().issue();
  return one;
}
inline TlsContext trusting(TlsClientSettings settings = {}) {
  if (!settings.trusted) settings.trusted = authority().pem();
  return TlsContext::client(settings);
}
inline TlsContext serving(TlsServerSettings settings = {}) {
  if (settings.identities.empty()) settings.identities = {server_identity()};
  return TlsContext::server(settings);
}

struct Connected {
  TlsStream client;
  TlsStream server;
};

// Two that have shaken hands over what connects `below`.
inline Connected connected_over(std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> below, const TlsContext& client = trusting(),
                                const TlsContext& server = serving()) {
  auto other = spawn("server", [&server, it = std::move(below.second)]() mutable { return TlsStream::accept(server, std::move(it)); });
  auto ours = TlsStream::connect(client, std::move(below.first), "server.test");
  return {std::move(ours), other.join()};
}
inline std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> socket_pair() {
  auto [a, b] = Socket::pair();
  return {std::make_unique<Socket>(std::move(a)), std::make_unique<Socket>(std::move(b))};
}
inline Connected connected(const TlsContext& client = trusting(), const TlsContext& server = serving()) {
  return connected_over(socket_pair(), client, server);
}

// A stream over another, which it changes in what a derived one says.
class Over : public Stream {
 public:
  explicit Over(std::unique_ptr<Stream> below) : below_(std::move(below)) {}

  void close() override { below_->close(); }
  bool is_open() const override { return below_->is_open(); }
  std::string name() const override { return "test over " + below_->name(); }

 protected:
  void end_writing(mothreads::Limit limit) override { below_->shut_down_writing(limit); }
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override { return below_->read_some(into, limit); }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override {
    return below_->write_some(pieces.front(), limit);
  }

  const std::unique_ptr<Stream> below_;
};

// A byte at a time, each way.
class Trickle final : public Over {
 public:
  using Over::Over;

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override { return below_->read_some(into.first(1), limit); }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override {
    return below_->write_some(pieces.front().substr(0, 1), limit);
  }
};

// Lets so many bytes through, each way, and no more until there is a new allowance.
class Gate final : public Over {
 public:
  using Over::Over;

  void allow_reading(std::size_t bytes) { allow(readable_, may_read_, bytes); }
  void allow_writing(std::size_t bytes) { allow(writable_, may_write_, bytes); }
  static constexpr std::size_t kAll = std::size_t{1} << 40;
  std::size_t readable() const { return readable_; }
  std::size_t writable() const { return writable_; }
  std::size_t written() const { return written_; }

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override {
    if (const mothreads::Why why = await(readable_, may_read_, limit); why != mothreads::Why::ready) return {0, why};
    const Received got = below_->read_some(into.first(std::min(into.size(), readable_)), limit);
    readable_ -= got.size();
    return got;
  }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override {
    if (const mothreads::Why why = await(writable_, may_write_, limit); why != mothreads::Why::ready) return {0, why};
    const Sent sent = below_->write_some(pieces.front().substr(0, writable_), limit);
    writable_ -= sent.size();
    written_ += sent.size();
    return sent;
  }

 private:
  static void allow(std::size_t& allowance, mothreads::Signal& more, std::size_t bytes) {
    allowance = bytes;
    if (bytes > 0) std::exchange(more, mothreads::Signal()).go();
  }
  static mothreads::Why await(const std::size_t& allowance, const mothreads::Signal& more, const mothreads::Until& until) {
    const mothreads::Until limit = until.from_now();
    while (allowance == 0) {
      const mothreads::Signal next = more;
      if (const mothreads::Why why = next.wait(limit).why(); why != mothreads::Why::ready) return why;
    }
    return mothreads::Why::ready;
  }

  std::size_t readable_ = kAll;
  std::size_t writable_ = kAll;
  std::size_t written_ = 0;
  mothreads::Signal may_read_;
  mothreads::Signal may_write_;
};

// The other side as OpenSSL alone has it, for what ours never does by itself. Its fiber waits for each of its calls.
class RawTls {
 public:
  struct Options {
    bool is_server = false;
    int max_version = 0;
    std::optional<TlsIdentity> identity = std::nullopt;
    bool asks_for_certificate = false;
    int tickets = 0;
  };

  RawTls(Stream& below, const Options& options) : below_(below) {
    context_.reset(SSL_CTX_new(options.is_server ? TLS_server_method() : TLS_client_method()));
    check(context_ != nullptr && SSL_CTX_set_max_proto_version(context_.get(), options.max_version) == 1);
    check(SSL_CTX_set_num_tickets(context_.get(), static_cast<std::size_t>(options.tickets)) == 1);
    if (options.identity) use(*options.identity);
    if (options.asks_for_certificate) {
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
      static constexpr unsigned char kContext[] = "tests";
      SSL_CTX_set_session_id_context(context_.get(), kContext, sizeof kContext);
    }
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    check(ssl_ != nullptr && in_ != nullptr && out_ != nullptr);
    SSL_set_bio(ssl_.get(), in_, out_);
    if (options.is_server) {
      SSL_set_accept_state(ssl_.get());
    } else {
      SSL_set_connect_state(ssl_.get());
    }
  }

  SSL* ssl() const { return ssl_.get(); }

  // Does `call` until OpenSSL needs nothing more for it; what it gave last.
  int run(const std::function<int()>& call) {
    while (true) {
      ERR_clear_error();
      const int result = call();
      const int error = SSL_get_error(ssl_.get(), result);
      flush();
      if (result > 0 || error != SSL_ERROR_WANT_READ) return result;
      if (!feed()) return 0;
    }
  }
  void shake_hands() { check(run([this] { return SSL_do_handshake(ssl_.get()); }) == 1); }
  void write(std::string_view text) { check(run([&] { return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())); }) > 0); }
  std::string read(std::size_t size) {
    std::string text;
    std::array<char, 4096> room;
    while (text.size() < size) {
      const std::size_t most = std::min(room.size(), size - text.size());
      const int got = run([&] { return SSL_read(ssl_.get(), room.data(), static_cast<int>(most)); });
      if (got <= 0) break;
      text.append(room.data(), static_cast<std::size_t>(got));
    }
    return text;
  }
  // What OpenSSL has to say, as it is.
  std::string take_output() {
    std::string text(BIO_ctrl_pending(out_), '\0');
    if (!text.empty()) BIO_read(out_, text.data(), static_cast<int>(text.size()));
    return text;
  }
  void flush() {
    if (const std::string text = take_output(); !text.empty()) below_.write_all(text);
  }

 private:
  static void check(bool done) {
    if (!done) throw std::runtime_error("the raw side of a test of TLS failed");
  }
  bool feed() {
    std::array<std::byte, 4096> room;
    const Received got = below_.read_some(room);
    if (!got) return false;
    BIO_write(in_, room.data(), static_cast<int>(got.size()));
    return true;
  }
  void use(const TlsIdentity& identity);

  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  Stream& below_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  BIO* in_ = nullptr;  // the session's
  BIO* out_ = nullptr;
};

// Text in which no part is like another.
inline std::string text_of(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ' ';
  text.resize(size);
  return text;
}

// Until nobody has anything left to do.
inline void settle() { static_cast<void>(yield_until_idle()); }

// Two, of which the client's side goes through a gate.
struct Gated {
  Gate* gate;
  Connected both;
};
inline Gated gated(const TlsContext& client = trusting(), const TlsContext& server = serving()) {
  auto [a, b] = socket_pair();
  auto gate = std::make_unique<Gate>(std::move(a));
  Gate* const it = gate.get();
  return {it, connected_over({std::move(gate), std::move(b)}, client, server)};
}

}  // namespace cooperative::testing
