#include "cooperative/io/socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/inlined_vector.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/internal/page_memory.h"
#include "cooperative/io/internal/quiet_write.h"
#include "cooperative/io/poll.h"
#include "mothreads/misuse.h"

namespace cooperative {

using mothreads::Until;
using mothreads::Why;
using Side = Descriptor::Side;

namespace {

constexpr const char* kAccept = "accept a connection";
// From so much of a file on, full segments are worth two more calls of the system.
constexpr std::size_t kManySegments = 64 * 1024;
// Of a file, at a time: some 50 µs.
constexpr std::size_t kFilePart = 256 * 1024;

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

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// Where the kernel does not say when another try is worth it: when another's Unix socket has room again.
class Retries {
 public:
  explicit Retries(Descriptor& descriptor) : descriptor_(descriptor) {}

  // Until the next; `closed`, or why the limit has come.
  Why wait(const char* verb, const Until& limit) {
    if (const std::optional<Why> come = limit.has_come()) return *come;
    const Why why = descriptor_.wait_for_close(verb, limit | pause_);
    pause_ = std::min(pause_ * 2, kLongest);
    return why == Why::closed ? why : Why::ready;
  }

 private:
  static constexpr absl::Duration kLongest = absl::Milliseconds(50);

  Descriptor& descriptor_;
  absl::Duration pause_ = absl::Milliseconds(1);
};

// sendfile() has no MSG_NOSIGNAL.
ssize_t send_file_quietly(int to, int file, off_t* offset, std::size_t size) {
  const internal::WithoutSignal quiet(SIGPIPE, EPIPE);
  return ::sendfile(to, file, offset, size);
}

// While it lives, TCP sends full segments only. Without it each call of the system ends with one that is not, which costs a fifth
// of a large file's time where the system paces what it sends, as BBR does. Nothing where the user has said so already.
class FullSegments {
 public:
  FullSegments(Socket& socket, bool is_wanted) {
    if (!is_wanted || !socket.is_open()) return;
    int is_on = 0;
    socklen_t size = sizeof is_on;
    if (::getsockopt(socket.native(), IPPROTO_TCP, TCP_CORK, &is_on, &size) != 0 || is_on != 0) return;
    socket_ = &socket;
    set(1);
  }
  FullSegments(const FullSegments&) = delete;
  FullSegments& operator=(const FullSegments&) = delete;
  ~FullSegments() { set(0); }
  void forget() { socket_ = nullptr; }

 private:
  void set(int on) const {
    // A failure is no error: all is sent as well.
    if (socket_ != nullptr && socket_->is_open()) ::setsockopt(socket_->native(), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
  }
  Socket* socket_ = nullptr;
};

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

// Every operation begins with it.
inline void Socket::begin(const char* verb) const {
  const auto its_name = [this] { return name(); };
  descriptor_.begin({"a socket", its_name, verb});
}

template <typename Attempt>
std::pair<ssize_t, Why> Socket::until_done(Side side, const char* verb, const Until& until, Attempt&& attempt) {
  const auto its_name = [this] { return name(); };
  return descriptor_.until_done(side, {"a socket", its_name, verb}, until, attempt);
}

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
  with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    Retries retries(descriptor_);
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
      // Its backlog is full.
      const Why why = retries.wait("waits to connect", limit);
      if (why == Why::closed) throw Closed("a socket", "a socket was closed while a fiber waited to " + verb);
      if (why != Why::ready) end_early(why, verb.c_str());
    }
    connecting_.reset();
  });
}

// Whatever ends the wait but the system's own answer leaves the attempt as it is; the socket may be closed then, and gone.
void Socket::finish_connect(const Address& address, const std::string& verb, const Until& limit) {
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
  const auto [descriptor, why] = take_connection(peer, until);
  if (descriptor < 0) end_early(why, kAccept);
  return connection_of(descriptor, peer);
}

mothreads::Result<Socket> Socket::next_connection(const Until& until) {
  try {
    Peer peer;
    const auto [descriptor, why] = take_connection(peer, until);
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

std::pair<ssize_t, Why> Socket::take_connection(Peer& peer, const Until& until) {
  return with_limit(until, [&](const Until& limit) {
    return until_done(Side::read, kAccept, limit, [&]() -> ssize_t {
      while (true) {
        const int connection = accept_one(peer);
        if (connection >= 0 || !is_of_one_connection(errno)) return connection;
      }
    });
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

void Socket::shut_down(Half half) {
  check_open("shut it down");
  const int how = half == Half::read ? SHUT_RD : half == Half::write ? SHUT_WR : SHUT_RDWR;
  // The other side may have gone already, as was wanted.
  if (::shutdown(native(), how) != 0 && errno != ENOTCONN) fail(errno, "shut it down");
}

// --- bytes -------------------------------------------------------------------------------------------------------------------

Received Socket::receive(std::span<std::byte> into, const Until& until) { return recv_flagged(into, until, 0); }

// Into memory that all streams of the thread share, and from there to the stream's own, as much as it is: nothing else runs between the call
// that fills it and the copy, and a fiber that waits holds none. When much comes, into memory of its own, until the next wait.
Received Socket::receive_ahead(Ahead& ahead, const Until& until) {
  constexpr std::size_t kRoom = 64 * 1024;
  constexpr std::size_t kMuch = 8 * 1024;
  thread_local const internal::Memory<char> shared = internal::make_memory<char>(kRoom);
  char* const scratch = shared.get();
  std::span<char> room;
  const auto [size, why] = until_done(Side::read, "receive", until, [&] {
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

Received Socket::recv(std::span<std::byte> into, const Until& until, int flags) {
  return with_limit(until, [&](const Until& limit) { return recv_flagged(into, limit, flags); });
}

Received Socket::recv_flagged(std::span<std::byte> into, const Until& until, int flags) {
  check_open("receive");
  if (into.empty() && is_stream()) return {0, Why::ready};
  if ((flags & (MSG_OOB | MSG_ERRQUEUE)) != 0) return recv_beside(into, until, flags);
  const auto [size, why] =
      until_done(Side::read, "receive", until, [&] { return ::recv(native(), into.data(), into.size(), flags | MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  const auto received = static_cast<std::size_t>(size);
  if (kind_ == Kind::tcp && flags == 0 && size > 0 && received < into.size()) descriptor_.readiness().clear_after_short_read();
  return {received, is_end(received) ? Why::closed : Why::ready};
}

// For data that is not read in the order of the rest: its absence says nothing about the rest, whose edges are not for this.
Received Socket::recv_beside(std::span<std::byte> into, const Until& until, int flags) {
  begin("receive");
  const Until limit = until.from_now();
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
  return with_limit(until, [&](const Until& limit) -> Received {
    const auto [size, why] = until_done(Side::read, "receive", limit, [&] { return ::recvmsg(native(), &message, MSG_DONTWAIT); });
    if (size < 0) return {0, why};
    const auto received = static_cast<std::size_t>(size);
    if (kind_ == Kind::tcp && size > 0 && received < room) descriptor_.readiness().clear_after_short_read();
    return {received, is_end(received) ? Why::closed : Why::ready};
  });
}

Sent Socket::send(std::string_view data, const Until& until, int flags) {
  return with_limit(until, [&](const Until& limit) -> Sent {
    const auto [size, why] =
        until_done(Side::write, "send", limit, [&] { return ::send(native(), data.data(), data.size(), flags | MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (size < 0) return {0, why};
    return {static_cast<std::size_t>(size), Why::ready};
  });
}

Sent Socket::send_pieces(std::span<const std::string_view> pieces, const Until& until) {
  if (pieces.size() == 1) return send(pieces.front(), until);
  absl::InlinedVector<iovec, 8> places;
  for (const std::string_view piece : pieces.first(std::min<std::size_t>(pieces.size(), IOV_MAX))) {
    places.push_back({const_cast<char*>(piece.data()), piece.size()});
  }
  msghdr message{};
  message.msg_iov = places.data();
  message.msg_iovlen = places.size();
  const auto [size, why] = until_done(Side::write, "send", until, [&] { return ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (size < 0) return {0, why};
  return {static_cast<std::size_t>(size), Why::ready};
}

std::size_t Socket::send_file(int file, off_t offset, std::size_t size, const Until& until) {
  return with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    flush(limit);
    const Visit visit(*this);
    FullSegments full(*this, kind_ == Kind::tcp && size >= kManySegments);
    const absl::Cleanup forget = [&] {
      if (visit.is_stream_gone()) full.forget();
    };
    return send_file_parts(visit, file, offset, size, limit);
  });
}

std::size_t Socket::send_file_parts(const Visit& visit, int file, off_t offset, std::size_t size, const Until& limit) {
  std::size_t sent = 0;
  std::size_t fetched = 0;
  int failure = 0;
  while (sent < size) {
    if (sent >= fetched) {
      fetched = sent + std::min(size - sent, kFilePart);
      const Why why = bring_into_memory(file, static_cast<std::uint64_t>(offset), fetched - sent, limit);
      visit.check();
      if (why != Why::ready) {
        throw WriteTimedout(name(), why, sent, size, "bytes of a file were written");
      }
      check_open("send a file");
    }
    const auto [done, why] = until_done(Side::write, "send a file", limit, [&]() -> ssize_t {
      const ssize_t result = send_file_quietly(native(), file, &offset, fetched - sent);
      // These may be about the file.
      if (result < 0 && !would_block(errno) && errno != EINTR && errno != EPIPE && errno != ECONNRESET) {
        failure = errno;
        return 0;
      }
      return result;
    });
    if (failure == EINVAL || failure == ENOSYS) return sent + Stream::send_file(file, offset, size - sent, limit);
    if (failure != 0) fail(failure, "send a file");
    if (done < 0) throw WriteTimedout(name(), why, sent, size, "bytes of a file were written");
    if (done == 0) break;
    sent += static_cast<std::size_t>(done);
  }
  return sent;
}

Datagram Socket::recv_from(std::span<std::byte> into, const Until& until) {
  sockaddr_storage from;
  iovec place{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  const std::size_t size = recv_into(message, "receive a datagram", until, 0);
  return {size, Address(reinterpret_cast<const sockaddr*>(&from), message.msg_namelen), (message.msg_flags & MSG_TRUNC) != 0};
}

// Or throws when the limit comes first.
std::size_t Socket::recv_into(msghdr& message, const char* verb, const Until& until, int flags) {
  const std::size_t control_room = message.msg_controllen;
  const auto [size, why] = with_limit(until, [&](const Until& limit) {
    return until_done(Side::read, verb, limit, [&] {
      message.msg_namelen = sizeof(sockaddr_storage);
      message.msg_controllen = control_room;
      return ::recvmsg(native(), &message, flags | MSG_DONTWAIT);
    });
  });
  if (size < 0) end_early(why, verb);
  return static_cast<std::size_t>(size);
}

void Socket::send_to(std::string_view data, const Address& to, const Until& until) {
  constexpr const char* kVerb = "send a datagram";
  const auto send = [&] { return ::sendto(native(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT, to.native(), to.size()); };
  with_limit(until, [&](const Until& given) {
    if (!to.is_unix()) {
      const auto [size, why] = until_done(Side::write, kVerb, given, send);
      if (size < 0) end_early(why, kVerb);
      return;
    }
    // The receiver may be full, of which the kernel tells nobody who is not connected to it.
    begin(kVerb);
    const Until limit = given.from_now();
    Retries retries(descriptor_);
    while (send() < 0) {
      if (errno == EINTR) continue;
      if (!would_block(errno)) fail(errno, kVerb);
      const Why why = retries.wait("waits to send a datagram", limit);
      if (why == Why::closed) throw Closed("a socket", fmt::format("a socket was closed while a fiber waited to {}", kVerb));
      if (why != Why::ready) end_early(why, kVerb);
    }
  });
}

Message Socket::recv_message(std::span<std::byte> into, std::size_t max_descriptors, const Until& until) {
  sockaddr_storage from;
  iovec place{into.data(), into.size()};
  absl::InlinedVector<std::max_align_t, 8> control(CMSG_SPACE(max_descriptors * sizeof(int)) / sizeof(std::max_align_t) + 1);
  msghdr message{};
  message.msg_name = &from;
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_LEN(max_descriptors * sizeof(int));  // not a descriptor more, as its space might have room for
  const std::size_t size = recv_into(message, "receive a message", until, MSG_CMSG_CLOEXEC);
  Message got{.size = size,
              .from = Address(reinterpret_cast<const sockaddr*>(&from), message.msg_namelen),
              .descriptors = {},
              .is_truncated = (message.msg_flags & MSG_TRUNC) != 0,
              .lost_descriptors = (message.msg_flags & MSG_CTRUNC) != 0,
              .is_end = !into.empty() && is_end(size)};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const std::size_t before = got.descriptors.size();
    got.descriptors.resize(before + count);
    std::memcpy(got.descriptors.data() + before, CMSG_DATA(header), count * sizeof(int));
  }
  return got;
}

void Socket::send_message(std::string_view data, std::span<const int> descriptors, const Until& until) {
  constexpr const char* kVerb = "send a message";
  if (data.empty() && !descriptors.empty() && is_stream()) {
    throw mothreads::Misuse(name() + " was to send descriptors without a byte, which would send nothing: send one with them");
  }
  iovec place{const_cast<char*>(data.data()), data.size()};
  absl::InlinedVector<std::max_align_t, 8> control(CMSG_SPACE(descriptors.size_bytes()) / sizeof(std::max_align_t) + 1);
  msghdr message{};
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    const auto [size, why] = until_done(Side::write, kVerb, limit, [&] { return ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (size < 0) end_early(why, kVerb);
    // The descriptors have gone with the first byte.
    if (is_stream() && static_cast<std::size_t>(size) < data.size()) write_all(data.substr(static_cast<std::size_t>(size)), limit);
  });
}

}  // namespace cooperative
