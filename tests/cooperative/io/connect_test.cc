#include "cooperative/io/connect.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/resolve.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/name_server.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::testing::what_of;
using ::testing::HasSubstr;

class ConnectTest : public testing::IoTest {};

TEST_F(ConnectTest, ListensAndConnectsInOneCallEach) {
  on_thread([] {
    for (const Address& at : {Address::loopback(0), Address("::1", 0), Address::abstract("connect_test")}) {
      Socket listener = listen(at);
      Socket client = connect(listener.local_address());
      Socket peer = listener.accept();
      peer.write_all("hello\n");
      EXPECT_EQ(*client.read_line(), "hello");
      if (at.is_ip()) {
        EXPECT_NE(client.option(IPPROTO_TCP, TCP_NODELAY), 0);
      }
    }
  });
}

TEST_F(ConnectTest, WhatItIsToldItDoes) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    Socket client = connect(listener.local_address(), {.from = Address("127.0.0.2", 0), .no_delay = false});
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
    EXPECT_EQ(client.local_address().ip(), "127.0.0.2");
    EXPECT_EQ(client.option(IPPROTO_TCP, TCP_NODELAY), 0);
  });
}

TEST_F(ConnectTest, AnAddressInUseIsNamed) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    EXPECT_THAT(what_of<IoError>([&] { listen(listener.local_address()); }), HasSubstr("bind it to " + listener.local_address().to_string()));
    // One that was in use a moment ago is none.
    const Address at = listener.local_address();
    Socket client = connect(at);
    Socket peer = listener.accept();
    peer.close();
    listener.close();
    EXPECT_EQ(listen(at).local_address(), at);
  });
}

TEST_F(ConnectTest, ByNameTriesOneAddressAfterTheOther) {
  on_thread([] {
    // "localhost" may be ::1, too, where nobody listens.
    Socket listener = listen(Address::loopback(0));
    Socket client = connect("localhost", listener.local_address().port());
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
    Socket by_number = connect("127.0.0.1", listener.local_address().port());
    EXPECT_EQ(by_number.peer_address(), listener.local_address());
    Socket from = connect("localhost", listener.local_address().port(), {.from = Address("127.0.0.3", 0)});
    EXPECT_EQ(from.local_address().ip(), "127.0.0.3");
  });
}

TEST_F(ConnectTest, ByNameTheSecondAddressIsTriedWhereNobodyListensAtTheFirst) {
  on_thread([] {
    testing::NameServer names;
    Socket listener = listen(Address::loopback(0));
    const std::uint16_t port = listener.local_address().port();
    // The library may put them in another order: either way both are tried, once from here and once from there.
    names.put("first.test", {"127.0.0.2", "127.0.0.1"});
    names.put("last.test", {"127.0.0.1", "127.0.0.2"});
    for (const char* const host : {"first.test", "last.test"}) {
      Socket client = connect(host, port, {.servers = {names.address()}});
      EXPECT_EQ(client.peer_address(), listener.local_address());
    }
    names.put("nobody.test", {"127.0.0.2", "127.0.0.3"});
    EXPECT_THROW(connect("nobody.test", port, {.servers = {names.address()}}), IoError);
  });
}

TEST_F(ConnectTest, ByNameOneLimitIsForAllOfIt) {
  on_virtual_time([](mothreads::testing::VirtualClock& clock) {
    testing::NameServer names;
    // A full backlog, at both addresses: nobody answers.
    Socket listener = Socket::tcp();
    listener.bind(Address::any(0));
    listener.listen(0);
    const std::uint16_t port = listener.local_address().port();
    Socket fills = connect(Address::loopback(port));
    names.put("full.test", {"127.0.0.1"});
    names.take_time(absl::Seconds(2));
    auto client = spawn("client", [&] { connect("full.test", port, {.from = Address("127.0.0.1", 0), .servers = {names.address()}}, absl::Seconds(5)); });
    yield_until_idle();
    clock.advance(absl::Seconds(2));  // for the name
    yield_until_idle();
    clock.advance(absl::Seconds(3) - absl::Nanoseconds(1));
    yield_until_idle();
    EXPECT_TRUE(client.is_alive());
    clock.advance(absl::Nanoseconds(1));
    yield_until_idle();
    EXPECT_FALSE(client.is_alive()) << "the connection had a limit of its own";
    EXPECT_THROW(client.join(), Timedout);
  });
}

TEST_F(ConnectTest, ByNameWithAZeroByteGoesNowhere) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const std::uint16_t port = listener.local_address().port();
    for (const std::string& host : {std::string("localhost\0.test", 15), std::string("127.0.0.1\0", 10)}) {
      EXPECT_THAT(what_of<NotResolved>([&] { connect(host, port); }), HasSubstr("it has a zero byte"));
    }
    EXPECT_THROW(listener.accept(absl::ZeroDuration()), Timedout);
  });
}

TEST_F(ConnectTest, ByNameThrowsWhatTheLastAttemptThrew) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const std::uint16_t port = listener.local_address().port();
    listener.close();
    try {
      connect("localhost", port);
      ADD_FAILURE() << "somebody listens";
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), std::errc::connection_refused);
    }
    EXPECT_THROW(connect("", port), NotResolved);
    const Signal stop;
    stop.go();
    EXPECT_THROW(connect("a name that nobody has", 1, stop), std::runtime_error);
  });
}

}  // namespace
}  // namespace cooperative
