#include "cooperative/io/session.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::internal::io {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::NothingLeft;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// What the sessions of a test share.
struct Sessions {
  absl::Duration limit = absl::InfiniteDuration();
  std::function<void()> before_rest = [] {};
  std::vector<Why> turns;
  std::vector<SessionOwner*> owners;
  int alive = 0;
};

// Echoes lines. "bye" ends it, "throw" too. It goes on after a limit, and says so.
class EchoSession final : public Session {
 public:
  EchoSession(Sessions& its, Socket& client, SessionOwner& owner) : its_(its), client_(client) {
    ++its_.alive;
    its_.owners.push_back(&owner);
  }
  ~EchoSession() override { --its_.alive; }

  std::optional<Rest> serve(Why why, const Signal&) override {
    its_.turns.push_back(why);
    if (why == Why::stopped) {
      client_.write_all("stopped\n");
      return std::nullopt;
    }
    if (why == Why::timed_out) client_.write_all("silent\n");
    while (true) {
      const mothreads::Ended more = client_.fill(absl::ZeroDuration());
      if (more.why() == Why::closed) return std::nullopt;
      if (!more) break;
      while (client_.buffered().find('\n') != std::string_view::npos) {
        const std::string line = *client_.read_line();
        if (line == "throw") throw std::runtime_error("a turn fails");
        client_.write_all(line + "\n");
        if (line == "bye") return std::nullopt;
        if (line == "wait") Signal().wait();
      }
    }
    its_.before_rest();
    return Rest{client_.begin_rest(mothreads::internal::kAccess), its_.limit};
  }

 private:
  Sessions& its_;
  Socket& client_;
};

std::string ask(Socket& client, const std::string& line) {
  client.write_all(line + "\n");
  return *client.read_line();
}

class SessionTest : public NothingLeft {
 protected:
  template <typename F>
  void on_thread(F&& body) {
    mothreads::testing::on_clock(clock, body);
  }
  Server serve(const ServerOptions& options = {}, const Signal& ends_rests = mothreads::NEVER) {
    return serve_sessions(
        listen(Address::loopback(0)),
        [this](Socket& client, SessionOwner& owner, const Signal&) { return std::make_unique<EchoSession>(its, client, owner); }, ends_rests,
        options);
  }

  VirtualClock clock;
  LogLines log;
  Sessions its;
};

TEST_F(SessionTest, ARestNeedsNoFiber) {
  on_thread([this] {
    auto server = serve();
    Socket first = connect(server.address());
    EXPECT_EQ(ask(first, "a"), "a");
    Scheduler::current().set_options({.max_fibers = 3});  // the server, its keeper, and one turn
    std::vector<Socket> clients;
    for (int i = 0; i < 50; ++i) {
      Socket& client = clients.emplace_back(connect(server.address()));
      EXPECT_EQ(ask(client, "x"), "x");
    }
    for (Socket& client : clients) EXPECT_EQ(ask(client, "y"), "y");
    EXPECT_EQ(server.statistics().accepted, 51U);
    EXPECT_EQ(server.statistics().connections, 51U);
    EXPECT_EQ(its.alive, 51);
    clients.clear();
    while (server.statistics().connections > 1) yield_until_idle(absl::ZeroDuration());
    EXPECT_EQ(its.alive, 1);
    server.stop().join();
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(SessionTest, ItsLimitEndsARest) {
  on_thread([this] {
    its.limit = absl::Seconds(5);
    auto server = serve();
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "a"), "a");
    yield_until_idle();
    clock.advance(absl::Seconds(5) - absl::Nanoseconds(1));
    EXPECT_EQ(ask(client, "b"), "b");  // the limit counts from the begin of each rest
    yield_until_idle();
    clock.advance(absl::Seconds(5) - absl::Nanoseconds(1));
    yield_until_idle();
    EXPECT_THAT(its.turns, ElementsAre(Why::ready, Why::ready));
    clock.advance(absl::Nanoseconds(1));
    EXPECT_EQ(*client.read_line(), "silent");
    EXPECT_EQ(ask(client, "c"), "c");
    EXPECT_THAT(its.turns, ElementsAre(Why::ready, Why::ready, Why::timed_out, Why::ready));
  });
}

TEST_F(SessionTest, AStopEndsARest) {
  on_thread([this] {
    auto server = serve();
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(a, "a"), "a");
    EXPECT_EQ(ask(b, "b"), "b");
    yield_until_idle();
    server.stop().join();
    EXPECT_EQ(*a.read_all(100), "stopped\n");
    EXPECT_EQ(*b.read_all(100), "stopped\n");
    EXPECT_EQ(server.statistics().cancelled, 0U);
  });
}

TEST_F(SessionTest, ItsSignalEndsARestAndThoseThatAreTriedLater) {
  on_thread([this] {
    const Signal ends("ends");
    auto server = serve({}, ends);
    Socket resting = connect(server.address());
    EXPECT_EQ(ask(resting, "a"), "a");
    yield_until_idle();
    ends.go();
    EXPECT_EQ(*resting.read_all(100), "stopped\n");
    Socket late = connect(server.address());
    EXPECT_EQ(*late.read_all(100), "stopped\n");
    EXPECT_FALSE(server.stopped());
  });
}

TEST_F(SessionTest, ARestIsEndedByHand) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "a"), "a");
    yield_until_idle();
    const std::size_t turns = its.turns.size();
    its.owners[0]->end_rest();
    its.owners[0]->end_rest();  // the rest has ended already
    yield_until_idle();
    EXPECT_EQ(its.turns.size(), turns + 1);
    EXPECT_EQ(its.turns.back(), Why::ready);
    EXPECT_EQ(ask(client, "b"), "b");
  });
}

TEST_F(SessionTest, AFiberBelowTheOwnerOutlivesTurns) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "a"), "a");
    yield_until_idle();
    bool is_told = false;
    cooperative::spawn({.name = "stays", .parent = its.owners[0]->parent()}, [&](const Signal& please_stop) {
      please_stop.wait();
      is_told = true;
    }).release();
    EXPECT_EQ(ask(client, "b"), "b");
    client.close();
    yield_until_idle();
    EXPECT_EQ(its.alive, 0);
    EXPECT_FALSE(is_told);
    server.stop().join();
    EXPECT_TRUE(is_told);
  });
}

// Between the last read and the rest: the first time the descriptor is not watched yet, later the edge comes before anybody waits for it.
TEST_F(SessionTest, BytesThatComeJustBeforeARestAreNotMissed) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    int left = 5;
    its.before_rest = [&] {
      if (left-- > 0) client.write_all("more\n");
    };
    EXPECT_EQ(ask(client, "a"), "a");
    for (int i = 0; i < 5; ++i) EXPECT_EQ(*client.read_line(), "more");
    EXPECT_EQ(ask(client, "b"), "b");
    its.before_rest = [] {};  // the session outlives what it used
  });
}

TEST_F(SessionTest, AThousandRestsOfOneConnection) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(ask(client, std::to_string(i)), std::to_string(i));
    EXPECT_GE(its.turns.size(), 1000U);
    EXPECT_EQ(server.statistics().accepted, 1U);
  });
}

TEST_F(SessionTest, AClientThatGoesEndsARest) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "a"), "a");
    client.abort();
    while (server.statistics().connections > 0) yield_until_idle(absl::ZeroDuration());
    EXPECT_EQ(its.alive, 0);
  });
}

TEST_F(SessionTest, ATurnThatThrowsEndsItsConnectionAlone) {
  on_thread([this] {
    auto server = serve();
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(a, "a"), "a");
    EXPECT_EQ(ask(b, "b"), "b");
    a.write_all("throw\n");
    EXPECT_EQ(*a.read_all(10), "");
    EXPECT_EQ(ask(b, "c"), "c");
    EXPECT_EQ(server.statistics().failed, 1U);
  });
  EXPECT_THAT(log.with("a turn fails"), SizeIs(1));
}

TEST_F(SessionTest, ConnectionsThatRestCountAmongThoseThatMayBe) {
  on_thread([this] {
    auto server = serve({.max_connections = 2});
    Socket a = connect(server.address());
    Socket b = connect(server.address());
    EXPECT_EQ(ask(a, "a"), "a");
    EXPECT_EQ(ask(b, "b"), "b");
    Socket c = connect(server.address());
    c.write_all("c\n");
    yield_until_idle();
    EXPECT_EQ(server.statistics().accepted, 2U);
    EXPECT_EQ(ask(a, "bye"), "bye");
    EXPECT_EQ(*c.read_line(), "c");
  });
}

// What has waited so long waits on.
TEST_F(SessionTest, ForWantOfAFiberATurnComesLater) {
  on_thread([this] {
    auto server = serve();
    Socket client = connect(server.address());
    EXPECT_EQ(ask(client, "a"), "a");
    yield_until_idle();
    Scheduler::current().set_options({.max_fibers = 2});  // the server and its keeper
    client.write_all("b\n");
    yield_until_idle();
    Scheduler::current().set_options({.max_fibers = 3});
    clock.advance(kAcceptPause);
    EXPECT_EQ(*client.read_line(), "b");
    EXPECT_EQ(server.statistics().failed, 0U);
  });
  EXPECT_THAT(log.with("cannot take connections for now"), SizeIs(1));
}

// One is served, and does not end, when the drain is over: the others begin no turn any more.
TEST_F(SessionTest, AfterTheDrainThoseThatRestAreClosed) {
  on_thread([this] {
    auto server = serve({.drain = absl::ZeroDuration()});
    Socket busy = connect(server.address());
    EXPECT_EQ(ask(busy, "wait"), "wait");
    std::vector<Socket> rest;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(rest.emplace_back(connect(server.address())), "a"), "a");
    yield_until_idle();
    server.stop().join();
    EXPECT_EQ(its.alive, 0);
    EXPECT_EQ(server.statistics().cancelled, 1U);
    for (Socket& client : rest) EXPECT_TRUE(client.read_all(100));
  });
}

TEST_F(SessionTest, AServerThatIsCancelledClosesThoseThatRest) {
  on_thread([this] {
    Socket client = Socket::tcp();
    auto owner = cooperative::spawn("owner", [&] {
      auto server = serve();
      client.connect(server.address());
      EXPECT_EQ(ask(client, "a"), "a");
      yield_until_idle();
      its.before_rest = [] { FAIL() << "another rest"; };
      throw std::runtime_error("unwinds");
    });
    EXPECT_THROW(owner.join(), std::runtime_error);
    EXPECT_EQ(*client.read_all(100), "stopped\n");
    EXPECT_EQ(its.alive, 0);
  });
}

}  // namespace
}  // namespace cooperative::internal::io
