// A storm of sockets: connections that are written to and read from, reset, closed, cancelled, and time out at any moment; see fiber_storm.h.

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/framed.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/stress/fiber_storm.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;

class SocketStressTest : public FiberStressTest {};

struct Counts {
  int sent = 0;     // messages that were wholly written and waited for
  int echoed = 0;   // those that came back as they were
  int garbled = 0;  // or not
  int accepted = 0;
};

// Gives back message after message, to the end of its client, or its own.
void serve(Socket peer, Chance chance) {
  try {
    while (const ReceivedText message = recv_msg(peer, absl::Milliseconds(100))) {
      if (chance.one_in(50)) peer.set_linger(absl::ZeroDuration());
      if (chance.one_in(40)) return;
      if (chance.one_in(10)) chance.rest();
      send_msg(peer, *message, absl::Milliseconds(100));
    }
  } catch (const Timedout&) {
  } catch (const IoError&) {
  } catch (const CutOff&) {
  }
}

void talk(const Address& server, Counts& counts, Chance chance) {
  try {
    Socket socket = connect(server, absl::Seconds(5));
    if (chance.one_in(10)) socket.set_linger(absl::ZeroDuration());
    for (unsigned messages = chance.below(6); messages > 0; --messages) {
      const std::string message(chance.one_in(8) ? chance.below(200'000) : chance.below(200), static_cast<char>('a' + messages));
      if (chance.one_in(20)) poll_list({{socket.native(), Ready::out}}, chance.moment());
      // One writes while another reads, or an echo that is longer than all buffers would stand still.
      auto writer = spawn("writer", [&] {
        try {
          send_msg(socket, message, absl::Milliseconds(100));
        } catch (const Timedout&) {
        } catch (const IoError&) {
        } catch (const Closed&) {
        }
      });
      if (chance.one_in(30)) {
        chance.rest();
        socket.close();
      }
      if (!socket.is_open()) return;
      const ReceivedText echo = recv_msg(socket, chance.one_in(10) ? chance.moment() : absl::Milliseconds(100));
      if (chance.one_in(2)) writer.join();
      if (!echo) return;
      ++counts.sent;
      if (*echo == message) {
        ++counts.echoed;
      } else {
        ++counts.garbled;
      }
    }
  } catch (const Timedout&) {
  } catch (const IoError&) {
  } catch (const CutOff&) {
  } catch (const Closed&) {
  }
}

void storm(Chance chance, Counts& counts) {
  constexpr int kConnections = 1000;
  Socket listener = listen(chance.one_in(2) ? Address::loopback(0) : Address("::1", 0));
  auto acceptor = spawn("acceptor", [&, chance = Chance(chance.seed())]() mutable {
    FiberGroup peers("peers");
    while (true) {
      for (Socket& peer : listener.accept_many(16)) {
        ++counts.accepted;
        peers.spawn("peer", [peer = std::move(peer), mine = Chance(chance.seed())]() mutable { serve(std::move(peer), mine); });
      }
    }
  });
  std::vector<Fiber<void>> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(spawn("client", [&, mine = Chance(chance.seed())] { talk(listener.local_address(), counts, mine); }));
    if (chance.one_in(5)) chance.rest();
    if (chance.one_in(10)) clients[chance.below(static_cast<unsigned>(clients.size()))].cancel();
  }
  for (auto& client : clients) {
    try {
      client.join();
    } catch (const WasCancelled&) {
    }
  }
  acceptor.cancel();
  try {
    acceptor.join();
  } catch (const WasCancelled&) {
  }
}

TEST_F(SocketStressTest, AThousandConnectionsAreResetCancelledAndTimedOut) {
  Counts counts;
  repeat([&](Chance chance) {
    // Two schedulers at a time, which have nothing in common but the process's descriptors.
    Counts others;
    auto other = Thread::run("other", [&, seed = chance.seed()](Signal) { storm(Chance(seed), others); });
    Thread::run("storm", [&](Signal) { storm(chance, counts); }).join();
    other.join();
    counts.echoed += others.echoed;
    counts.garbled += others.garbled;
    counts.accepted += others.accepted;
  });
  EXPECT_EQ(counts.garbled, 0);
  EXPECT_GT(counts.echoed, 100);
  EXPECT_GT(counts.accepted, 500);
}

// Real time, too. shrapnel cut a limit to milliseconds: less than one was none, and a scheduler spun until it was over.
TEST_F(SocketStressTest, ALimitOfAFractionOfAMillisecondIsOneSleep) {
  Thread::run("host", [](Signal) {
    auto ends = Socket::pair();
    std::byte room[1];
    const std::uint64_t before = Scheduler::current().statistics().sleeps;
    constexpr int kWaits = 100;
    for (int i = 0; i < kWaits; ++i) EXPECT_EQ(ends.first.recv(room, absl::Microseconds(300)).why(), mothreads::Why::timed_out);
    EXPECT_LE(Scheduler::current().statistics().sleeps - before, 2u * kWaits);
  }).join();
}

// Not a storm, but in the kernel's time: it asks again after a second.
TEST_F(SocketStressTest, AConnectThatOutlivedItsLimitIsNotTakenForAnother) {
  for (const bool is_finished : {false, true}) {
    Thread::run("host", [&](Signal) {
      Socket full = Socket::tcp();
      full.bind(Address::loopback(0));
      full.listen(0);
      const Socket first = connect(full.local_address());
      const Socket other = listen(Address::loopback(0));
      Socket socket = Socket::tcp();
      EXPECT_THROW(socket.connect(full.local_address(), absl::Milliseconds(1)), Timedout);
      const Socket accepted = full.accept();
      if (is_finished) static_cast<void>(poll_list({{socket.native(), Ready::out}}));
      try {
        socket.connect(other.local_address());
        ADD_FAILURE() << "it is connected to " << socket.peer_address().to_string();
      } catch (const IoError& error) {
        EXPECT_EQ(error.code(), std::errc::connection_already_in_progress) << error.what();
      }
      socket.connect(full.local_address());
      EXPECT_EQ(socket.peer_address(), full.local_address());
    }).join();
  }
}

}  // namespace
}  // namespace cooperative
