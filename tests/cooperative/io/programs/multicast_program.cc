// IPv6 multicast over a loopback interface of its own, in a network namespace: the one of the machine has no route for it. Says what came, or that
// the machine refuses the namespace.

#include <net/if.h>
#include <netinet/in.h>
#include <linux/ipv6_route.h>
#include <linux/route.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <system_error>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"

namespace {

using cooperative::Address;
using cooperative::Datagram;
using cooperative::Socket;

void must(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
}

// Before there is any thread: the others of a process stay where they are.
bool enter_own_network() { return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0; }

void make_loopback() {
  const int any = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  must(any, "a socket");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK | IFF_MULTICAST;
  must(ioctl(any, SIOCSIFFLAGS, &request), "bring up lo");
  in6_rtmsg route{};
  route.rtmsg_dst.s6_addr[0] = 0xff;
  route.rtmsg_dst_len = 8;
  route.rtmsg_metric = 1;
  route.rtmsg_flags = static_cast<std::uint32_t>(RTF_UP) | RTF_LOCAL;  // else the kernel makes it one that refuses
  route.rtmsg_ifindex = static_cast<int>(if_nametoindex("lo"));
  must(ioctl(any, SIOCADDRT, &route), "add a route for groups");
  ::close(any);
}

int talk() {
  const Address group("ff01::7777%lo", 0);
  Socket member = Socket::udp_ipv6();
  member.bind(Address::any_ipv6(0));
  const std::uint16_t port = member.local_address().port();
  const Address to("ff01::7777%lo", port);
  member.join_group(group, "lo");
  Socket sender = Socket::udp_ipv6();
  sender.set_multicast_interface("lo");
  sender.set_multicast_hops(0);
  const auto take = [&] {
    std::array<char, 100> place{};
    const Datagram got = member.recv_from(std::as_writable_bytes(std::span(place)), absl::ZeroDuration());
    return std::string(place.data(), got.size);
  };
  const auto nothing_comes = [&] {
    try {
      return "came after all: " + take();
    } catch (const cooperative::Timedout&) {
      return std::string("nothing came");
    }
  };
  sender.send_to("to all", to);
  std::printf("member: %s\n", take().c_str());
  member.leave_group(group, "lo");
  sender.send_to("to nobody", to);
  std::printf("after it has left: %s\n", nothing_comes().c_str());
  return 0;
}

}  // namespace

int main() {
  if (!enter_own_network()) {
    std::printf("refused: %s\n", std::strerror(errno));
    return 0;
  }
  try {
    make_loopback();
  } catch (const std::system_error& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  return mothreads::MainThread::run([](const mothreads::Signal&) { return talk(); });
}
