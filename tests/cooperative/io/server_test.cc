#include "cooperative/io/server.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/socket.h"
#include "cooperative/pulse.h"
#include "cooperative/sleep.h"
#include "mothreads/drain_hold.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/log_lines.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/virtual_time.h"

namespace cooperative {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::NothingLeft;
using mothreads::testing::VirtualClock;
using ::testing::HasSubstr;

const Address kAnywhere = Address::loopback(0);

void echo_lines(Socket& client) {
  while (auto line = client.read_line()) client.write_all(*line + "\n");
}

std::string ask(Socket& client, const std::string& line) {
  client.write_all(line + "\n");
  return *client.read_line();
}

// The bodies run on a thread of their own, whose scheduler ends with them, on a clock that stands still.
class ServerTest : public NothingLeft {
 protected:
  template <typename F>
  void on_thread(F&& body) {
    mothreads::testing::on_clock(clock, body);
  }

  VirtualClock clock;
  LogLines log;
};

TEST_F(ServerTest, GivesEachConnectionAFiber) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(b, "first"), "first");
    EXPECT_EQ(ask(a, "second"), "second");
    EXPECT_EQ(server.statistics().accepted, 2U);
    EXPECT_EQ(server.statistics().connections, 2U);
    a.close();
    while (server.statistics().connections > 1) yield_until_idle(absl::ZeroDuration());
    EXPECT_EQ(ask(b, "third"), "third");
    b.close();
  });
}

TEST_F(ServerTest, ListensOnLoopbackOnlyWhereThatWasSaid) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    EXPECT_EQ(server.address().ip(), "127.0.0.1");
    EXPECT_NE(server.port(), 0);
  });
}

TEST_F(ServerTest, AnAddressInUseIsRefusedWithItsName) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    try {
      auto second = serve_tcp(server.address(), echo_lines);
      FAIL() << "two servers on one address";
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), std::errc::address_in_use);
      EXPECT_THAT(error.what(), HasSubstr(server.address().to_string()));
    }
  });
}

// --- the end -----------------------------------------------------------------------------------------------------------------

TEST_F(ServerTest, StoppedBeforeItRanItEndsAtOnce) {
  on_thread([] { serve_tcp(kAnywhere, echo_lines).stop().join(); });
}

TEST_F(ServerTest, ServesUntilItIsStopped) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines);
    EXPECT_THROW(server.join(absl::ZeroDuration()), Timedout);
    const Address address = server.address();
    server.stop().join();
    EXPECT_THROW(connect(address), IoError);
  });
}

TEST_F(ServerTest, AStopLetsARequestUnderWayFinish) {
  on_thread([] {
    Event<> asked;
    Event<> may_answer;
    auto server = serve_tcp(kAnywhere, [&](Socket& client) {
      const Text line = client.read_line();
      asked.signal();
      may_answer.wait();
      client.write_all("answer to " + *line + "\n");
    });
    Socket client = connect(server.address());
    client.write_all("question\n");
    asked.wait();
    server.stop();
    yield_until_idle(absl::ZeroDuration());
    EXPECT_THROW(server.join(absl::ZeroDuration()), Timedout);
    EXPECT_THROW(connect(server.address()), IoError);  // nobody else comes in
    may_answer.signal();
    EXPECT_EQ(*client.read_line(), "answer to question");
    EXPECT_EQ(client.read_line().why(), Why::closed);
    server.join();
  });
}

TEST_F(ServerTest, AHandlerWithAPleaseStopMayEndBetweenTwoRequests) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, [](Socket& client, const Signal& please_stop) {
      while (auto line = client.read_line(please_stop)) client.write_all(*line + "\n");
      client.write_all("bye\n");
    });
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    server.stop();
    EXPECT_EQ(*client.read_line(), "bye");
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(ServerTest, WhatHasNotEndedAfterTheDrainIsCancelledAndSaid) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.name = "echo", .drain = absl::Seconds(10)});
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    server.stop();
    auto time = Thread::run("advancer", [this](const Signal&) {
      clock.await_timers(2);  // the deadline of the stop, and the end of the drain
      clock.advance(absl::Seconds(10));
    });
    server.join();
    EXPECT_EQ(client.read_line().why(), Why::closed);
    EXPECT_EQ(server.statistics().cancelled, 1U);
    EXPECT_EQ(log.with("echo: tcp socket " + server.address().to_string() + " to " + client.local_address().to_string() + " was cancelled").size(), 1U);
    time.join();
  });
}

// It threw WasCancelled, as if the server had failed.
TEST_F(ServerTest, AJoinReturnsWhenADeadlineCutsTheDrain) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.name = "echo", .drain = absl::InfiniteDuration()});
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    server.stop();
    auto time = Thread::run("advancer", [this](const Signal&) {
      clock.await_timers(1);
      clock.advance(mothreads::kDefaultStopDeadline);
    });
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 1U);
    EXPECT_EQ(server.statistics().connections, 0U);
    time.join();
  });
}

// Both the handler, which had begun, and the one who started it counted it.
TEST_F(ServerTest, AConnectionThatIsTakenBehindTheDeadlineIsCancelledOnce) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.drain = absl::InfiniteDuration()});
    Event<> stopping;
    auto time = spawn("time", [&] {
      stopping.wait();
      clock.advance(mothreads::kDefaultStopDeadline);
    });
    yield_until_idle();
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(client, server.address().native(), server.address().size()), 0) << "in the backlog";
    stopping.signal();
    server.stop();
    time.join();
    server.join();
    EXPECT_EQ(server.statistics().accepted, 1U);
    EXPECT_EQ(server.statistics().cancelled, 1U);
    ::close(client);
  });
}

TEST_F(ServerTest, AHandlerThatStopsItsServerWithoutAGraceIsCancelledOnce) {
  on_thread([] {
    mothreads::set_stop_deadline(absl::ZeroDuration());
    const absl::Cleanup restore = [] { mothreads::set_stop_deadline(mothreads::kDefaultStopDeadline); };
    Server* its_server = nullptr;
    auto server = serve_tcp(kAnywhere, [&](Socket& client) {
      its_server->stop();
      for (int i = 0; i < 100; ++i) client.write_all("x");
      yield();
    });
    its_server = &server;
    Socket client = connect(server.address());
    server.join();
    EXPECT_EQ(server.statistics().accepted, 1U);
    EXPECT_EQ(server.statistics().cancelled, 1U);
  });
}

// --- a stop that is announced ----------------------------------------------------------------------------------------------------

TEST_F(ServerTest, WhenTheStopIsAnnouncedItTakesNoMoreAndTellsNobody) {
  on_thread([] {
    const Signal draining("draining");
    Signal told;
    auto server = serve_tcp(
        kAnywhere,
        [&](Socket& client, const Signal& please_stop) {
          please_stop.then([told] { told.go(); });
          echo_lines(client);
        },
        {.draining = draining});
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    draining.go();
    yield_until_idle();
    EXPECT_THROW(connect(server.address()), IoError);
    EXPECT_EQ(ask(client, "two"), "two");
    EXPECT_FALSE(told);
    EXPECT_FALSE(server.stopped());
    server.stop();
    yield();
    EXPECT_TRUE(told);
    client.close();
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(ServerTest, AnAnnouncedStopEndsItWhenItsLastConnectionEnds) {
  on_thread([] {
    const Signal draining("draining");
    auto server = serve_tcp(kAnywhere, echo_lines, {.draining = draining});
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    draining.go();
    client.close();
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(ServerTest, TheProgramsAnnouncementIsTheDefault) {
  const int code = mothreads::MainThread::run(
      [](const Signal& please_stop) {
        auto server = serve_tcp(kAnywhere, echo_lines);
        auto deaf = serve_tcp(kAnywhere, echo_lines, {.draining = mothreads::NEVER});
        {
          const mothreads::DrainHold hold("the test");
          mothreads::MainThread::drain();
          server.join();
          connect(deaf.address()).close();
          EXPECT_FALSE(please_stop);
        }
        EXPECT_TRUE(please_stop);
        deaf.stop().join();
        return 0;
      },
      {.drain = absl::InfiniteDuration()});
  EXPECT_EQ(code, 0);
}

TEST_F(ServerTest, ItsDestructorStopsIt) {
  on_thread([] {
    Address address;
    {
      auto server = serve_tcp(kAnywhere, echo_lines);
      address = server.address();
    }
    EXPECT_THROW(connect(address), IoError);
  });
}

TEST_F(ServerTest, TheStopOfItsThreadStopsIt) {
  Signal serves;
  auto thread = Thread::run("server", [&](const Signal&) {
    auto server = serve_tcp(kAnywhere, [](Socket& client, const Signal& please_stop) { static_cast<void>(client.read_line(please_stop)); });
    Socket client = connect(server.address());
    while (server.statistics().connections == 0) yield();
    serves.go();
    server.join();
  });
  serves.wait();
  thread.stop().join();
}

TEST_F(ServerTest, EveryRequestInFlightAtAStopIsAnswered) {
  static constexpr int kRequests = 1000;
  on_thread([] {
    Event<> go_on(Reset::manual);
    int begun = 0;
    Pulse all_begun;
    auto server = serve_tcp(kAnywhere, [&](Socket& client) {
      const Text line = client.read_line();
      if (++begun == kRequests) all_begun.signal();
      go_on.wait();
      client.write_all("answer to " + *line + "\n");
    });
    std::vector<Socket> clients;
    for (int i = 0; i < kRequests; ++i) {
      clients.push_back(connect(server.address()));
      clients.back().write_all(std::to_string(i) + "\n");
    }
    if (begun < kRequests) all_begun.wait();
    server.stop();
    yield();
    go_on.signal();
    for (int i = 0; i < kRequests; ++i) EXPECT_EQ(*clients[static_cast<std::size_t>(i)].read_line(), "answer to " + std::to_string(i));
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(ServerTest, NoRequestInFlightIsLostSilently) {
  static constexpr std::size_t kRequests = 1000;
  on_thread([this] {
    Event<> never;
    std::size_t begun = 0;
    Pulse all_begun;
    auto server = serve_tcp(
        kAnywhere,
        [&](Socket& client) {
          static_cast<void>(client.read_line());
          if (++begun == kRequests) all_begun.signal();
          never.wait();
        },
        {.drain = absl::ZeroDuration()});
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < kRequests; ++i) {
      clients.push_back(connect(server.address()));
      clients.back().write_all("question\n");
    }
    if (begun < kRequests) all_begun.wait();
    server.stop().join();
    for (Socket& client : clients) EXPECT_EQ(client.read_line().why(), Why::closed);
    EXPECT_EQ(server.statistics().cancelled, kRequests);
    EXPECT_EQ(log.with("was cancelled: it had not ended in time").size(), kRequests);
  });
}

// --- limits ------------------------------------------------------------------------------------------------------------------

// A client that is connected by the kernel, as others do while no fiber runs.
class RawClient {
 public:
  explicit RawClient(const Address& server, const std::string& line) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(::connect(socket_, server.native(), server.size()), 0);
    EXPECT_EQ(::send(socket_, line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { ::close(socket_); }
  // All that comes, to the end.
  std::string read() const {
    std::string all(100, '\0');
    std::size_t size = 0;
    for (ssize_t got; (got = ::recv(socket_, all.data() + size, all.size() - size, 0)) > 0;) size += static_cast<std::size_t>(got);
    all.resize(size);
    return all;
  }

 private:
  int socket_;
};

void answer_one_line(Socket& client) {
  if (auto line = client.read_line()) client.write_all("answer to " + *line + "\n");
}

TEST_F(ServerTest, WhoWaitsInTheBacklogAtAStopIsServed) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, answer_one_line);
    yield_until_idle(absl::ZeroDuration());
    const RawClient a(server.address(), "a\n");
    const RawClient b(server.address(), "b\n");
    server.stop().join();
    EXPECT_EQ(a.read(), "answer to a\n");
    EXPECT_EQ(b.read(), "answer to b\n");
    EXPECT_EQ(server.statistics().accepted, 2U);
  });
}

TEST_F(ServerTest, WhoIsTooManyInTheBacklogAtAStopIsClosedAndTheLogSaysSo) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, [](Socket& client) { client.write_all(*client.read_line()); }, {.max_connections = 1});
    Socket first = connect(server.address());
    while (server.statistics().connections == 0) yield_until_idle(absl::ZeroDuration());
    const RawClient a(server.address(), "a\n");
    const RawClient b(server.address(), "b\n");
    server.stop();
    first.write_all("x\n");
    server.join();
    EXPECT_EQ(a.read(), "");
    EXPECT_EQ(b.read(), "");
    EXPECT_EQ(*first.read_all(10), "x");
  });
  EXPECT_THAT(log.with("2 connections that waited when it was told to stop were closed: there were 1 under way already"), ::testing::SizeIs(1));
}

TEST_F(ServerTest, AConnectionThatCanHaveNoStackIsClosedAndTheServerGoesOn) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, answer_one_line, {.stack_size = std::size_t{1} << 60});
    const RawClient a(server.address(), "a\n");
    auto time = spawn("time", [&] {
      while (server.statistics().failed < 2) {
        yield_until_idle(absl::ZeroDuration());
        clock.advance(kAcceptPause);
      }
    });
    const RawClient b(server.address(), "b\n");
    time.join();
    EXPECT_EQ(a.read(), "");
    EXPECT_EQ(b.read(), "");
    server.stop().join();
  });
  EXPECT_THAT(log.with("what had just been taken was closed: fiber \"server's connection\" cannot have a stack"), ::testing::SizeIs(2));
  EXPECT_THAT(log.with("cannot take connections for now"), ::testing::SizeIs(1));
}

TEST_F(ServerTest, MoreThanMayRunAreClosedAndTheServerGoesOnAndStops) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, answer_one_line);
    yield_until_idle(absl::ZeroDuration());
    set_max_fibers(1);  // the server itself
    const RawClient lost(server.address(), "lost\n");
    while (server.statistics().failed == 0) yield_until_idle(absl::ZeroDuration());
    EXPECT_EQ(lost.read(), "");
    const RawClient late(server.address(), "late\n");
    server.stop().join();
    EXPECT_EQ(late.read(), "");
  });
  EXPECT_THAT(log.with("what had just been taken was closed"), ::testing::SizeIs(2));
}

TEST_F(ServerTest, NoLimitOfConnectionsAtAllIsRefused) {
  on_thread([] { EXPECT_THROW(static_cast<void>(serve_tcp(kAnywhere, echo_lines, {.max_connections = 0})), mothreads::Misuse); });
}

TEST_F(ServerTest, OneConnectionTooManyWaitsUntilAnotherEnds) {
  on_thread([] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.max_connections = 2});
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(a, "a"), "a");
    EXPECT_EQ(ask(b, "b"), "b");
    Socket c = connect(server.address());
    c.write_all("c\n");
    yield_until_idle();
    EXPECT_EQ(server.statistics().connections, 2U);
    EXPECT_EQ(server.statistics().accepted, 2U);
    a.close();
    EXPECT_EQ(*c.read_line(), "c");
    EXPECT_EQ(server.statistics().accepted, 3U);
  });
}

TEST_F(ServerTest, AnIdleConnectionEndsByItsLimit) {
  on_thread([this] {
    auto server = serve_tcp(
        kAnywhere,
        [](Socket& client) {
          const Text line = client.read_line();
          client.write_all(line.why() == Why::timed_out ? "too slow\n" : "in time\n");
        },
        {.idle_timeout = absl::Seconds(5)});
    Socket client = connect(server.address());
    client.write_all("half a li");
    auto time = mothreads::testing::advance_once_awaited(clock, absl::Seconds(5));
    EXPECT_EQ(*client.read_line(), "too slow");
    time.join();
  });
}

TEST_F(ServerTest, WithoutDescriptorsItWaitsForAConnectionToEndAndGoesOn) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.name = "echo"});
    Socket first = connect(server.address());
    EXPECT_EQ(ask(first, "first"), "first");
    Socket second = Socket::tcp();  // the client's, which has its own already
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{.rlim_cur = static_cast<rlim_t>(second.native()) + 1, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    second.connect(server.address());  // by the system, which has not asked the server
    second.write_all("second\n");
    while (log.with("echo cannot take connections for now").empty()) yield();
    first.close();  // its end, and the server's of it, are two descriptors
    const Text answer = second.read_line();
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(*answer, "second");
    EXPECT_EQ(log.with("echo cannot take connections for now").size(), 1U);
  });
}

// By somebody else's descriptors: nothing tells it, so it looks again.
TEST_F(ServerTest, WithoutDescriptorsItTriesAgainAfterAPauseAndEachShortageIsSaid) {
  on_thread([this] {
    auto server = serve_tcp(kAnywhere, echo_lines, {.name = "echo"});
    yield_until_idle(absl::ZeroDuration());
    for (std::size_t shortage = 1; shortage <= 2; ++shortage) {
      Socket client = Socket::tcp();
      rlimit before{};
      ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
      const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
      ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
      client.connect(server.address());  // by the system, which has not asked the server
      while (log.with("echo cannot take connections for now").size() < shortage) yield();
      ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
      yield_until_idle(absl::ZeroDuration());
      EXPECT_EQ(server.statistics().connections, 0U);
      clock.advance(kAcceptPause);
      EXPECT_EQ(ask(client, "asked"), "asked");
      client.close();
      while (server.statistics().connections > 0) yield();
    }
    EXPECT_EQ(log.with("echo cannot take connections for now").size(), 2U);
  });
}

// --- handlers ----------------------------------------------------------------------------------------------------------------

TEST_F(ServerTest, WhatAHandlerThrowsEndsItsConnectionOnly) {
  on_thread([this] {
    auto server = serve_tcp(
        kAnywhere,
        [](Socket& client) {
          while (auto line = client.read_line()) {
            if (*line == "fail") throw std::runtime_error("as it was told");
            client.write_all(*line + "\n");
          }
        },
        {.name = "echo"});
    Socket bad = connect(server.address());
    Socket good = connect(server.address());
    bad.write_all("fail\n");
    EXPECT_EQ(bad.read_line().why(), Why::closed);
    EXPECT_EQ(ask(good, "still"), "still");
    EXPECT_EQ(server.statistics().failed, 1U);
    const auto lines = log.with("as it was told");
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].level, mothreads::log::Level::error);
    EXPECT_THAT(lines[0].text, HasSubstr("echo: tcp socket"));
  });
}

TEST_F(ServerTest, AClientThatResetsIsNoErrorOfTheServers) {
  on_thread([this] {
    Event<> ended;
    auto server = serve_tcp(kAnywhere, [&](Socket& client) {
      absl::Cleanup say = [&] { ended.signal(); };
      echo_lines(client);
    });
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "one"), "one");
    client.set_linger(absl::ZeroDuration());
    client.close();
    ended.wait();
    while (server.statistics().connections > 0) yield();
    const auto lines = log.with("Connection reset");
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].level, mothreads::log::Level::info);
  });
}

// --- kinds -------------------------------------------------------------------------------------------------------------------

TEST_F(ServerTest, OnAUnixSocketItRemovesThePathAtTheEnd) {
  std::string folder = "/tmp/server_test_XXXXXX";  // a socket's path must be short
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/socket";
  on_thread([&] {
    auto server = serve_unix(path, echo_lines);
    Socket client = connect(Address::unix_path(path));
    EXPECT_EQ(ask(client, "here"), "here");
    client.close();
    server.stop().join();
  });
  struct stat status {};
  EXPECT_NE(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

TEST_F(ServerTest, OfDatagramsGivesEachAFiber) {
  on_thread([] {
    auto server = serve_udp(kAnywhere, [](DatagramRequest& request) { request.socket.send_to("got " + request.data, request.from); });
    FiberGroup clients("clients");
    for (int i = 0; i < 50; ++i) {
      clients.spawn("client", [&server, i] {
        Socket socket = Socket::udp();
        socket.bind(kAnywhere);
        const std::string text = std::to_string(i);
        socket.send_to(text, server.address());
        std::byte room[100];
        const Datagram answer = socket.recv_from(room);
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(room), answer.size), "got " + text);
        EXPECT_EQ(answer.from, server.address());
      });
    }
    clients.join();
    EXPECT_EQ(server.statistics().accepted, 50U);
  });
}

// Who asks over datagrams: an answer to each.
std::string ask_by_datagram(Socket& socket, const std::string& text, const Address& server) {
  socket.send_to(text, server);
  std::string room(100, '\0');
  room.resize(socket.recv_from(std::as_writable_bytes(std::span(room))).size);
  return room;
}

TEST_F(ServerTest, ADatagramThatAHandlerTookItselfHoldsUpNobody) {
  on_thread([] {
    Socket client = Socket::udp();
    client.bind(kAnywhere);
    auto server = serve_udp(kAnywhere, [](DatagramRequest& request) {
      std::string next(10, '\0');
      next.resize(request.socket.recv_from(std::as_writable_bytes(std::span(next))).size);
      request.socket.send_to(request.data + next, request.from);
    });
    client.send_to("a", server.address());
    EXPECT_EQ(ask_by_datagram(client, "b", server.address()), "ab");
    server.stop().join();
  });
}

TEST_F(ServerTest, OfDatagramsStopsAsTheOthersDo) {
  on_thread([this] {
    Socket client = Socket::udp();
    client.bind(kAnywhere);
    Event is_at_it;
    auto server = serve_udp(
        kAnywhere,
        [&](DatagramRequest& request, const Signal& please_stop) {
          if (request.data == "throw") throw std::runtime_error("a bad datagram");
          if (request.data == "polite") {
            is_at_it.signal();
            please_stop.wait();
            request.socket.send_to("goodbye", request.from);
          }
          if (request.data == "stubborn") Signal("what never comes").wait();
        },
        {.max_connections = 3});
    client.send_to("throw", server.address());
    client.send_to("stubborn", server.address());
    client.send_to("polite", server.address());
    is_at_it.wait();
    server.stop();
    std::string room(100, '\0');
    room.resize(client.recv_from(std::as_writable_bytes(std::span(room))).size);
    EXPECT_EQ(room, "goodbye");
    EXPECT_FALSE(server.stopped());
    auto time = Thread::run("advancer", [this](const Signal&) {
      clock.await_timers(2);  // the deadline of the stop, and the end of the drain
      clock.advance(absl::Seconds(10));
    });
    server.join();
    time.join();
    EXPECT_EQ(server.statistics().accepted, 3U);
    EXPECT_EQ(server.statistics().failed, 1U);
    EXPECT_EQ(server.statistics().cancelled, 1U);
  });
  EXPECT_THAT(log.with("failed: a bad datagram"), ::testing::SizeIs(1));
  EXPECT_THAT(log.with("was cancelled: it had not ended in time"), ::testing::SizeIs(1));
}

TEST_F(ServerTest, OfDatagramsOnAUnixSocketRemovesThePathAtTheEnd) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder("/tmp");
    Socket client = Socket::unix_datagram();
    client.bind(Address::unix_path(folder.path("client")));
    auto server = serve_udp(Address::unix_path(folder.path("server")),
                            [](DatagramRequest& request) { request.socket.send_to("got " + request.data, request.from); });
    EXPECT_EQ(ask_by_datagram(client, "x", server.address()), "got x");
    server.stop().join();
    EXPECT_THAT(folder.names(), ::testing::ElementsAre("client"));
  });
}

TEST_F(ServerTest, TakesASocketThatListensAlready) {
  on_thread([] {
    Socket listener = listen(kAnywhere, {.reuse_port = true});
    const Address address = listener.local_address();
    auto server = serve(std::move(listener), echo_lines);
    auto second = serve_tcp(address, echo_lines, {.reuse_port = true});
    Socket client = connect(address);
    EXPECT_EQ(ask(client, "one of them"), "one of them");
  });
}

}  // namespace
}  // namespace cooperative
