#pragma once

// A Channel Access client for tests, on a socket: it sends messages, and reads the answers one by one.

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "catools/server/internal/wire.h"
#include "cooperative/fiber.h"
#include "cooperative/io/address.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/socket.h"
#include "tests/catools/server/ca_messages.h"
#include "tests/support/nothing_left.h"

namespace catools::inline v0::testing {

// Clients are fibers of the test's thread, whose scheduler stays for the life of the program: it is made before the first count.
class ServingTest : public mothreads::testing::NothingLeft {
 protected:
  void SetUp() override {
    static const bool is_ready = [] {
      auto [one, other] = cooperative::Socket::pair();
      auto writer = cooperative::spawn("writer", [&socket = other] { socket.write_all("x"); });
      char byte[1];
      const bool read = static_cast<bool>(one.read_exact(byte));
      writer.join();
      return read;
    }();
    ASSERT_TRUE(is_ready);
    NothingLeft::SetUp();
  }
};

class CaClient {
 public:
  using Command = internal::Command;

  struct Channel {
    std::uint32_t id;  // the server's
    std::uint16_t type;
    std::uint32_t count;
    std::uint32_t rights;
  };

  explicit CaClient(const cooperative::Address& server) : socket_(cooperative::connect(server)) {
    if (next().header.command != Command::version) throw std::runtime_error("the first message is no version");
    send({.command = Command::version, .count = 13});
    send({.command = Command::client_name}, name_payload("tester"));
    send({.command = Command::host_name}, name_payload("here"));
  }

  cooperative::Socket& socket() { return socket_; }
  void send(const internal::Header& header, std::string_view payload = {}) { socket_.write_all(message(header, payload)); }

  // Nothing when the server has ended the circuit.
  std::optional<CaMessage> take() {
    const auto parsed = [&] { return internal::parse_header(socket_.buffered()); };
    if (!socket_.fill_until([](std::string_view bytes) {
          const auto header = internal::parse_header(bytes);
          return header && bytes.size() >= header->length + header->header.size;
        })) {
      return std::nullopt;
    }
    const auto [header, length] = *parsed();
    CaMessage message{header, std::string(socket_.buffered().substr(length, header.size))};
    socket_.consume(length + header.size);
    return message;
  }
  CaMessage next() {
    std::optional<CaMessage> message = take();
    if (!message) throw std::runtime_error("the circuit has ended");
    return *std::move(message);
  }
  CaMessage next(Command command) {
    CaMessage message = next();
    if (message.header.command == command) return message;
    throw std::runtime_error(fmt::format("command {} in the place of {}", static_cast<int>(message.header.command), static_cast<int>(command)));
  }

  // Nothing for a name that is not served.
  std::optional<Channel> create(std::string_view name, std::uint32_t client_id = 1) {
    send({.command = Command::create_channel, .first = client_id, .second = 13}, name_payload(name));
    const CaMessage rights = next();
    if (rights.header.command == Command::create_channel_failed) return std::nullopt;
    const CaMessage made = next(Command::create_channel);
    return Channel{made.header.second, made.header.type, made.header.count, rights.header.second};
  }
  CaMessage read(const Channel& channel, std::uint16_t type, std::uint32_t count = 0) {
    send({.command = Command::read_notify, .type = type, .count = count, .first = channel.id, .second = 1});
    return next(Command::read_notify);
  }
  // Gives the status.
  std::uint32_t put(const Channel& channel, std::uint16_t type, std::uint32_t count, std::string_view payload) {
    send({.command = Command::write_notify, .type = type, .count = count, .first = channel.id, .second = 1}, payload);
    return next(Command::write_notify).header.first;
  }
  void monitor(const Channel& channel, std::uint16_t type, std::uint32_t id, std::uint16_t events = internal::kValueEvents) {
    send({.command = Command::event_add, .type = type, .first = channel.id, .second = id}, mask_payload(events));
  }

 private:
  cooperative::Socket socket_;
};

}  // namespace catools::inline v0::testing
