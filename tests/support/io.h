#pragma once

// What the tests of sockets and streams use.

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/io/address.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/received.h"
#include "cooperative/io/socket.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::testing {

// Bodies run on a thread of their own: its scheduler, with its descriptors, ends with it, and nothing may be left.
class IoTest : public mothreads::testing::NothingLeft {
 protected:
  template <typename F>
  void on_thread(F&& body) {
    mothreads::Thread::run("host", [&](mothreads::Signal) { body(); }).join();
  }

  // The same on a clock that the body moves. The kernel's part of it takes the time that it takes.
  template <typename F>
  void on_virtual_time(F&& body) {
    mothreads::testing::VirtualClock clock;
    mothreads::testing::on_clock(clock, [&] { body(clock); });
  }
};

// Two ends of a TCP connection on this machine.
inline std::pair<Socket, Socket> tcp_pair() {
  Socket listener = listen(Address::loopback(0));
  Socket client = connect(listener.local_address());
  return {std::move(client), listener.accept()};
}

template <typename T>
std::span<std::byte> room_of(T& memory) {
  return std::as_writable_bytes(std::span(memory));
}

// What one receive gives, of so many bytes at most.
inline std::string take(Socket& socket, std::size_t most, const mothreads::Until& until = {}, int flags = 0) {
  std::string text(most, '\0');
  text.resize(socket.recv(room_of(text), flags, until).size());
  return text;
}

// The code of the IoError that it throws, if any.
std::error_code error_of(auto&& action) {
  try {
    action();
  } catch (const IoError& error) {
    return error.code();
  }
  return {};
}

}  // namespace cooperative::testing
