// The floor of the rows io.*: the same work by a bare loop over epoll, level-triggered, a system call for each read and each write.
// Prints its port.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "io_floor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// So that what a slow peer does not take is sent later, its connection is written to when it can be, and not read before.
struct Connection {
  int fd;
  std::vector<char> left;
};

void watch(int epoll, int operation, Connection& connection, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.ptr = &connection}};
  if (epoll_ctl(epoll, operation, connection.fd, &event) != 0) fail("epoll_ctl");
}

void turn(int epoll, Connection& connection, std::vector<char>& buffer) {
  if (!connection.left.empty()) {
    const ssize_t sent = write(connection.fd, connection.left.data(), connection.left.size());
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) {
      close(connection.fd);
      delete &connection;
      return;
    }
    connection.left.erase(connection.left.begin(), connection.left.begin() + sent);
    if (connection.left.empty()) watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN);
    return;
  }
  const ssize_t size = read(connection.fd, buffer.data(), buffer.size());
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    close(connection.fd);
    delete &connection;
    return;
  }
  const ssize_t sent = std::max<ssize_t>(0, write(connection.fd, buffer.data(), static_cast<std::size_t>(size)));
  if (sent < size) {
    connection.left.assign(buffer.begin() + sent, buffer.begin() + size);
    watch(epoll, EPOLL_CTL_MOD, connection, EPOLLOUT);
  }
}

}  // namespace

int main() {
  std::vector<char> buffer(1024);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);  // as io_client.cc
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(listener, SOMAXCONN) != 0) fail("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  std::printf("%d\n", ntohs(at.sin_port));
  std::fflush(stdout);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  Connection listening{listener, {}};
  watch(epoll, EPOLL_CTL_ADD, listening, EPOLLIN);
  epoll_event events[256];
  while (true) {
    const int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(events[i].data.ptr);
      if (&connection != &listening) {
        turn(epoll, connection, buffer);
        continue;
      }
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) continue;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(epoll, EPOLL_CTL_ADD, *new Connection{fd, {}}, EPOLLIN);
    }
  }
}
