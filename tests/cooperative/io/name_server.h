#pragma once

// A server of names, for tests.

#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "tests/support/io.h"

namespace cooperative::inline v0::testing {

// A server of names on the loopback (RFC 1035): of each name its addresses, and that there is no such name for others.
class NameServer {
 public:
  NameServer() {
    socket_.bind(Address::loopback(0));
    serving_ = spawn("name server", [this] { serve(); });
  }
  void put(const std::string& name, const std::vector<std::string>& ips) { names_[name] = ips; }
  void be_silent() { is_silent_ = true; }
  void take_time(absl::Duration time) { time_ = time; }
  Address address() const { return socket_.local_address(); }
  int asked() const { return asked_; }

 private:
  static constexpr std::uint16_t kA = 1;  // the type of an IPv4 address

  void serve() {
    std::array<char, 512> place;
    while (true) {
      const Datagram query = socket_.recv_from(room_of(place));
      ++asked_;
      if (time_ > absl::ZeroDuration()) sleep(time_);
      if (!is_silent_) socket_.send_to(answer_to(std::string(place.data(), query.size)), query.from);
    }
  }

  static void put_number(std::string& text, std::uint32_t number, int bytes) {
    while (bytes-- > 0) text += static_cast<char>(number >> (8 * bytes));
  }

  std::string answer_to(const std::string& query) const {
    std::string name;
    std::size_t at = 12;
    while (query.at(at) != '\0') {
      const auto size = static_cast<std::size_t>(query.at(at));
      name += (name.empty() ? "" : ".") + query.substr(at + 1, size);
      at += size + 1;
    }
    const auto type = static_cast<std::uint16_t>(static_cast<unsigned char>(query.at(at + 1)) << 8 | static_cast<unsigned char>(query.at(at + 2)));
    const std::string question = query.substr(12, at + 5 - 12);
    const auto found = names_.find(name);
    std::uint16_t count = 0;
    std::string records;
    for (const std::string& ip : found == names_.end() ? std::vector<std::string>() : found->second) {
      const Address address(ip, 0);
      if ((address.family() == AF_INET) != (type == kA)) continue;
      std::array<char, 16> bytes;
      const std::size_t size = address.family() == AF_INET ? 4 : 16;
      EXPECT_EQ(inet_pton(address.family(), ip.c_str(), bytes.data()), 1);
      ++count;
      put_number(records, 0xc00c, 2);  // the name of the question
      put_number(records, type, 2);
      put_number(records, 1, 2);  // of the Internet
      put_number(records, 60, 4);
      put_number(records, static_cast<std::uint32_t>(size), 2);
      records.append(bytes.data(), size);
    }
    std::string answer = query.substr(0, 2);
    put_number(answer, found == names_.end() ? 0x8183 : 0x8180, 2);  // no such name; an answer
    put_number(answer, 1, 2);
    put_number(answer, count, 2);
    put_number(answer, 0, 4);
    return answer + question + records;
  }

  Socket socket_ = Socket::udp();
  std::map<std::string, std::vector<std::string>> names_;
  bool is_silent_ = false;
  absl::Duration time_;
  int asked_ = 0;
  Fiber<void> serving_;
};

}  // namespace cooperative::testing
