#include "cooperative/io/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/selfishness.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"
#include "tests/support/scratch_folder.h"

namespace cooperative {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::room_of;
using testing::take;
using testing::tcp_pair;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class SocketTest : public testing::IoTest {};

std::error_code error_of(auto&& action) {
  try {
    action();
  } catch (const IoError& error) {
    return error.code();
  }
  return {};
}

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
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const std::error_code refused = error_of([&] { listener.accept(); });
    const std::error_code of_waiter = error_of([&] { first.join(); });
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
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

// --- bytes -------------------------------------------------------------------------------------------------------------------

TEST_F(SocketTest, TenBytesFromFiberToFiberUntilTheEnd) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto sender = spawn("sender", [&] {
      for (int i = 0; i < 10; ++i) {
        there.write_all(std::string(1, static_cast<char>('a' + i)));
        yield();
      }
      there.close();
    });
    std::string got;
    for (std::string more = take(here, 3); !more.empty(); more = take(here, 3)) got += more;
    EXPECT_EQ(got, "abcdefghij");
  });
}

TEST_F(SocketTest, AnEmptyPlaceReceivesNothingAndIsNotTheEnd) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    EXPECT_EQ(here.recv({}).why(), Why::ready);
    EXPECT_EQ(here.recv_vector({}).why(), Why::ready);
    EXPECT_EQ(here.send("").why(), Why::ready);
    there.close();
    EXPECT_EQ(here.recv({}).why(), Why::ready);
    std::array<char, 1> into;
    EXPECT_EQ(here.recv(room_of(into)).why(), Why::closed);
  });
}

struct Sizes {
  const char* name;
  std::vector<std::size_t> sent;
  std::vector<std::size_t> received;
};

std::vector<Sizes> all_sizes() {
  return {{"OneToOne", {1}, {1}},
          {"TwoHalves", {2}, {1, 1}},
          {"Joined", {1, 1}, {2}},
          {"Many", {5, 10, 1, 100}, {5, 10, 1, 100}},
          {"Crossed", {5, 10, 1, 100}, {100, 1, 10, 5}},
          {"Big", {100'000}, {100'000}},
          {"BigInParts", {100'000}, {1, 50'000, 49'999}},
          {"SmallToBig", {1, 2, 3, 100'000 - 6}, {100'000}},
          {"WithEmptyPlaces", {10}, {0, 5, 0, 5, 0}},
          {"EndInTheMiddle", {7}, {5, 5}},
          {"EndBeforeTheLast", {5}, {5, 5, 5}},
          {"EndAtOnce", {}, {3}}};
}

// Several places at a time, read until they are full or the end comes; pieces written at a time.
TEST_F(SocketTest, PiecesAreSentAndReceivedWhateverTheirSizes) {
  for (const bool is_ipv6 : {false, true}) {
    for (const std::uint32_t acts : {1u, 1024u}) {
      for (const Sizes& sizes : all_sizes()) {
        SCOPED_TRACE(sizes.name);
        on_thread([&] {
          set_selfishness(acts);
          Socket listener = listen(is_ipv6 ? Address("::1", 0) : Address::loopback(0));
          Socket here = connect(listener.local_address());
          Socket there = listener.accept();
          const std::size_t total = std::accumulate(sizes.sent.begin(), sizes.sent.end(), std::size_t{0});
          std::string all(total, '\0');
          for (std::size_t i = 0; i < total; ++i) all[i] = static_cast<char>(i * 31 >> 3);
          auto sender = spawn("sender", [&] {
            std::vector<std::string_view> pieces;
            std::size_t at = 0;
            for (const std::size_t size : sizes.sent) {
              pieces.push_back(std::string_view(all).substr(at, size));
              at += size;
            }
            there.write_all(pieces);
            there.shut_down_writing();
          });
          std::vector<std::string> places;
          for (const std::size_t size : sizes.received) places.emplace_back(size, '\0');
          std::size_t received = 0;
          while (true) {
            std::vector<std::span<std::byte>> left;
            std::size_t skip = received;
            for (std::string& place : places) {
              const std::size_t skipped = std::min(skip, place.size());
              skip -= skipped;
              left.push_back(room_of(place).subspan(skipped));
            }
            const Received more = here.recv_vector(left);
            received += more.size();
            if (!more || more.size() == 0) break;
          }
          const std::size_t room = std::accumulate(sizes.received.begin(), sizes.received.end(), std::size_t{0});
          EXPECT_EQ(received, std::min(total, room));
          EXPECT_EQ(std::accumulate(places.begin(), places.end(), std::string()).substr(0, received), all.substr(0, received));
          sender.join();
        });
      }
    }
  }
}

TEST_F(SocketTest, WritesOfSeveralPiecesArriveWholeThroughSmallBuffers) {
  for (const int buffer : {1, 32768}) {
    for (const std::uint32_t acts : {1u, 1024u}) {
      on_thread([&] {
        set_selfishness(acts);
        Socket listener = Socket::tcp();
        listener.set_receive_buffer(buffer);
        listener.bind(Address::loopback(0));
        listener.listen();
        Socket here = Socket::tcp();
        here.set_send_buffer(buffer);
        here.connect(listener.local_address());
        Socket there = listener.accept();
        const std::string big(buffer == 1 ? 20'000 : 512 * 1024, 'b');
        const std::vector<std::string_view> pieces{"a", big, "", "c"};
        auto receiver = spawn("receiver", [&] { return *there.read_all(big.size() + 2); });
        here.write_all(pieces);
        here.shut_down_writing();
        EXPECT_EQ(receiver.join(), "a" + big + "c");
      });
    }
  }
}

TEST_F(SocketTest, MorePiecesThanOneCallTakes) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::vector<std::string_view> pieces(5000, "ab");
    auto writer = spawn("writer", [&] { here.write_all(pieces); });
    EXPECT_EQ(there.read_exact(10'000)->size(), 10'000u);
  });
}

TEST_F(SocketTest, ALookTakesNothing) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all("abc");
    std::array<char, 9> into{};
    EXPECT_EQ(here.recv(room_of(into), {}, MSG_PEEK).size(), 3u);
    EXPECT_EQ(here.readable_bytes(), 3u);
    EXPECT_EQ(take(here, 9), "abc");
  });
}

TEST_F(SocketTest, AWriteToNobodyIsAnErrorAndNoSignal) {
  on_thread([] {
    struct sigaction before {}, fail {};
    fail.sa_handler = [](int) { std::abort(); };
    sigaction(SIGPIPE, &fail, &before);
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.close();
    EXPECT_EQ(error_of([&] { static_cast<void>(here.send("x")); }), std::errc::broken_pipe);
    EXPECT_EQ(error_of([&] { here.write_all("x"); }), std::errc::broken_pipe);
    const std::array<std::string_view, 2> pieces{"a", "b"};
    EXPECT_EQ(error_of([&] { here.write_all(pieces); }), std::errc::broken_pipe);
    EXPECT_EQ(error_of([&] { here.send_message("x", {}); }), std::errc::broken_pipe);
    sigaction(SIGPIPE, &before, nullptr);
  });
}

TEST_F(SocketTest, AResetIsAnErrorNotAnEnd) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { return take(here, 9); });
    yield_until_idle();
    there.set_linger(absl::ZeroDuration());
    there.close();
    EXPECT_EQ(error_of([&] { reader.join(); }), std::errc::connection_reset);
  });
}

TEST_F(SocketTest, WhatCameBeforeTheEndIsReadFirst) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    EXPECT_EQ(take(here, 1, absl::ZeroDuration()), "");  // registered
    there.write_all("last words");
    there.close();
    yield();
    EXPECT_EQ(take(here, 100), "last words");  // a short read, with the end behind it
    std::array<char, 1> into;
    EXPECT_EQ(here.recv(room_of(into)).why(), Why::closed);
    EXPECT_EQ(here.recv(room_of(into)).why(), Why::closed);
  });
}

TEST_F(SocketTest, AShortReadThatStoppedAtUrgentDataIsTriedAgain) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    EXPECT_EQ(take(here, 1, absl::ZeroDuration()), "");
    there.write_all("before");
    static_cast<void>(there.send("!", {}, MSG_OOB));
    there.write_all("behind");
    EXPECT_EQ(take(here, 100), "before");
    EXPECT_EQ(take(here, 1, {}, MSG_OOB), "!");
    EXPECT_EQ(take(here, 100), "behind");
  });
}

TEST_F(SocketTest, WhoWaitsForWhatIsBesideTheDataKeepsNobodyFromIt) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::array<char, 100> into;
    const auto errors = [&](const mothreads::Until& until = {}) { return here.recv(room_of(into), until, MSG_ERRQUEUE).why(); };
    there.write_all("plain");
    EXPECT_EQ(errors(absl::ZeroDuration()), Why::timed_out);
    EXPECT_EQ(take(here, 100), "plain");
    auto beside = spawn("beside", [&] { return errors(); });
    auto plain = spawn("plain", [&] { return take(here, 100); });
    yield_until_idle();
    there.write_all("more");
    EXPECT_EQ(plain.join(), "more");
    EXPECT_TRUE(beside.is_alive());
    here.close();
    EXPECT_THROW(beside.join(), Closed);
  });
}

TEST_F(SocketTest, WhatIsBesideTheDataEndsWithIt) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::array<char, 9> into;
    EXPECT_EQ(error_of([&] { static_cast<void>(here.recv(room_of(into), {}, MSG_OOB)); }), std::errc::invalid_argument);
    auto beside = spawn("beside", [&] { return here.recv(room_of(into), {}, MSG_ERRQUEUE).why(); });
    yield_until_idle();
    here.shut_down(Half::both);
    there.close();
    EXPECT_EQ(beside.join(), Why::closed);
    auto ends_of_reset = tcp_pair();
    Socket& reset = ends_of_reset.first;
    Socket& other = ends_of_reset.second;
    auto of_reset = spawn("of reset", [&] { static_cast<void>(reset.recv(room_of(into), {}, MSG_ERRQUEUE)); });
    yield_until_idle();
    other.set_linger(absl::ZeroDuration());
    other.close();
    EXPECT_EQ(error_of([&] { of_reset.join(); }), std::errc::connection_reset);
  });
}

TEST_F(SocketTest, SoManyBytesMayBeAskedForBeforeAWake) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    here.set_option(SOL_SOCKET, SO_RCVLOWAT, 4);
    auto reader = spawn("reader", [&] { return take(here, 100); });
    yield_until_idle();
    there.write_all("abc");
    yield_until_idle();
    EXPECT_TRUE(reader.is_alive());
    there.write_all("d");
    EXPECT_EQ(reader.join(), "abcd");
    auto last = spawn("last", [&] { return take(here, 100); });
    yield_until_idle();
    there.write_all("e");
    there.close();  // fewer come no more
    EXPECT_EQ(last.join(), "e");
  });
}

TEST_F(SocketTest, AFileIsSent) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder;
    std::string text;
    for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i);
    folder.write("file", text);
    const int file = ::open(folder.path("file").c_str(), O_RDONLY | O_CLOEXEC);
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const auto sent = [&](off_t offset, std::size_t size) {
      here.write_later("<");
      auto reader = spawn("reader", [&] { return *there.read_until(">"); });
      there.set_max_line(10'000'000);
      const std::size_t count = here.send_file(file, offset, size);
      here.write_all(">");
      const std::string got = reader.join().substr(1);
      EXPECT_EQ(got.size(), count);
      return got;
    };
    for (const bool is_cold : {false, true}) {
      if (is_cold) folder.make_cold("file");
      EXPECT_TRUE(sent(0, text.size()) == text);
      EXPECT_TRUE(sent(1234, 700'000) == text.substr(1234, 700'000));
    }
    EXPECT_EQ(sent(static_cast<off_t>(text.size()) - 3, 100), text.substr(text.size() - 3)) << "to its end";
    EXPECT_EQ(sent(0, 0), "");
    EXPECT_EQ(here.option(IPPROTO_TCP, TCP_CORK), 0);
    here.set_option(IPPROTO_TCP, TCP_CORK, 1);
    EXPECT_EQ(here.send_file(file, 0, 100'000), 100'000u);
    EXPECT_EQ(here.option(IPPROTO_TCP, TCP_CORK), 1) << "the caller's own";
    EXPECT_EQ(error_of([&] { here.send_file(file, -1, 10); }), std::errc::invalid_argument);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 0) << "its position is others'";
    EXPECT_EQ(error_of([&] { here.send_file(-1, 0, 10); }), std::errc::bad_file_descriptor);
    ::close(file);
  });
}

// In whose place another is made meanwhile, which must not be taken for the one that has gone.
class PlaceOfSocket {
 public:
  explicit PlaceOfSocket(Socket first) : socket_(std::construct_at(reinterpret_cast<Socket*>(place_), std::move(first))) {}
  ~PlaceOfSocket() { std::destroy_at(socket_); }
  PlaceOfSocket(const PlaceOfSocket&) = delete;
  PlaceOfSocket& operator=(const PlaceOfSocket&) = delete;
  Socket& operator*() { return *socket_; }
  void replace(Socket next) {
    std::destroy_at(socket_);
    socket_ = std::construct_at(reinterpret_cast<Socket*>(place_), std::move(next));
  }

 private:
  alignas(Socket) std::byte place_[sizeof(Socket)];
  Socket* socket_;
};

TEST_F(SocketTest, ASocketMayGoWhileTheFileThatIsSentIsFetched) {
  on_thread([] {
    // No file at all, and never in memory: other threads are asked, which are all at something else.
    int ends_of_pipe[2];
    ASSERT_EQ(pipe2(ends_of_pipe, O_CLOEXEC), 0);
    for (const bool closes : {false, true}) {
      std::vector<Fiber<void>> busy;
      for (std::size_t i = 0; i < kFileThreads; ++i) {
        busy.push_back(spawn({.name = "busy", .start = Start::at_once}, [&] {
          char byte;
          FileCall call;
          static_cast<void>(call_for_file(call, [&] { return ::read(ends_of_pipe[0], &byte, 1); }));
        }));
      }
      auto ends = tcp_pair();
      auto others = tcp_pair();
      PlaceOfSocket here(std::move(ends.first));
      auto sender = spawn({.name = "sender", .start = Start::at_once}, [&] { (*here).send_file(ends_of_pipe[0], 0, 100'000); });
      ASSERT_TRUE(sender.is_alive());
      if (closes) (*here).close();
      here.replace(std::move(others.first));
      ASSERT_EQ(::write(ends_of_pipe[1], std::string(kFileThreads, 'x').data(), kFileThreads), static_cast<ssize_t>(kFileThreads));
      EXPECT_THROW(sender.join(), Closed);
      for (auto& one : busy) one.join();
      EXPECT_EQ((*here).option(IPPROTO_TCP, TCP_CORK), 0);
    }
    for (const int end : ends_of_pipe) ::close(end);
  });
}

TEST_F(SocketTest, ASocketMayGoWhileAFileWaitsForRoom) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder;
    folder.write("file", std::string(10 << 20, 'x'));
    const int file = ::open(folder.path("file").c_str(), O_RDONLY | O_CLOEXEC);
    for (const bool cancels : {false, true}) {
      auto ends = tcp_pair();
      auto others = tcp_pair();
      PlaceOfSocket here(std::move(ends.first));
      auto sender = spawn("sender", [&] { (*here).send_file(file, 0, 10 << 20); });
      while (ends.second.readable_bytes() == 0) yield();
      yield_until_idle();
      ASSERT_TRUE(sender.is_alive());
      (*here).close();
      here.replace(std::move(others.first));
      (*here).set_option(IPPROTO_TCP, TCP_CORK, 1);
      if (cancels) sender.cancel();
      EXPECT_ANY_THROW(sender.join());
      EXPECT_EQ((*here).option(IPPROTO_TCP, TCP_CORK), 1) << "the other's own";
    }
    ::close(file);
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

TEST_F(SocketTest, BothDirectionsAtOnce) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::string much(3 << 20, 'x');
    auto echo = spawn("echo", [&] {
      std::string place(1 << 16, '\0');
      while (const Received some = there.read_some(room_of(place))) there.write_all(std::string_view(place).substr(0, some.size()));
      there.shut_down_writing();
    });
    auto writer = spawn("writer", [&] {
      here.write_all(much);
      here.shut_down_writing();
    });
    EXPECT_EQ(here.read_all(much.size())->size(), much.size());
  });
}

TEST_F(SocketTest, OneThatIsClosedWhileItIsWrittenTo) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    auto writer = spawn("writer", [&] { here.write_all(std::string(10 << 20, 'x')); });
    yield_until_idle();
    here.close();
    EXPECT_THROW(writer.join(), Closed);
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
