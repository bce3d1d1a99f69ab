#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "absl/container/inlined_vector.h"
#include "cooperative/errors.h"
#include "cooperative/io/internal/socket_waits.h"
#include "cooperative/io/socket.h"
#include "mothreads/misuse.h"

// Messages: datagrams, and what Unix sockets send beside bytes.

namespace cooperative::inline v0 {

using internal::io::would_block;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;
using Side = Descriptor::Side;

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
  const auto [size, why] = until_done(Side::read, verb, until, [&] {
    message.msg_namelen = sizeof(sockaddr_storage);
    message.msg_controllen = control_room;
    return ::recvmsg(native(), &message, flags | MSG_DONTWAIT);
  });
  if (size < 0) end_early(why, verb);
  return static_cast<std::size_t>(size);
}

void Socket::send_to(std::string_view data, const Address& to, const Until& until) {
  constexpr const char* kVerb = "send a datagram";
  const auto send = [&] { return ::sendto(native(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT, to.native(), to.size()); };
  const Limit limit = start(until);
  if (!to.is_unix()) {
    const auto [size, why] = until_done(Side::write, kVerb, limit, send);
    if (size < 0) end_early(why, kVerb);
    return;
  }
  // The receiver may be full, of which the kernel tells nobody who is not connected to it.
  begin(kVerb);
  internal::io::Retries retries(descriptor_);
  while (send() < 0) {
    if (errno == EINTR) continue;
    if (!would_block(errno)) fail(errno, kVerb);
    const Why why = retries.wait("waits to send a datagram", limit);
    if (why == Why::closed) throw Closed("a socket", fmt::format("a socket was closed while a fiber waited to {}", kVerb));
    if (why != Why::ready) end_early(why, kVerb);
  }
}

SocketMessage Socket::recv_message(std::span<std::byte> into, std::size_t max_descriptors, const Until& until) {
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
  SocketMessage got{.size = size,
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
    const Limit limit = start(until);
  const auto [size, why] = until_done(Side::write, kVerb, limit, [&] { return ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  if (size < 0) end_early(why, kVerb);
  // The descriptors have gone with the first byte.
  if (is_stream() && static_cast<std::size_t>(size) < data.size()) write_all(data.substr(static_cast<std::size_t>(size)), limit);
}

}  // namespace cooperative
