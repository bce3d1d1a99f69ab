#include <fcntl.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <numeric>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/selfishness.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Why;
using testing::error_of;
using testing::room_of;
using testing::take;
using testing::tcp_pair;

using SocketTest = testing::IoTest;

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
          Scheduler::current().set_options({.selfishness = acts});
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
        Scheduler::current().set_options({.selfishness = acts});
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
    EXPECT_EQ(here.recv(room_of(into), MSG_PEEK).size(), 3u);
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
    static_cast<void>(there.send("!", MSG_OOB));
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
    const auto errors = [&](const mothreads::Until& until = {}) { return here.recv(room_of(into), MSG_ERRQUEUE, until).why(); };
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
    EXPECT_EQ(error_of([&] { static_cast<void>(here.recv(room_of(into), MSG_OOB)); }), std::errc::invalid_argument);
    auto beside = spawn("beside", [&] { return here.recv(room_of(into), MSG_ERRQUEUE).why(); });
    yield_until_idle();
    here.shut_down(SocketHalf::both);
    there.close();
    EXPECT_EQ(beside.join(), Why::closed);
    auto ends_of_reset = tcp_pair();
    Socket& reset = ends_of_reset.first;
    Socket& other = ends_of_reset.second;
    auto of_reset = spawn("of reset", [&] { static_cast<void>(reset.recv(room_of(into), MSG_ERRQUEUE)); });
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

}  // namespace
}  // namespace cooperative
