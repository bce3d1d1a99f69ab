// Who waits for a socket, and how that ends: cooperative/io/socket.h.

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::room_of;
using testing::take;
using testing::tcp_pair;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SocketWaitTest : public testing::IoTest {};

// --- the order ---------------------------------------------------------------------------------------------------------------

TEST_F(SocketWaitTest, SeveralReadersHaveTheirTurnsInTheOrderTheyCame) {
  on_thread([] {
    for (const bool is_tcp : {false, true}) {
      auto ends = is_tcp ? tcp_pair() : Socket::pair();
      Socket& here = ends.first;
      Socket& there = ends.second;
      std::vector<std::string> got;
      std::vector<Fiber<void>> readers;
      for (int i = 0; i < 4; ++i) {
        readers.push_back(spawn("reader", [&, i] { got.push_back(std::to_string(i) + take(here, 1)); }));
      }
      yield_until_idle();
      there.write_all("abcd");
      for (auto& reader : readers) reader.join();
      EXPECT_THAT(got, ElementsAre("0a", "1b", "2c", "3d"));
    }
  });
}

TEST_F(SocketWaitTest, NobodyOvertakesWhoHasBeenWoken) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::vector<std::string> got;
    Event<> event;
    auto waiter = spawn("waiter", [&] { got.push_back("waiter: " + take(here, 9)); });
    auto late = spawn("late", [&] {
      event.wait();  // has its turn before the waiter's, in the same round
      got.push_back("late: " + take(here, 9));
    });
    yield_until_idle();
    there.write_all("first");
    event.signal();
    waiter.join();
    EXPECT_THAT(got, ElementsAre("waiter: first"));
    there.write_all("second");
    late.join();
    EXPECT_THAT(got, ElementsAre("waiter: first", "late: second"));
  });
}

TEST_F(SocketWaitTest, WhoWasWokenForNothingKeepsHisPlace) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    std::vector<std::string> order;
    auto many = spawn("many", [&] {
      listener.accept_many(9);
      order.push_back("many");
    });
    const auto one = [&](const char* name) {
      return spawn(name, [&, name] {
        listener.accept();
        order.push_back(name);
      });
    };
    auto first = one("first");
    auto second = one("second");
    yield_until_idle();
    std::vector<Socket> clients;
    for (int i = 0; i < 2; ++i) clients.push_back(connect(listener.local_address()));
    yield_until_idle();  // `first` was woken, and found nothing
    clients.push_back(connect(listener.local_address()));
    yield_until_idle();
    clients.push_back(connect(listener.local_address()));
    second.join();
    EXPECT_THAT(order, ElementsAre("many", "first", "second"));
  });
}

TEST_F(SocketWaitTest, SeveralAcceptInTheOrderTheyCame) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    std::vector<std::pair<int, Address>> accepted;
    std::vector<Fiber<void>> fibers;
    for (int i = 0; i < 3; ++i) fibers.push_back(spawn("acceptor", [&, i] { accepted.emplace_back(i, listener.accept().peer_address()); }));
    yield_until_idle();
    std::vector<Socket> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(connect(listener.local_address()));
    for (auto& fiber : fibers) fiber.join();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(accepted[i], std::pair(i, clients[i].local_address()));
  });
}

TEST_F(SocketWaitTest, SeveralWritersGetRidOfAll) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::vector<Fiber<void>> writers;
    for (int i = 0; i < 5; ++i) writers.push_back(spawn("writer", [&] { here.write_all(std::string(1 << 20, 'x')); }));
    yield_until_idle();
    EXPECT_EQ(there.read_exact(5 << 20)->size(), std::size_t{5} << 20);
    for (auto& writer : writers) writer.join();
  });
}

TEST_F(SocketWaitTest, TheEndIsForAllReaders) {
  on_thread([] {
    for (const bool is_tcp : {false, true}) {
      auto ends = is_tcp ? tcp_pair() : Socket::pair();
      Socket& here = ends.first;
      Socket& there = ends.second;
      std::vector<Fiber<Why>> readers;
      for (int i = 0; i < 4; ++i) {
        readers.push_back(spawn("reader", [&] {
          std::array<char, 8> into;
          return here.recv(room_of(into)).why();
        }));
      }
      yield_until_idle();
      there.write_all("last");
      there.close();
      EXPECT_EQ(readers[0].join(), Why::ready);
      for (int i = 1; i < 4; ++i) EXPECT_EQ(readers[i].join(), Why::closed);
    }
  });
}

TEST_F(SocketWaitTest, AResetIsForAllWhoWait) {
  on_thread([] {
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    std::vector<Fiber<void>> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(spawn("reader", [&] { static_cast<void>(here.read_exact(9)); }));
    for (int i = 0; i < 2; ++i) waiters.push_back(spawn("writer", [&] { here.write_all(std::string(20 << 20, 'x')); }));
    yield_until_idle();
    there.set_linger(absl::ZeroDuration());
    there.close();
    int errors = 0;
    for (auto& waiter : waiters) {
      try {
        waiter.join();
      } catch (const IoError&) {
        ++errors;
      }
    }
    EXPECT_GE(errors, 3);  // a reader that comes after the error finds the end
  });
}

TEST_F(SocketWaitTest, OneFibersErrorIsNotAnothers) {
  on_thread([] {
    auto ends = Socket::pair(SOCK_DGRAM);
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto bad = spawn("bad", [&] {
      std::span<std::byte> nowhere(reinterpret_cast<std::byte*>(16), 8);
      static_cast<void>(here.recv(nowhere));
    });
    auto good = spawn("good", [&] { return take(here, 9); });
    yield_until_idle();
    there.write_all("lost");
    there.write_all("x");
    EXPECT_THAT(what_of<IoError>([&] { bad.join(); }), HasSubstr("cannot receive"));
    EXPECT_THAT(good.join(), ::testing::AnyOf("x", "lost"));  // the kernel's choice
  });
}

// --- closing -----------------------------------------------------------------------------------------------------------------

TEST_F(SocketWaitTest, ClosingEndsEveryKindOfWaitByATypedErrorAtOnce) {
  on_virtual_time([](VirtualClock&) {
    const auto expect_closed = [](Socket& socket, const std::function<void()>& wait) {
      auto waiter = spawn("waiter", wait);
      auto limited = spawn("limited", wait);
      yield_until_idle();
      EXPECT_TRUE(waiter.is_alive());
      socket.close();
      yield();
      EXPECT_FALSE(waiter.is_alive());
      EXPECT_THROW(waiter.join(), Closed);
      EXPECT_THROW(limited.join(), Closed);
    };
    Socket listener = listen(Address::loopback(0));
    expect_closed(listener, [&] { listener.accept(); });
    Socket many = listen(Address::loopback(0));
    expect_closed(many, [&] { many.accept_many(3, absl::Hours(1)); });
    auto ends_of_reader = tcp_pair();
    Socket& reader = ends_of_reader.first;
    expect_closed(reader, [&] { static_cast<void>(reader.read_line()); });
    auto ends_of_writer = Socket::pair();
    Socket& writer = ends_of_writer.first;
    expect_closed(writer, [&] { writer.write_all(std::string(10 << 20, 'x')); });
    Socket datagrams = Socket::udp();
    std::array<char, 9> into;
    expect_closed(datagrams, [&] { datagrams.recv_from(room_of(into)); });
    Socket backlogged = Socket::unix_stream();
    backlogged.bind(Address::abstract("closing"));
    backlogged.listen(0);
    Socket first = Socket::unix_stream();
    first.connect(Address::abstract("closing"));
    Socket second = Socket::unix_stream();
    expect_closed(second, [&] { second.connect(Address::abstract("closing")); });
  });
}

TEST_F(SocketWaitTest, MayBeDestroyedAsSoonAsItIsClosed) {
  on_virtual_time([](VirtualClock& clock) {
    auto pair = std::make_unique<std::pair<Socket, Socket>>(Socket::pair());
    std::vector<Fiber<void>> readers;
    const auto read_line = [&](const mothreads::Until& limit) { static_cast<void>(pair->first.read_line(limit)); };
    readers.push_back(spawn("woken", [&] { read_line({}); }));
    readers.push_back(spawn("timed out", [&] { read_line(absl::Seconds(1)); }));
    readers.push_back(spawn("waits", [&] { read_line({}); }));
    Event<> event;
    auto closer = spawn("closer", [&] {
      event.wait();
      pair->first.close();
      pair.reset();
    });
    yield_until_idle();
    pair->second.write_all("x");
    clock.advance(absl::Seconds(1));
    event.signal();
    for (auto& reader : readers) EXPECT_THROW(reader.join(), Closed);
  });
}

TEST_F(SocketWaitTest, ANumberThatIsUsedAgainAtOnceIsAnother) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    const int number = here.native();
    auto old = spawn("old", [&] { return take(here, 9); });
    yield_until_idle();
    here.close();
    Socket again = Socket::udp();
    ASSERT_EQ(again.native(), number);
    again.bind(Address::loopback(0));
    auto fresh = spawn("fresh", [&] { return take(again, 9); });
    EXPECT_THROW(old.join(), Closed);
    yield_until_idle();
    EXPECT_TRUE(fresh.is_alive());
    Socket::udp().send_to("x", again.local_address());
    EXPECT_EQ(fresh.join(), "x");
  });
}

// --- cancelling --------------------------------------------------------------------------------------------------------------

TEST_F(SocketWaitTest, ACancelledWaitTakesNothingFromWhoComesNext) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Socket listener = listen(Address::loopback(0));
    const auto cancel = [](const std::function<void()>& wait) {
      auto fiber = spawn("fiber", wait);
      yield_until_idle();
      EXPECT_TRUE(fiber.is_alive());
      fiber.cancel();
      EXPECT_THROW(fiber.join(), WasCancelled);
    };
    cancel([&] { take(here, 9); });
    there.write_all("kept");
    EXPECT_EQ(take(here, 9), "kept");
    cancel([&] { here.write_all(std::string(10 << 20, 'x')); });
    cancel([&] { listener.accept(); });
    Socket client = connect(listener.local_address());
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
    Socket backlogged = Socket::unix_stream();
    backlogged.bind(Address::abstract("cancelling"));
    backlogged.listen(0);
    Socket first = Socket::unix_stream();
    first.connect(Address::abstract("cancelling"));
    Socket second = Socket::unix_stream();
    cancel([&] { second.connect(Address::abstract("cancelling")); });
  });
}

TEST_F(SocketWaitTest, WhatItIsCancelledOutOfWakesNoLaterWaitOfItsFiber) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    Event<> event;
    bool came = false;
    auto fiber = spawn("fiber", [&] {
      std::array<char, 9> into;
      EXPECT_EQ(here.recv(room_of(into), absl::ZeroDuration()).why(), Why::timed_out);
      event.wait();
      came = true;
    });
    yield_until_idle();
    there.write_all("x");
    yield_until_idle();
    EXPECT_FALSE(came);
    event.signal();
    fiber.join();
    EXPECT_EQ(take(here, 9), "x");
  });
}

// --- limits ------------------------------------------------------------------------------------------------------------------

TEST_F(SocketWaitTest, EachWaitHasItsLimit) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket listener = listen(Address::loopback(0));
    Socket datagrams = Socket::udp();
    std::array<char, 9> into;
    const auto expect_timeout = [&](const std::function<void()>& wait) {
      auto fiber = spawn("fiber", wait);
      yield_until_idle();
      clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
      yield_until_idle();
      EXPECT_TRUE(fiber.is_alive());
      clock.advance(absl::Nanoseconds(1));
      fiber.join();
    };
    const absl::Duration second = absl::Seconds(1);
    expect_timeout([&] { EXPECT_EQ(here.recv(room_of(into), second).why(), Why::timed_out); });
    expect_timeout([&] { EXPECT_THAT(what_of<Timedout>([&] { listener.accept(second); }), HasSubstr("timed out before it could accept")); });
    expect_timeout([&] { EXPECT_THROW(listener.accept_many(3, second), Timedout); });
    expect_timeout([&] { EXPECT_THROW(datagrams.recv_from(room_of(into), second), Timedout); });
    // Twice on one socket, and it still works.
    expect_timeout([&] { EXPECT_THROW(listener.accept(second), Timedout); });
    Socket client = connect(listener.local_address());
    EXPECT_EQ(listener.accept(second).peer_address(), client.local_address());
    // The object's.
    listener.set_timeout(second);
    expect_timeout([&] { EXPECT_THROW(listener.accept(), Timedout); });
    expect_timeout([&] { EXPECT_THROW(listener.accept_many(9), Timedout); });
    datagrams.set_timeout(second);
    expect_timeout([&] { EXPECT_THROW(datagrams.recv_from(room_of(into)), Timedout); });
    const Signal stop;
    stop.go();
    EXPECT_THAT(what_of<Stopped>([&] { listener.accept(stop); }), HasSubstr("stopped before it could accept"));
  });
}

TEST_F(SocketWaitTest, AFullBacklogOfAUnixSocketIsWaitedForWithinTheLimit) {
  on_virtual_time([](VirtualClock& clock) {
    const Address address = Address::abstract("backlog");
    Socket listener = Socket::unix_stream();
    listener.bind(address);
    listener.listen(0);
    Socket first = connect(address);
    Socket second = Socket::unix_stream();
    auto timed = spawn("timed", [&] { second.connect(address, absl::Seconds(1)); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THAT(what_of<Timedout>([&] { timed.join(); }), HasSubstr("connect to @backlog"));
    const Signal stop;
    auto stopped = spawn("stopped", [&] { second.connect(address, stop); });
    yield_until_idle();
    stop.go();  // no time passes
    EXPECT_THROW(stopped.join(), Stopped);
    second.set_timeout(absl::Seconds(1));
    auto of_object = spawn("of object", [&] { second.connect(address); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THROW(of_object.join(), Timedout);
    auto patient = spawn("patient", [&] { second.connect(address, absl::Hours(1)); });
    yield_until_idle();
    Socket accepted = listener.accept();
    clock.advance(absl::Seconds(1));
    patient.join();
    Socket last = listener.accept();
    second.write_all("x");
    EXPECT_EQ(take(last, 9), "x");
  });
}

TEST_F(SocketWaitTest, AConnectionThatNobodyAnswersTimesOut) {
  on_virtual_time([](VirtualClock& clock) {
    // A full backlog: Linux takes one more than it was told, and answers no others.
    Socket listener = Socket::tcp();
    listener.bind(Address::loopback(0));
    listener.listen(0);
    Socket first = connect(listener.local_address());
    std::vector<Fiber<void>> clients;
    std::vector<Socket> sockets(3);
    for (Socket& socket : sockets) {
      socket = Socket::tcp();
      clients.push_back(spawn("client", [&] { socket.connect(listener.local_address(), absl::Seconds(1)); }));
    }
    yield_until_idle();
    auto cancelled = spawn("cancelled", [&] { connect(listener.local_address()); });
    yield_until_idle();
    EXPECT_TRUE(cancelled.is_alive());
    cancelled.cancel();
    clock.advance(absl::Seconds(1));
    for (auto& client : clients) EXPECT_THAT(what_of<Timedout>([&] { client.join(); }), HasSubstr("connect to 127.0.0.1"));
  });
}

// More than the kernel tells of at a time.
TEST_F(SocketWaitTest, WhoWaitsForNothingGetsWhatIsThere) {
  on_thread([] {
    constexpr std::size_t kMany = 400;
    std::vector<std::pair<Socket, Socket>> pairs;
    std::byte room[8];
    for (std::size_t i = 0; i < kMany; ++i) {
      pairs.push_back(Socket::pair());
      EXPECT_EQ(pairs.back().first.recv(room, absl::ZeroDuration()).why(), Why::timed_out);
    }
    for (auto& pair : pairs) EXPECT_EQ(::send(pair.second.native(), "x", 1, 0), 1);
    std::size_t got = 0;
    std::vector<Fiber<void>> readers;
    for (auto& pair : pairs) {
      readers.push_back(spawn("reader", [&got, &pair] {
        std::byte place[8];
        got += pair.first.recv(place, absl::ZeroDuration()).size();
      }));
    }
    for (auto& reader : readers) reader.join();
    EXPECT_EQ(got, kMany);
  });
}

TEST_F(SocketWaitTest, AConnectThatIsCancelledMayHaveLostItsSocket) {
  on_thread([] {
    Socket listener = Socket::tcp();
    listener.bind(Address::loopback(0));
    listener.listen(0);
    Socket fills = connect(listener.local_address());
    auto socket = std::make_unique<Socket>(Socket::tcp());
    auto client = spawn("client", [&, it = socket.get()] { it->connect(listener.local_address()); });
    yield_until_idle();
    ASSERT_TRUE(client.is_alive());
    client.cancel();
    socket->close();
    socket.reset();
    EXPECT_THROW(client.join(), WasCancelled);
  });
}

TEST_F(SocketWaitTest, AFlushThatIsCancelledMayHaveLostItsSocket) {
  on_thread([] {
    auto ends = Socket::pair();
    auto socket = std::make_unique<Socket>(std::move(ends.first));
    socket->set_send_buffer(1);
    auto writer = spawn("writer", [it = socket.get()] {
      while (true) it->write_later(std::string(Socket::kMaxLater, 'x'));
    });
    yield_until_idle();
    ASSERT_TRUE(writer.is_alive());
    writer.cancel();
    socket->close();
    socket.reset();
    EXPECT_THROW(writer.join(), WasCancelled);
  });
}

TEST_F(SocketWaitTest, AFlushEndsWhereAnotherSocketTakesThePlace) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket socket = std::move(ends.first);
    socket.set_send_buffer(1);
    auto writer = spawn("writer", [&socket] {
      while (true) socket.write_later(std::string(Socket::kMaxLater, 'x'));
    });
    yield_until_idle();
    ASSERT_TRUE(writer.is_alive());
    auto others = tcp_pair();
    socket.close();
    socket = std::move(others.first);
    EXPECT_THROW(writer.join(), Closed);
    socket.write_all("y");
    EXPECT_EQ(take(others.second, 9), "y") << "nothing of what was for another";
  });
}

TEST_F(SocketWaitTest, AReadThatIsInterruptedByASignalGoesOn) {
  Signal reads;
  pthread_t thread{};
  struct sigaction action {}, before {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &before);
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  auto host = Thread::run("host", [&](Signal) {
    thread = pthread_self();
    reads.go();
    EXPECT_EQ(take(here, 9), "x");
  });
  reads.wait();
  for (int i = 0; i < 100; ++i) {
    pthread_kill(thread, SIGUSR1);
    mothreads::testing::give_way();
  }
  EXPECT_EQ(::send(there.native(), "x", 1, 0), 1);
  host.join();
  sigaction(SIGUSR1, &before, nullptr);
}

// --- where it may be used ----------------------------------------------------------------------------------------------------

TEST_F(SocketWaitTest, AnotherThreadIsRefusedAndNothingIsTaken) {
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  on_thread([&] {
    EXPECT_EQ(take(here, 1, absl::ZeroDuration()), "");
    there.write_all("kept");
    std::thread([&] {
      EXPECT_THAT(what_of<Misuse>([&] { take(here, 9); }), HasSubstr("release()"));
      EXPECT_THROW(here.write_all("x"), Misuse);
      EXPECT_THROW(here.close(), Misuse);
      EXPECT_THROW(here.connect(Address::loopback(1)), Misuse);
    }).join();
    EXPECT_EQ(take(here, 9), "kept");
  });
}

TEST_F(SocketWaitTest, IsRefusedInAWorldAlsoWhereItNeedsNoWait) {
  auto ends = Socket::pair();
  Socket& here = ends.first;
  Socket& there = ends.second;
  on_thread([&] { there.write_all("kept"); });
  testing::World world;
  world.run([&] {
    EXPECT_THROW(take(here, 9), Misuse);
    EXPECT_THROW(here.write_all("x"), Misuse);
    EXPECT_THROW(Socket::udp().send_to("x", Address::loopback(1)), Misuse);
  });
  on_thread([&] { EXPECT_EQ(take(here, 9), "kept"); });
}

}  // namespace
}  // namespace cooperative
