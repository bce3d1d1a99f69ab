#include "cooperative/io/socket.h"

#include <fcntl.h>

#include <array>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/sleep.h"
#include "tests/support/descriptor_limit.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Why;
using mothreads::testing::what_of;
using testing::DescriptorLimit;
using testing::error_of;
using testing::room_of;
using testing::take;
using testing::tcp_pair;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using SocketTest = testing::IoTest;

// --- what it is --------------------------------------------------------------------------------------------------------------

TEST_F(SocketTest, IsNonBlockingAndNotInherited) {
  const Socket socket = Socket::tcp();
  EXPECT_NE(fcntl(socket.native(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket.native(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(socket.family(), AF_INET);
  EXPECT_EQ(socket.type(), SOCK_STREAM);
  EXPECT_EQ(Socket::udp_ipv6().family(), AF_INET6);
  EXPECT_EQ(Socket::unix_datagram().type(), SOCK_DGRAM);
  EXPECT_EQ(error_of([] { Socket(AF_INET, 77); }), std::errc::invalid_argument);
}

TEST_F(SocketTest, AClosedOneSaysSo) {
  on_thread([] {
    Socket socket;
    EXPECT_FALSE(socket.is_open());
    std::array<char, 1> into;
    EXPECT_THROW(static_cast<void>(socket.recv(room_of(into))), Closed);
    EXPECT_THROW(static_cast<void>(socket.recv({})), Closed);
    EXPECT_THROW(static_cast<void>(socket.recv_vector({})), Closed);
    EXPECT_THROW(static_cast<void>(socket.send("x")), Closed);
    EXPECT_THROW(socket.write_all("x"), Closed);
    EXPECT_THROW(socket.accept(), Closed);
    EXPECT_THROW(socket.connect(Address::loopback(1)), Closed);
    EXPECT_THROW(socket.send_to("x", Address::abstract("x")), Closed);
    EXPECT_THROW(socket.bind(Address::loopback(0)), Closed);
    EXPECT_THROW(socket.local_address(), Closed);
    EXPECT_THROW(socket.duplicate(), Closed);
    EXPECT_EQ(socket.name(), "a closed socket");
    socket.close();
    EXPECT_EQ(socket.release(), -1);
  });
}

TEST_F(SocketTest, NamesWhatItIs) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    EXPECT_EQ(here.name(), "tcp socket " + here.local_address().to_string() + " to " + there.local_address().to_string());
    EXPECT_THAT(Socket::udp().name(), HasSubstr("datagram socket 0.0.0.0:0"));
    EXPECT_THAT(Socket::pair().first.name(), HasSubstr("stream socket unnamed"));
    EXPECT_THAT(Socket::pair(SOCK_SEQPACKET).first.name(), HasSubstr("record socket unnamed"));
  });
}

TEST_F(SocketTest, AdoptsWhatIsOneAndRefusesOthers) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Socket adopted = Socket::adopt(here.release());
    there.write_all("x");
    EXPECT_EQ(take(adopted, 9), "x");
    there.close();
    EXPECT_EQ(adopted.read_line().why(), Why::closed);  // it knows that it is a stream
    int of_pipe[2];
    ASSERT_EQ(pipe(of_pipe), 0);
    EXPECT_EQ(error_of([&] { Socket::adopt(of_pipe[0]); }), std::errc::not_a_socket);
    EXPECT_EQ(close(of_pipe[0]) + close(of_pipe[1]), 0);  // they are still ours
    EXPECT_EQ(error_of([] { Socket::adopt(-1); }), std::errc::bad_file_descriptor);
  });
}

TEST_F(SocketTest, FlagsOfTheTypeHideNotThatItIsAStream) {
  on_thread([] {
    Socket listener(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
    listener.bind(Address::loopback(0));
    listener.listen();
    Socket client(AF_INET, SOCK_STREAM | SOCK_CLOEXEC);
    client.connect(listener.local_address());
    listener.accept().close();
    std::array<char, 1> into;
    EXPECT_EQ(client.recv(room_of(into)).why(), Why::closed);
  });
}

// --- connections -------------------------------------------------------------------------------------------------------------

void echo_over(const Address& at) {
  Socket listener(at.family(), SOCK_STREAM);
  listener.bind(at);
  listener.listen();
  EXPECT_EQ(listener.local_address().ip(), at.ip());
  auto server = spawn("server", [&] {
    Socket peer = listener.accept();
    peer.write_all(*peer.read_all(1000));
    return peer.peer_address();
  });
  Socket client(at.family(), SOCK_STREAM);
  client.connect(listener.local_address());
  EXPECT_EQ(client.peer_address(), listener.local_address());
  client.write_all("to and fro");
  client.shut_down_writing();
  EXPECT_EQ(*client.read_all(1000), "to and fro");
  EXPECT_EQ(server.join(), client.local_address());
}

TEST_F(SocketTest, EchoesOverIpV4) {
  on_thread([] { echo_over(Address::loopback(0)); });
}

TEST_F(SocketTest, EchoesOverIpV6) {
  on_thread([] { echo_over(Address("::1", 0)); });
}

TEST_F(SocketTest, EchoesOverAUnixSocket) {
  on_thread([] {
    echo_over(Address::abstract("socket_test " + std::to_string(getpid())));
    ASSERT_EQ(chdir(::testing::TempDir().c_str()), 0);  // its own path may be too long
    const std::string path = "socket_test" + std::to_string(getpid());
    echo_over(Address::unix_path(path));
    EXPECT_EQ(unlink(path.c_str()), 0);
  });
}

TEST_F(SocketTest, AnAddressOfAnotherFamilyIsRefused) {
  on_thread([] {
    EXPECT_EQ(error_of([] { Socket::tcp().bind(Address::any_ipv6(0)); }), std::errc::address_family_not_supported);
    EXPECT_NE(error_of([] { Socket::tcp_ipv6().bind(Address::any(0)); }), std::error_code());
    EXPECT_NE(error_of([] { Socket::tcp().connect(Address("::1", 1)); }), std::error_code());
  });
}

TEST_F(SocketTest, AnyAddressIsReportedAsSuch) {
  Socket v4 = Socket::tcp();
  v4.bind(Address::any(0));
  EXPECT_EQ(v4.local_address().ip(), "0.0.0.0");
  Socket v6 = Socket::tcp_ipv6();
  v6.bind(Address::any_ipv6(0));
  EXPECT_EQ(v6.local_address().ip(), "::");
}

TEST_F(SocketTest, AddressesThatCannotBeToldAreErrors) {
  EXPECT_EQ(error_of([] { Socket::tcp().peer_address(); }), std::errc::not_connected);
}

TEST_F(SocketTest, ARefusedConnectionIsAnErrorThatNamesTheAddress) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const Address address = listener.local_address();
    listener.close();
    EXPECT_THAT(what_of<IoError>([&] { Socket::tcp().connect(address); }), AllOf(HasSubstr(address.to_string()), HasSubstr("refused")));
    EXPECT_EQ(error_of([&] { Socket::tcp().connect(address); }), std::errc::connection_refused);
    EXPECT_EQ(error_of([] { Socket::unix_stream().connect(Address::unix_path("/nowhere/at all")); }), std::errc::no_such_file_or_directory);
  });
}

TEST_F(SocketTest, OneThatIsConnectedIsNotConnectedAgain) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    Socket other = listen(Address::loopback(0));
    Socket client = connect(listener.local_address());
    EXPECT_EQ(error_of([&] { client.connect(other.local_address()); }), std::errc::already_connected);
    EXPECT_EQ(client.peer_address(), listener.local_address());
  });
}

TEST_F(SocketTest, AcceptsManyAtOnceUpToSoMany) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    auto server = spawn("server", [&] { return listener.accept_many(5); });
    yield_until_idle();
    std::vector<Socket> clients;
    const auto connect_some = [&](int count) {
      for (int i = 0; i < count; ++i) clients.push_back(connect(listener.local_address()));
    };
    connect_some(1);
    EXPECT_THAT(server.join(), SizeIs(1));
    connect_some(7);
    std::vector<Socket> served = listener.accept_many(5);
    EXPECT_THAT(served, SizeIs(5));
    for (Socket& peer : served) peer.write_all("greeting");
    EXPECT_THAT(listener.accept_many(5), SizeIs(2));
    EXPECT_THAT(listener.accept_many(0), SizeIs(0));
    EXPECT_THROW(listener.accept_many(5, absl::ZeroDuration()), Timedout);
    served.clear();
    int greeted = 0;
    for (Socket& client : clients) greeted += *client.read_all(100) == "greeting" ? 1 : 0;
    EXPECT_EQ(greeted, 5);
  });
}

TEST_F(SocketTest, AConnectionThatWasGivenUpBeforeItsTurnHurtsNobody) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    Socket gone = connect(listener.local_address());
    gone.set_linger(absl::ZeroDuration());
    gone.close();
    Socket stays = connect(listener.local_address());
    stays.write_all("x");
    Socket first = listener.accept();  // Linux gives it out, with its reset
    Socket second = listener.accept();
    EXPECT_EQ(take(second, 9), "x");
  });
}

TEST_F(SocketTest, WithoutDescriptorsAcceptSaysSoAndTheConnectionWaits) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    Socket client = connect(listener.local_address());
    auto first = spawn("first", [&] { listener.accept(); });
    std::optional<DescriptorLimit> none(rlim_t{0});
    const std::error_code refused = error_of([&] { listener.accept(); });
    const std::error_code of_waiter = error_of([&] { first.join(); });
    none.reset();
    EXPECT_EQ(refused, std::errc::too_many_files_open);
    EXPECT_EQ(of_waiter, std::errc::too_many_files_open);
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
  });
}

TEST_F(SocketTest, ADuplicateIsAnotherHandleToTheSame) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Socket copy = here.duplicate();
    EXPECT_NE(fcntl(copy.native(), F_GETFD) & FD_CLOEXEC, 0);
    there.write_all("a");
    EXPECT_EQ(take(here, 9), "a");
    auto reader = spawn("reader", [&] { return take(copy, 9); });
    auto other = spawn("other", [&] { return take(here, 9, absl::ZeroDuration()); });
    EXPECT_EQ(other.join(), "");
    here.close();  // the connection lives on
    there.write_all("b");
    EXPECT_EQ(reader.join(), "b");
    copy.close();
    EXPECT_EQ(there.read_line().why(), Why::closed);
  });
}

TEST_F(SocketTest, WhatIsAcceptedOrDuplicatedHasNoLimitYet) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    listener.set_timeout(absl::Seconds(1));
    Socket client = connect(listener.local_address());
    client.set_timeout(absl::Seconds(2));
    EXPECT_EQ(listener.accept().timeout(), std::nullopt);
    EXPECT_EQ(client.duplicate().timeout(), std::nullopt);
  });
}

// --- the next connection, for loops ------------------------------------------------------------------------------------------

TEST_F(SocketTest, TheNextConnectionIsOneOrTheReasonWhyThereIsNone) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    Socket client = Socket::tcp();
    client.connect(listener.local_address());
    EXPECT_TRUE(listener.next_connection());
    EXPECT_EQ(listener.next_connection(absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_EQ(listener.next_connection(mothreads::DONE).why(), Why::stopped);
    EXPECT_THAT(what_of<Timedout>([&] { static_cast<void>(listener.next_connection(absl::ZeroDuration()).value()); }), HasSubstr(listener.name()));
    auto loop = spawn("loop", [&] {
      while (auto connection = listener.next_connection()) connection->close();
    });
    yield_until_idle();
    listener.close();
    loop.join();
    EXPECT_EQ(listener.next_connection().why(), Why::closed);
    EXPECT_THROW(static_cast<void>(listener.next_connection().value()), Closed);
  });
}

}  // namespace
}  // namespace cooperative
