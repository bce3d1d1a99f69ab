#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/io/line_server.h"
#include "tests/support/descriptor_limit.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Why;
using testing::ask;
using testing::DescriptorLimit;
using testing::echo_lines;
using testing::kAnywhere;
using testing::ServerTest;

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
    Scheduler::current().set_options({.max_fibers = 1});  // the server itself
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
          const ReceivedText line = client.read_line();
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
    std::optional<DescriptorLimit> limit(static_cast<rlim_t>(second.native()) + 1);
    second.connect(server.address());  // by the system, which has not asked the server
    second.write_all("second\n");
    while (log.with("echo cannot take connections for now").empty()) yield();
    first.close();  // its end, and the server's of it, are two descriptors
    const ReceivedText answer = second.read_line();
    limit.reset();
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
      std::optional<DescriptorLimit> none(rlim_t{0});
      client.connect(server.address());  // by the system, which has not asked the server
      while (log.with("echo cannot take connections for now").size() < shortage) yield();
      none.reset();
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

}  // namespace
}  // namespace cooperative
