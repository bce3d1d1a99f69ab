#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/pulse.h"
#include "cooperative/sleep.h"
#include "mothreads/drain_hold.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/line_server.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using testing::ask;
using testing::echo_lines;
using testing::kAnywhere;
using testing::ServerTest;

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
      const ReceivedText line = client.read_line();
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
      const ReceivedText line = client.read_line();
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

}  // namespace
}  // namespace cooperative
