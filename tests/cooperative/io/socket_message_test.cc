// Datagrams, records, and messages with descriptors: cooperative/io/socket.h.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::room_of;
using testing::take;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SocketMessageTest : public testing::IoTest {
 protected:
  std::array<char, 100> place{};
  std::string_view text_of(std::size_t size) const { return {place.data(), size}; }
};

TEST_F(SocketMessageTest, DatagramsSayWhereTheyAreFrom) {
  on_thread([&] {
    for (const char* const ip : {"127.0.0.1", "::1"}) {
      const Address at(ip, 0);
      Socket a(at.family(), SOCK_DGRAM);
      Socket b(at.family(), SOCK_DGRAM);
      a.bind(at);
      b.bind(at);
      auto receiver = spawn("receiver", [&] { return a.recv_from(room_of(place)); });
      yield_until_idle();
      b.send_to("hello", a.local_address());
      const Datagram got = receiver.join();
      EXPECT_EQ(text_of(got.size), "hello");
      EXPECT_EQ(got.from, b.local_address());
      EXPECT_FALSE(got.is_truncated);
    }
  });
}

TEST_F(SocketMessageTest, AnEmptyDatagramIsADatagram) {
  on_thread([&] {
    Socket a = Socket::udp();
    a.bind(Address::loopback(0));
    Socket b = Socket::udp();
    b.connect(a.local_address());
    EXPECT_EQ(b.send("").why(), Why::ready);
    b.send_to("", a.local_address());
    const Received received = a.recv(room_of(place));
    EXPECT_EQ(received.size(), 0u);
    EXPECT_EQ(received.why(), Why::ready);
    EXPECT_EQ(a.recv_from(room_of(place)).size, 0u);
    EXPECT_THROW(a.recv_from(room_of(place), absl::ZeroDuration()), Timedout);
  });
}

TEST_F(SocketMessageTest, WhatDoesNotFitIsGoneAndSaidToBe) {
  on_thread([&] {
    auto ends = Socket::pair(SOCK_DGRAM);
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all("12345");
    there.write_all("next");
    const Datagram cut = here.recv_from(room_of(place).first(3));
    EXPECT_EQ(text_of(cut.size), "123");
    EXPECT_TRUE(cut.is_truncated);
    EXPECT_EQ(cut.from.to_string(), "unnamed");
    EXPECT_FALSE(here.recv_from(room_of(place).first(4)).is_truncated);
  });
}

TEST_F(SocketMessageTest, ARefusedDatagramIsAnErrorOfTheNextCall) {
  on_thread([&] {
    Socket gone = Socket::udp();
    gone.bind(Address::loopback(0));
    Socket socket = Socket::udp();
    socket.connect(gone.local_address());
    gone.close();
    auto receiver = spawn("receiver", [&] { take(socket, 9); });
    yield_until_idle();
    static_cast<void>(socket.send("x"));
    EXPECT_THAT(what_of<IoError>([&] { receiver.join(); }), HasSubstr("refused"));
  });
}

TEST_F(SocketMessageTest, AFullReceiverOfAUnixDatagramIsWaitedFor) {
  on_virtual_time([&](VirtualClock& clock) {
    const Address at = Address::abstract("full");
    Socket receiver = Socket::unix_datagram();
    receiver.bind(at);
    Socket sender = Socket::unix_datagram();
    int sent = 0;
    auto filler = spawn("filler", [&] {
      for (; sent < 1000; ++sent) sender.send_to("x", at);
    });
    yield_until_idle();
    EXPECT_TRUE(filler.is_alive());
    const int fitted = sent;
    EXPECT_LT(fitted, 1000);
    Socket other = Socket::unix_datagram();
    auto limited = spawn("limited", [&] { other.send_to("y", at, absl::Seconds(1)); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THROW(limited.join(), Timedout);
    for (int i = 0; i < fitted; ++i) take(receiver, 1);
    while (filler.is_alive()) {
      clock.advance(absl::Milliseconds(50));
      yield_until_idle();
      while (!take(receiver, 1, absl::ZeroDuration()).empty()) {
      }
    }
    EXPECT_EQ(sent, 1000);
    // One who is connected is told by the kernel.
    Socket connected = Socket::unix_datagram();
    connected.connect(at);
    auto writer = spawn("writer", [&] {
      for (int i = 0; i < 1000; ++i) connected.write_all("z");
    });
    int received = 0;
    while (received < 1000) received += static_cast<int>(take(receiver, 1).size());
    EXPECT_EQ(received, 1000);
  });
}

// --- records -----------------------------------------------------------------------------------------------------------------

TEST_F(SocketMessageTest, RecordsHaveBoundsAndAnEnd) {
  on_thread([&] {
    auto ends = Socket::pair(SOCK_SEQPACKET);
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all("one");
    EXPECT_TRUE(there.send(""));
    there.write_all("three");
    EXPECT_EQ(take(here, 100), "one");
    const Received empty = here.recv(room_of(place));
    EXPECT_EQ(empty.size(), 0u);
    EXPECT_EQ(empty.why(), Why::ready);
    EXPECT_TRUE(there.send(""));
    there.write_all("last");
    there.close();
    EXPECT_EQ(take(here, 100), "three");
    EXPECT_EQ(here.recv(room_of(place)).why(), Why::ready);  // more is behind it
    EXPECT_EQ(take(here, 100), "last");
    EXPECT_EQ(here.recv(room_of(place)).why(), Why::closed);
    EXPECT_TRUE(here.recv_message(room_of(place), 0).is_end);
  });
}

TEST_F(SocketMessageTest, WhoWaitsForARecordIsToldOfTheEnd) {
  on_thread([&] {
    auto ends = Socket::pair(SOCK_SEQPACKET);
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { return here.recv(room_of(place)).why(); });
    yield_until_idle();
    there.close();
    EXPECT_EQ(reader.join(), Why::closed);
  });
}

// --- descriptors -------------------------------------------------------------------------------------------------------------

bool is_same_file(int a, int b) {
  struct stat of_a {}, of_b {};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino && of_a.st_dev == of_b.st_dev;
}

TEST_F(SocketMessageTest, PassesDescriptorsWhichAreTheReceiversOwn) {
  on_thread([&] {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
      auto ends = Socket::pair(type);
      Socket& here = ends.first;
      Socket& there = ends.second;
      auto ends_of_passed = testing::tcp_pair();
      Socket& passed = ends_of_passed.first;
      Socket& kept = ends_of_passed.second;
      const std::array<int, 1> sent{passed.native()};
      auto receiver = spawn("receiver", [&] { return here.recv_message(room_of(place), 1); });
      yield_until_idle();
      there.send_message("take it", sent);
      SocketMessage got = receiver.join();
      EXPECT_EQ(text_of(got.size), "take it");
      ASSERT_THAT(got.descriptors, SizeIs(1));
      EXPECT_FALSE(got.lost_descriptors);
      EXPECT_FALSE(got.is_truncated);
      EXPECT_FALSE(got.is_end);
      EXPECT_TRUE(is_same_file(got.descriptors[0], passed.native()));
      EXPECT_NE(fcntl(got.descriptors[0], F_GETFD) & FD_CLOEXEC, 0);
      // Both work, and one lives on without the other.
      Socket adopted = Socket::adopt(got.descriptors[0]);
      passed.close();
      kept.write_all("x");
      EXPECT_EQ(take(adopted, 9), "x");
    }
  });
}

TEST_F(SocketMessageTest, AsManyDescriptorsAsAreAskedForAndNoMore) {
  on_thread([&] {
    for (int sent = 0; sent <= 3; ++sent) {
      for (std::size_t asked = 0; asked <= 3; ++asked) {
        auto ends = Socket::pair();
        Socket& here = ends.first;
        Socket& there = ends.second;
        const std::vector<int> passed(static_cast<std::size_t>(sent), here.native());
        there.send_message("x", passed);
        const SocketMessage got = here.recv_message(room_of(place), asked);
        EXPECT_EQ(got.descriptors.size(), std::min<std::size_t>(sent, asked));
        EXPECT_EQ(got.lost_descriptors, static_cast<std::size_t>(sent) > asked);
        for (const int descriptor : got.descriptors) close(descriptor);
      }
    }
  });
}

TEST_F(SocketMessageTest, DescriptorsWithoutAByteAreRefused) {
  on_thread([&] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::array<int, 1> sent{here.native()};
    EXPECT_THAT(what_of<Misuse>([&] { there.send_message("", sent); }), HasSubstr("send one with them"));
    there.send_message("", {});
    auto ends_of_record_here = Socket::pair(SOCK_SEQPACKET);
    Socket& record_here = ends_of_record_here.first;
    Socket& record_there = ends_of_record_here.second;
    record_there.send_message("", sent);
    const SocketMessage got = record_here.recv_message(room_of(place), 1);
    ASSERT_THAT(got.descriptors, SizeIs(1));
    close(got.descriptors[0]);
  });
}

TEST_F(SocketMessageTest, ALongMessageArrivesWholeWithItsDescriptorsFirst) {
  on_thread([&] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::string much(1 << 20, 'x');
    const int event = eventfd(0, EFD_CLOEXEC);
    auto sender = spawn("sender", [&] { there.send_message(much, {{event}}); });
    const SocketMessage first = here.recv_message(room_of(place), 1);
    ASSERT_THAT(first.descriptors, SizeIs(1));
    EXPECT_TRUE(here.read_exact(much.size() - first.size));
    sender.join();
    close(first.descriptors[0]);
    close(event);
  });
}

TEST_F(SocketMessageTest, TheEndOfAStreamIsSaidToBe) {
  on_thread([&] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.close();
    const SocketMessage end = here.recv_message(room_of(place), 1);
    EXPECT_TRUE(end.is_end);
    EXPECT_EQ(end.size, 0u);
    EXPECT_THAT(end.descriptors, IsEmpty());
  });
}

TEST_F(SocketMessageTest, TooManyDescriptorsAreTheSystemsError) {
  on_thread([&] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::vector<int> many(300, here.native());
    EXPECT_THROW(there.send_message("x", many), IoError);
  });
}

}  // namespace
}  // namespace cooperative
