#pragma once

// Sockets for fibers: TCP, UDP, Unix, IPv4 and IPv6.
//
//     co::Socket client = co::connect("example.org", 80, absl::Seconds(5));       // connect.h
//     client.write_all("GET / HTTP/1.0\r\n\r\n");
//     while (auto line = client.read_line()) ...
//
//     co::Socket listener = co::listen(co::Address::loopback(0));                 // connect.h
//     co::Socket peer = listener.accept();
//
// Streams are read and written by the verbs of Stream (stream.h); those here are the system's own, and do not look at what reading
// looked ahead: recv() after read_line() misses what buffered() shows, read_some() does not. Each waits only where the system would
// block. SIGPIPE is never raised.
//
// A fiber that has done so many operations without a wait (selfishness.h) lets others have a turn before the next.
//
// Which thread: see descriptor.h.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/io/address.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/stream.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class Socket;

struct Datagram {
  std::size_t size;     // of what was taken
  Address from;
  bool is_truncated;    // the rest of it did not fit, and is gone
};

// What came with a message of a Unix socket, beside its bytes.
struct SocketMessage {
  std::size_t size;
  Address from;
  std::vector<int> descriptors;  // the receiver's own from now on
  bool is_truncated;             // bytes did not fit
  bool lost_descriptors;         // more were sent than were asked for
  bool is_end;                   // the other side has ended its stream; nothing came
};

enum class SocketHalf : std::uint8_t { read, write, both };

class Socket final : public Stream {
 public:
  Socket() = default;  // closed
  // A new one: AF_INET, AF_INET6 or AF_UNIX; SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. Throws IoError.
  Socket(int family, int type, int protocol = 0);
  static Socket tcp() { return {AF_INET, SOCK_STREAM}; }
  static Socket tcp_ipv6() { return {AF_INET6, SOCK_STREAM}; }
  static Socket udp() { return {AF_INET, SOCK_DGRAM}; }
  static Socket udp_ipv6() { return {AF_INET6, SOCK_DGRAM}; }
  static Socket unix_stream() { return {AF_UNIX, SOCK_STREAM}; }
  static Socket unix_datagram() { return {AF_UNIX, SOCK_DGRAM}; }
  // Two that are connected to each other.
  static std::pair<Socket, Socket> pair(int type = SOCK_STREAM);
  // Takes over one that somebody else made. Throws IoError when it is none.
  static Socket adopt(int descriptor);

  Socket(Socket&&) noexcept = default;
  Socket& operator=(Socket&&) noexcept = default;
  ~Socket() override = default;

  // --- connections --------------------------------------------------------------------------------------------------------

  // Throws IoError when it is refused, or another error comes; Timedout. After a limit the system may still be at it: then it can be connected
  // to the same address, and to another throws IoError with std::errc::connection_already_in_progress.
  void connect(const Address& address, const mothreads::Until& until = {});
  // A TCP socket may be bound to an address that was in use a moment ago: SO_REUSEADDR is set.
  void bind(const Address& address);
  void listen(int backlog = SOMAXCONN);

  // The next connection. Throws Timedout, and Closed when the socket is closed meanwhile. A connection that its client gave up before its turn
  // is passed over. When the process has no more descriptors throws IoError with std::errc::too_many_files_open.
  Socket accept(const mothreads::Until& until = {});
  // accept() for loops: the Result has no value when the limit came first, or the socket is closed.
  mothreads::Result<Socket> next_connection(const mothreads::Until& until = {});
  // Waits for one and takes all that are there, up to `max`.
  std::vector<Socket> accept_many(std::size_t max, const mothreads::Until& until = {});

  void shut_down(SocketHalf half);
  void close() override { descriptor_.close(); }
  void abort() override;
  bool is_open() const override { return descriptor_.is_open(); }
  [[nodiscard]] int release() { return descriptor_.release(); }
  // Another handle to the same socket.
  Socket duplicate() const;

  // --- bytes --------------------------------------------------------------------------------------------------------------

  // At least one byte, of a stream; `closed` at its end. The next datagram, of others; empty records with nothing but the end behind
  // them are that end. `flags` are the system's: MSG_PEEK, MSG_OOB and so on.
  Received recv(std::span<std::byte> into, const mothreads::Until& until = {}) { return recv(into, 0, until); }
  Received recv(std::span<std::byte> into, int flags, const mothreads::Until& until = {});
  // The same into several places, one after the other.
  Received recv_vector(std::span<const std::span<std::byte>> into, const mothreads::Until& until = {});
  // As much as goes at once.
  Sent send(std::string_view data, const mothreads::Until& until = {}) { return send(data, 0, until); }
  Sent send(std::string_view data, int flags, const mothreads::Until& until = {});
  // All; the same as write_all().
  void send_all(std::string_view data, const mothreads::Until& until = {}) { write_all(data, until); }
  // Without a copy, where the system can: sendfile(2).
  std::size_t send_file(int file, off_t offset, std::size_t size, const mothreads::Until& until = {}) override;

  // Datagrams. Throw Timedout, Closed.
  Datagram recv_from(std::span<std::byte> into, const mothreads::Until& until = {});
  void send_to(std::string_view data, const Address& to, const mothreads::Until& until = {});

  // A message, with up to so many descriptors: Unix sockets pass them from process to process. The sender's stay its own.
  SocketMessage recv_message(std::span<std::byte> into, std::size_t max_descriptors, const mothreads::Until& until = {});
  // All of it. Throws mothreads::Misuse for descriptors without a byte on a stream: nothing would be sent.
  void send_message(std::string_view data, std::span<const int> descriptors, const mothreads::Until& until = {});

  // --- what it is ---------------------------------------------------------------------------------------------------------

  Address local_address() const;
  Address peer_address() const;
  int family() const;
  int type() const;
  std::size_t readable_bytes() const;  // FIONREAD
  std::string name() const override;
  int native() const { return descriptor_.native(); }
  Descriptor& descriptor() { return descriptor_; }

  // --- options ------------------------------------------------------------------------------------------------------------

  void set_option(int level, int option, int value);
  int option(int level, int option) const;
  void set_option(int level, int option, std::string_view bytes);
  void set_no_delay(bool on);
  void set_keep_alive(bool on);
  void set_reuse_address(bool on);
  void set_reuse_port(bool on);
  void set_broadcast(bool on);
  void set_only_ipv6(bool on);
  void set_send_buffer(int bytes);
  void set_receive_buffer(int bytes);
  // close() then waits for what has not been sent (zero: throws it away, and resets the connection); nothing for the system's way.
  void set_linger(std::optional<absl::Duration> linger);

  // Multicast: on the interface of that name, or the one the system chooses.
  void join_group(const Address& group, const std::string& interface = {});
  void leave_group(const Address& group, const std::string& interface = {});
  void set_multicast_interface(const std::string& interface);
  void set_multicast_hops(int hops);
  void set_multicast_loop(bool on);

 protected:
  Received receive(std::span<std::byte> into, mothreads::Limit limit) override;
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) override;
  void end_writing(mothreads::Limit) override { shut_down(SocketHalf::write); }
  Descriptor* source() override { return is_open() ? &descriptor_ : nullptr; }
  Received receive_ahead(Ahead& ahead, mothreads::Limit limit) override;

 private:
  enum class Kind : std::uint8_t {
    tcp,       // a read that stops short has taken all there was
    stream,
    records,   // SOCK_SEQPACKET: an end, and boundaries
    datagram,  // no end: what is empty is a datagram
  };
  static Kind kind_of(int family, int type);

  // Whom accept() gave: the system forgets the address when the other side resets the connection, and the log wants it then.
  struct Peer {
    alignas(sockaddr_in6) char bytes[sizeof(sockaddr_in6)] = {};
    socklen_t size = 0;  // 0 for none, or a Unix socket's
  };
  int accept_one(Peer& peer) const;
  std::pair<ssize_t, mothreads::Why> take_connection(Peer& peer, mothreads::Limit limit);
  Socket connection_of(ssize_t descriptor, const Peer& peer) const;

  Socket(Descriptor&& descriptor, Kind kind) : descriptor_(std::move(descriptor)), kind_(kind) {}
  bool is_stream() const { return kind_ == Kind::tcp || kind_ == Kind::stream; }

  // Does `attempt`, a call of the system, until that does not say that it would block. Gives what it gave, or -1 with why it ended.
  template <typename Attempt>
  std::pair<ssize_t, mothreads::Why> until_done(Descriptor::Side side, const char* verb, mothreads::Limit limit, Attempt&& attempt);
  // The same, where this is the only step of a verb.
  template <typename Attempt>
  std::pair<ssize_t, mothreads::Why> until_done(Descriptor::Side side, const char* verb, const mothreads::Until& until, Attempt&& attempt);
  template <typename Limited>  // a Limit, or an Until where it is all of a verb
  Received recv_flagged(std::span<std::byte> into, const Limited& limit, int flags);
  Received recv_beside(std::span<std::byte> into, mothreads::Limit limit, int flags);
  template <typename Limited>
  Sent send_flagged(std::string_view data, const Limited& limit, int flags);
  bool is_end(std::size_t size) const;
  void begin(const char* verb) const;
  std::size_t recv_into(msghdr& message, const char* verb, const mothreads::Until& until, int flags);
  void finish_connect(const Address& address, const std::string& verb, mothreads::Limit limit);
  std::size_t send_file_parts(const Visit& visit, int file, off_t offset, std::size_t size, mothreads::Limit limit);
  void check_open(const char* verb) const;
  [[noreturn]] void fail(int error, const char* verb) const;
  [[noreturn]] void end_early(mothreads::Why why, const char* verb) const;
  void change_group(bool join, const Address& group, const std::string& interface);

  Descriptor descriptor_;
  Kind kind_ = Kind::datagram;
  Peer peer_ = {};
  std::unique_ptr<Address> connecting_;  // to whom, until the system has answered
};

}  // namespace cooperative
