#include "cooperative/io/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "absl/container/inlined_vector.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/internal/socket_waits.h"
#include "cooperative/io/poll.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;
using internal::io::would_block;
using Side = Descriptor::Side;

namespace {

constexpr const char* kAccept = "accept a connection";

// The errors that a listening socket may report of a connection that has failed before its turn: accept(2).
bool is_of_one_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT: return true;
    default: return false;
  }
}

Descriptor made(int descriptor, const char* what) {
  if (descriptor < 0) throw IoError(errno, what, "make one");
  return {descriptor, Descriptor::NonBlocking{}};
}

}  // namespace

Socket::Socket(int family, int type, int protocol)
    : descriptor_(made(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), "a socket")), kind_(kind_of(family, type)) {}

Socket::Kind Socket::kind_of(int family, int type) {
  switch (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
    case SOCK_STREAM: return family == AF_UNIX ? Kind::stream : Kind::tcp;
    case SOCK_SEQPACKET: return Kind::records;
    default: return Kind::datagram;
  }
}

std::pair<Socket, Socket> Socket::pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) throw IoError(errno, "a pair of sockets", "make one");
  Descriptor a(ends[0], Descriptor::NonBlocking{});
  Descriptor b(ends[1], Descriptor::NonBlocking{});
  return {Socket(std::move(a), kind_of(AF_UNIX, type)), Socket(std::move(b), kind_of(AF_UNIX, type))};
}

Socket Socket::adopt(int descriptor) {
  int type = 0;
  socklen_t size = sizeof type;
  int family = 0;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
    throw IoError(errno, fmt::format("descriptor {}", descriptor), "use it as a socket");
  }
  return {Descriptor(descriptor), kind_of(family, type)};
}

Socket Socket::duplicate() const {
  check_open("duplicate it");
  const int copy = fcntl(native(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) fail(errno, "duplicate it");
  return {Descriptor(copy, Descriptor::NonBlocking{}), kind_};
}

// --- the way to wait ---------------------------------------------------------------------------------------------------------

void Socket::check_open(const char* verb) const {
  if (!descriptor_.is_open()) [[unlikely]] throw Closed("a socket", fmt::format("a socket is closed: cannot {}", verb));
}

void Socket::fail(int error, const char* verb) const { throw IoError(error, name(), verb); }

void Socket::end_early(Why why, const char* verb) const {
  throw_early(name(), why, verb);
}

std::string Socket::name() const {
  const std::string accepted = peer_.size > 0 ? Address(reinterpret_cast<const sockaddr*>(peer_.bytes), peer_.size).to_string() : std::string();
  if (!descriptor_.is_open()) return accepted.empty() ? "a closed socket" : "a closed socket to " + accepted;
  sockaddr_storage storage;
  const auto address_by = [&](auto get) -> std::string {
    socklen_t size = sizeof storage;
    if (get(native(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
    return Address(reinterpret_cast<const sockaddr*>(&storage), size).to_string();
  };
  const char* const kind = kind_ == Kind::tcp ? "tcp" : kind_ == Kind::stream ? "stream" : kind_ == Kind::records ? "record" : "datagram";
  const std::string here = address_by(getsockname);
  const std::string there = accepted.empty() ? address_by(getpeername) : accepted;
  return there.empty() ? fmt::format("{} socket {}", kind, here) : fmt::format("{} socket {} to {}", kind, here, there);
}

// --- connections -------------------------------------------------------------------------------------------------------------

void Socket::connect(const Address& address, const Until& until) {
  constexpr const char* kVerb = "connect";
  begin(kVerb);
  const std::string verb = "connect to " + address.to_string();
  // The system goes on with what a limit has ended here, or another fiber is at, and would take this call to be about that.
  if (connecting_ != nullptr && *connecting_ != address) fail(EALREADY, verb.c_str());
  const bool is_ours = connecting_ != nullptr;
  const Limit limit = start(until);
  internal::io::Retries retries(descriptor_);
  while (::connect(native(), address.native(), address.size()) != 0) {
    const int error = errno;
    if (error == EINPROGRESS || error == EALREADY || error == EINTR) {
      if (!is_ours) connecting_ = std::make_unique<Address>(address);
      finish_connect(address, verb, limit);
      // Begun by who had the descriptor before.
      if (error == EALREADY && !is_ours && peer_address() != address) fail(EALREADY, verb.c_str());
      return;
    }
    if (!address.is_unix() || !would_block(error)) {
      connecting_.reset();
      fail(error, verb.c_str());
    }
    // The server's backlog is full.
    const Why why = retries.wait("waits to connect", limit);
    if (why == Why::closed) throw Closed("a socket", "a socket was closed while a fiber waited to " + verb);
    if (why != Why::ready) end_early(why, verb.c_str());
  }
  connecting_.reset();
}

// Whatever ends the wait but the system's own answer leaves the attempt as it is; the socket may be closed then, and gone.
void Socket::finish_connect(const Address& address, const std::string& verb, Limit limit) {
  int error = EINPROGRESS;
  while (error == EINPROGRESS || error == EALREADY || error == EINTR) {
    descriptor_.readiness().clear(Side::write);
    const Why why = descriptor_.wait_for_edge(Side::write, "waits to connect", limit);
    if (why == Why::closed) throw Closed("a socket", "a socket was closed while a fiber waited to " + verb);
    if (why != Why::ready) end_early(why, verb.c_str());
    // Asked again it says how it went.
    error = ::connect(native(), address.native(), address.size()) == 0 ? 0 : errno;
  }
  descriptor_.readiness().pass_on(Side::write);
  connecting_.reset();
  if (error != 0 && error != EISCONN) fail(error, verb.c_str());
}

void Socket::bind(const Address& address) {
  check_open("bind it");
  if (kind_ == Kind::tcp) set_reuse_address(true);
  if (::bind(native(), address.native(), address.size()) != 0) fail(errno, ("bind it to " + address.to_string()).c_str());
}

void Socket::listen(int backlog) {
  check_open("listen");
  if (::listen(native(), backlog) != 0) fail(errno, "listen");
}

Socket Socket::accept(const Until& until) {
  Peer peer;
  const auto [descriptor, why] = take_connection(peer, start(until));
  if (descriptor < 0) end_early(why, kAccept);
  return connection_of(descriptor, peer);
}

mothreads::Result<Socket> Socket::next_connection(const Until& until) {
  try {
    Peer peer;
    const auto [descriptor, why] = take_connection(peer, start(until));
    if (descriptor < 0) return {why, name()};
    return connection_of(descriptor, peer);
  } catch (const Closed& closed) {
    return {Why::closed, closed.object()};
  }
}

int Socket::accept_one(Peer& peer) const {
  peer.size = sizeof peer.bytes;
  const int connection = accept4(native(), reinterpret_cast<sockaddr*>(peer.bytes), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (connection < 0 || kind_ != Kind::tcp || peer.size > sizeof peer.bytes) peer.size = 0;
  return connection;
}

std::pair<ssize_t, Why> Socket::take_connection(Peer& peer, Limit limit) {
  return until_done(Side::read, kAccept, limit, [&]() -> ssize_t {
    while (true) {
      const int connection = accept_one(peer);
      if (connection >= 0 || !is_of_one_connection(errno)) return connection;
    }
  });
}

Socket Socket::connection_of(ssize_t descriptor, const Peer& peer) const {
  Socket connection(Descriptor(static_cast<int>(descriptor), Descriptor::NonBlocking{}), kind_);
  connection.peer_ = peer;
  return connection;
}

std::vector<Socket> Socket::accept_many(std::size_t max, const Until& until) {
  std::vector<Socket> connections;
  if (max == 0) return connections;
  connections.push_back(accept(until));
  while (connections.size() < max) {
    Peer peer;
    const int connection = accept_one(peer);
    if (connection >= 0) {
      connections.push_back(connection_of(connection, peer));
    } else if (!is_of_one_connection(errno) && errno != EINTR) {
      // There are no more, or there is an error: the next call finds it, and the connections that were accepted are not lost.
      if (would_block(errno)) descriptor_.readiness().clear(Side::read);
      break;
    }
  }
  return connections;
}

void Socket::shut_down(SocketHalf half) {
  check_open("shut it down");
  const int how = half == SocketHalf::read ? SHUT_RD : half == SocketHalf::write ? SHUT_WR : SHUT_RDWR;
  // The other side may have gone already, as was wanted.
  if (::shutdown(native(), how) != 0 && errno != ENOTCONN) fail(errno, "shut it down");
}

// --- bytes -------------------------------------------------------------------------------------------------------------------

Received Socket::receive(std::span<std::byte> into, Limit limit) { return recv_flagged(into, limit, 0); }

// Into memory that all streams of the thread share, and from there to the stream's own, as much as it is: nothing else runs between the call
// that fills it and the copy, and a fiber that waits holds none. When much comes, into memory of its own, until the next wait.
Received Socket::receive_ahead(Ahead& ahead, Limit limit) {
  constexpr std::size_t kRoom = 64 * 1024;
  constexpr std::size_t kMuch = 8 * 1024;
  thread_local const internal::Memory<char> shared = internal::make_memory<char>(kRoom);
  char* const scratch = shared.get();
  std::span<char> room;
  const auto [size, why] = until_done(Side::read, "receive", limit, [&] {
    room = ahead.spare_room();
    if (room.size() < kMuch) room = {scratch, kRoom};
    const ssize_t got = ::recv(native(), room.data(), room.size(), MSG_DONTWAIT);
    if (got < 0) ahead.release();
    return got;
  });
  if (size < 0) return {0, why};
  if (size == 0) return {0, Why::closed};
  const auto got = static_cast<std::size_t>(size);
  if (kind_ == Kind::tcp && got < room.size()) descriptor_.readiness().clear_after_short_read();
  if (room.data() != scratch) {
    ahead.filled(got);
  } else if (got < kMuch) {
    ahead.append(scratch, got);
  } else {
    std::memcpy(ahead.room(kRoom).data(), scratch, got);
    ahead.filled(got);
  }
  return {got, Why::ready};
}

Received Socket::recv(std::span<std::byte> into, int flags, const Until& until) {
  if ((flags & (MSG_OOB | MSG_ERRQUEUE)) != 0) return recv_beside(into, start(until), flags);
  return recv_flagged(into, until, flags);
}

template <typename Limited>
Received Socket::recv_flagged(std::span<std::byte> into, const Limited& limit, int flags) {
  check_open("receive");
  if (into.empty() && is_stream()) return {0, Why::ready};
  const auto [size, why] =
      until_done(Side::read, "receive", limit, [&] { return ::recv(native(), into.data(), into.size(), flags | MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  const auto received = static_cast<std::size_t>(size);
  if (kind_ == Kind::tcp && flags == 0 && size > 0 && received < into.size()) descriptor_.readiness().clear_after_short_read();
  return {received, is_end(received) ? Why::closed : Why::ready};
}

// For data that is not read in the order of the rest: its absence says nothing about the rest, whose edges are not for this.
Received Socket::recv_beside(std::span<std::byte> into, Limit limit, int flags) {
  begin("receive");
  if (into.empty() && is_stream()) return {0, Why::ready};
  Ready found{};
  while (true) {
    const ssize_t size = ::recv(native(), into.data(), into.size(), flags | MSG_DONTWAIT);
    if (size > 0) return {static_cast<std::size_t>(size), Why::ready};
    if (size == 0) return {0, is_stream() ? Why::closed : Why::ready};
    if (!would_block(errno) && errno != EINTR) fail(errno, "receive");
    if (any(found & Ready::err)) {
      if (const int error = option(SOL_SOCKET, SO_ERROR); error != 0) fail(error, "receive");
    }
    if (any(found & Ready::hup)) return {0, Why::closed};
    const auto ready = poll_list({{native(), (flags & MSG_OOB) != 0 ? Ready::pri : Ready{}}}, limit);
    if (ready.empty()) return {0, limit.has_come().value_or(Why::timed_out)};
    found = ready.front().ready;
  }
}

// Nothing came: the end of a stream. Of records it may be an empty one, unless nothing is there and nothing more can come.
bool Socket::is_end(std::size_t size) const {
  if (size > 0 || kind_ == Kind::datagram) return false;
  if (kind_ != Kind::records) return true;
  pollfd asked{native(), POLLRDHUP, 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & (POLLRDHUP | POLLHUP)) != 0 && readable_bytes() == 0;
}

Received Socket::recv_vector(std::span<const std::span<std::byte>> into, const Until& until) {
  absl::InlinedVector<iovec, 8> places;
  std::size_t room = 0;
  for (const std::span<std::byte> place : into) {
    if (place.empty()) continue;
    if (places.size() == IOV_MAX) break;
    places.push_back({place.data(), place.size()});
    room += place.size();
  }
  check_open("receive");
  if (room == 0 && is_stream()) return {0, Why::ready};
  msghdr message{};
  message.msg_iov = places.data();
  message.msg_iovlen = places.size();
  const auto [size, why] = until_done(Side::read, "receive", until, [&] { return ::recvmsg(native(), &message, MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  const auto received = static_cast<std::size_t>(size);
  if (kind_ == Kind::tcp && size > 0 && received < room) descriptor_.readiness().clear_after_short_read();
  return {received, is_end(received) ? Why::closed : Why::ready};
}

Sent Socket::send(std::string_view data, int flags, const Until& until) { return send_flagged(data, until, flags); }

template <typename Limited>
Sent Socket::send_flagged(std::string_view data, const Limited& limit, int flags) {
  const auto [size, why] =
      until_done(Side::write, "send", limit, [&] { return ::send(native(), data.data(), data.size(), flags | MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  return {static_cast<std::size_t>(size), Why::ready};
}

Sent Socket::send_pieces(std::span<const std::string_view> pieces, Limit limit) {
  if (pieces.size() == 1) return send_flagged(pieces.front(), limit, 0);
  absl::InlinedVector<iovec, 8> places;
  for (const std::string_view piece : pieces.first(std::min<std::size_t>(pieces.size(), IOV_MAX))) {
    places.push_back({const_cast<char*>(piece.data()), piece.size()});
  }
  msghdr message{};
  message.msg_iov = places.data();
  message.msg_iovlen = places.size();
  const auto [size, why] = until_done(Side::write, "send", limit, [&] { return ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  return {static_cast<std::size_t>(size), Why::ready};
}

}  // namespace cooperative
