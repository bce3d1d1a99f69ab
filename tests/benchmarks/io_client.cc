// The load for the rows io.*: one thread, one epoll, nothing of the library. PID is the server's. It prints one figure.
//
//     io_client echo PORT CONNECTIONS PID       64 bytes to and fro on each connection: ns per request
//     io_client count PORT CONNECTIONS REQUESTS the same until so many have been answered
//     io_client stream PORT CONNECTIONS PID     64 bytes after 64 bytes, as fast as they go: ns per 64 bytes
//     io_client accept PORT CONNECTIONS PID     connect, one request, close, so many at a time: ns per connection
//     io_client idle PORT CONNECTIONS PID       connections that do nothing: bytes of the server's memory for each
//     io_client http_idle PORT CONNECTIONS PID  the same of HTTP, kept alive after a response
//     io_client ws_idle PORT CONNECTIONS PID    the same of WebSockets that functions serve, after a message
//     io_client websocket PORT CONNECTIONS PID  64 bytes in a frame to and fro on each connection: ns per message
//
// The ns are those of a processor that the server had: this client costs about as much as the server does, so in the time that passes
// both would be measured.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMessage = 64;
constexpr auto kWarmUp = std::chrono::milliseconds(300);
constexpr auto kDuration = std::chrono::seconds(1);

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "io_client: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// Without the pacing that BBR does where that is the system's default: its timers would be most of what io.echo_pipelined measures.
void do_not_pace(int fd) {
  constexpr std::string_view kControl = "reno";
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kControl.data(), kControl.size()) != 0) fail("TCP_CONGESTION");
}

// From an address of its own for each 20 000 connections: the port of one that was closed is not free for a minute.
int connected(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  do_not_pace(fd);
  static std::uint32_t made = 0;
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + made++ / 20'000);
  const int later = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &later, sizeof later);
  if (bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) fail("bind");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int watched(const std::vector<int>& connections, std::uint32_t events) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : connections) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
  return epoll;
}

std::chrono::nanoseconds processor_time(int pid) {
  clockid_t clock{};
  timespec time{};
  errno = clock_getcpuclockid(pid, &clock);
  if (errno != 0 || clock_gettime(clock, &time) != 0) fail("the server's clock");
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Calls `turn` with what is ready until the time has passed; gives the server's ns per unit of what `turn` counted after the warm-up.
template <typename Turn>
double measure(int epoll, int server, Turn turn) {
  std::vector<epoll_event> events(256);
  double counted = 0;
  std::chrono::nanoseconds used_before{};
  bool is_warm = false;
  const auto begin = Clock::now() + kWarmUp;
  while (true) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 1000);
    if (count <= 0) fail("epoll_wait: nothing comes any more");
    const auto now = Clock::now();
    if (now >= begin + kDuration) return static_cast<double>((processor_time(server) - used_before).count()) / counted;
    if (!is_warm && now >= begin) {
      is_warm = true;
      used_before = processor_time(server);
    }
    double done = 0;
    for (int i = 0; i < count; ++i) done += turn(events[static_cast<std::size_t>(i)]);
    if (is_warm) counted += done;
  }
}

double echo(int port, int connections, int server) {
  std::vector<int> fds;
  for (int i = 0; i < connections; ++i) fds.push_back(connected(port));
  const int epoll = watched(fds, EPOLLIN);
  char message[kMessage] = {};
  for (const int fd : fds) {
    if (write(fd, message, kMessage) != kMessage) fail("write");
  }
  return measure(epoll, server, [&](const epoll_event& event) {
    if (read(event.data.fd, message, kMessage) != kMessage) fail("read");
    if (write(event.data.fd, message, kMessage) != kMessage) fail("write");
    return 1.0;
  });
}

// Asks, and reads the answer to the end of its head, or to `last`.
void ask(int fd, std::string_view request, std::string_view last) {
  fcntl(fd, F_SETFL, 0);
  if (write(fd, request.data(), request.size()) != static_cast<ssize_t>(request.size())) fail("write");
  std::string answer;
  while (!answer.ends_with(last)) {
    char room[1024];
    const ssize_t got = read(fd, room, sizeof room);
    if (got <= 0) fail("an answer");
    answer.append(room, static_cast<std::size_t>(got));
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
}

void ask_websocket(int fd, std::string_view path) {
  ask(fd, "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "\r\n\r\n");
}

constexpr char kFrame[2 + 4 + kMessage] = {static_cast<char>(0x82), static_cast<char>(0x80 | kMessage), 1, 2, 3, 4};  // binary, last, masked

double websocket(int port, int connections, int server) {
  std::vector<int> fds;
  for (int i = 0; i < connections; ++i) ask_websocket(fds.emplace_back(connected(port)), "/");
  const int epoll = watched(fds, EPOLLIN);
  const auto& frame = kFrame;
  char answer[2 + kMessage] = {};
  for (const int fd : fds) {
    if (write(fd, frame, sizeof frame) != sizeof frame) fail("write");
  }
  return measure(epoll, server, [&](const epoll_event& event) {
    if (read(event.data.fd, answer, sizeof answer) != sizeof answer || answer[0] != frame[0] || answer[1] != kMessage) fail("a message");
    if (write(event.data.fd, frame, sizeof frame) != sizeof frame) fail("write");
    return 1.0;
  });
}

double count(int port, int connections, double requests) {
  std::vector<int> fds;
  for (int i = 0; i < connections; ++i) fds.push_back(connected(port));
  const int epoll = watched(fds, EPOLLIN);
  char message[kMessage] = {};
  double sent = 0;
  double answered = 0;
  const auto send = [&](int fd) {
    if (sent++ < requests && write(fd, message, kMessage) != kMessage) fail("write");
  };
  for (const int fd : fds) send(fd);
  epoll_event events[256];
  while (answered < requests) {
    const int ready = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < ready; ++i) {
      if (read(events[i].data.fd, message, kMessage) != kMessage) fail("read");
      ++answered;
      send(events[i].data.fd);
    }
  }
  return answered;
}

// Nothing is copied here, in neither direction, so that it is the server that has to work.
double stream(int port, int connections, int server) {
  constexpr std::size_t kPiece = 256 * 1024;
  const int data = memfd_create("messages", MFD_CLOEXEC);
  if (data < 0 || ftruncate(data, kPiece) != 0) fail("memfd_create");
  std::vector<int> fds;
  for (int i = 0; i < connections; ++i) fds.push_back(connected(port));
  const int epoll = watched(fds, EPOLLIN | EPOLLOUT);
  return measure(epoll, server, [&](const epoll_event& event) {
    double got = 0;
    if ((event.events & EPOLLIN) != 0) {
      const ssize_t size = recv(event.data.fd, nullptr, 4 * kPiece, MSG_TRUNC);
      if (size <= 0) fail("recv");
      got = static_cast<double>(size) / kMessage;
    }
    if ((event.events & EPOLLOUT) != 0) {
      off_t from = 0;
      if (sendfile(event.data.fd, data, &from, kPiece) < 0 && errno != EAGAIN) fail("sendfile");
    }
    return got;
  });
}

double accept_rate(int port, int connections, int server) {
  char message[kMessage] = {};
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto start = [&] {
    const int fd = connected(port);
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    if (write(fd, message, kMessage) != kMessage) fail("write");
  };
  for (int i = 0; i < connections; ++i) start();
  return measure(epoll, server, [&](const epoll_event& event) {
    if (read(event.data.fd, message, kMessage) != kMessage) fail("read");
    close(event.data.fd);
    start();
    return 1.0;
  });
}

double resident(int server) {
  std::ifstream status("/proc/" + std::to_string(server) + "/statm");
  double total = 0;
  double pages = 0;
  if (!(status >> total >> pages)) fail("no such process");
  return pages * 4096;
}

template <typename Say>
double idle(int port, int connections, int server, Say say) {
  std::vector<int> fds;
  for (int i = 0; i < 100; ++i) say(fds.emplace_back(connected(port)));  // what the first ones need is no connection's
  const double before = resident(server);
  for (int i = 0; i < connections; ++i) say(fds.emplace_back(connected(port)));
  return (resident(server) - before) / connections;
}

double idle(int port, int connections, int server) {
  return idle(port, connections, server, [](int fd) {
    char message[kMessage] = {};
    fcntl(fd, F_SETFL, 0);
    if (write(fd, message, kMessage) != kMessage || read(fd, message, kMessage) != kMessage) fail("a request");
  });
}

double http_idle(int port, int connections, int server) {
  return idle(port, connections, server, [](int fd) { ask(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nhello"); });
}

double ws_idle(int port, int connections, int server) {
  return idle(port, connections, server, [](int fd) {
    ask_websocket(fd, "/functions");
    ask(fd, {kFrame, sizeof kFrame}, "\1\2\3\4");
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "io_client: see its source\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const std::string_view work = argv[1];
  const int port = std::atoi(argv[2]);
  const int connections = std::atoi(argv[3]);
  const int last = std::atoi(argv[4]);
  double figure = 0;
  if (work == "echo") figure = echo(port, connections, last);
  if (work == "count") figure = count(port, connections, last);
  if (work == "stream") figure = stream(port, connections, last);
  if (work == "accept") figure = accept_rate(port, connections, last);
  if (work == "idle") figure = idle(port, connections, last);
  if (work == "http_idle") figure = http_idle(port, connections, last);
  if (work == "ws_idle") figure = ws_idle(port, connections, last);
  if (work == "websocket") figure = websocket(port, connections, last);
  std::printf("%.9g\n", figure);
}
