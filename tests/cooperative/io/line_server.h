#pragma once

#include <string>

#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

// A server of lines, its clients, and the fixture of all tests of servers.
namespace cooperative::inline v0::testing {

inline const Address kAnywhere = Address::loopback(0);

inline void echo_lines(Socket& client) {
  while (auto line = client.read_line()) client.write_all(*line + "\n");
}

inline std::string ask(Socket& client, const std::string& line) {
  client.write_all(line + "\n");
  return *client.read_line();
}

// The bodies run on a thread of their own, whose scheduler ends with them, on a clock that stands still.
class ServerTest : public mothreads::testing::NothingLeft {
 protected:
  template <typename F>
  void on_thread(F&& body) {
    mothreads::testing::on_clock(clock, body);
  }

  mothreads::testing::VirtualClock clock;
  mothreads::testing::LogLines log;
};

}  // namespace cooperative::testing
