// Two WebSockets, and all at once: writers of whole messages and of pieces, pings, readers that are cancelled, a connection that takes few bytes
// at a time. The order in which the fibers go on is drawn from a seed.

#include <cstddef>
#include <map>
#include <memory>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/websocket.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using internal::WebSocketFrames;
using mothreads::Signal;
using testing::NarrowStream;

constexpr int kWriters = 3;
constexpr int kMessages = 8;
constexpr std::size_t kMost = 60;  // bytes of a message

class Storm {
 public:
  explicit Storm(unsigned seed) : random_(seed) {}

  void run() {
    auto wires = spawn("wires", [this](const Signal& stop) {
      while (!stop) {
        carry(left_.stream, right_.stream);
        carry(right_.stream, left_.stream);
        yield();
      }
    });
    auto other = spawn("right", [this] { talk(right_); });
    talk(left_);
    other.join();
    wires.stop().join();
    for (Side* side : {&left_, &right_}) {
      EXPECT_EQ(side->got, expected());
      EXPECT_EQ(side->socket.close_code(), 1000);
    }
  }

 private:
  struct Side {
    explicit Side(WebSocketFrames::Role role)
        : socket(std::make_unique<WebSocketFrames>(stream, role, WebSocketOptions{.max_message = kMost, .max_frame = 16}, ""), mothreads::internal::kAccess) {}
    NarrowStream stream;
    WebSocket socket;
    std::map<char, std::string> got;  // of each writer, the numbers of its messages
  };

  static std::map<char, std::string> expected() {
    std::map<char, std::string> all;
    for (int writer = 0; writer < kWriters; ++writer) {
      for (int i = 0; i < kMessages; ++i) all[static_cast<char>('a' + writer)] += static_cast<char>('0' + i);
    }
    return all;
  }

  std::size_t draw(std::size_t below) { return random_() % below; }
  void pause() {
    for (std::size_t turns = draw(4); turns > 0; --turns) yield();
  }

  void carry(NarrowStream& from, NarrowStream& to) {
    if (draw(3) == 0) return;
    if (!from.output().empty()) to.send(from.take_output());
    from.give_room(draw(20));
  }

  void write(WebSocket& socket, char writer) {
    for (int i = 0; i < kMessages; ++i) {
      const std::string text = std::string{writer, static_cast<char>('0' + i)} + std::string(draw(kMost - 2), writer);
      if (draw(2) == 0) {
        socket.write_text(text);
      } else {
        WebSocketWriter out = socket.begin_text();
        for (std::size_t at = 0, size = 0; at < text.size(); at += size) {
          size = 1 + draw(30);
          out.write(text.substr(at, size));
          pause();
        }
        out.end();
      }
      if (draw(2) == 0) socket.ping(text.substr(0, 2));
      pause();
    }
  }

  // Until the other side has closed; its readers are cancelled wherever they are.
  void read(Side& side) {
    bool is_over = false;
    while (!is_over) {
      auto reader = spawn("reader", [&] {
        while (auto message = side.socket.read()) {
          const std::string& data = message->data;
          EXPECT_EQ(data.substr(2), std::string(data.size() - 2, data[0])) << "mixed";
          side.got[data[0]] += data[1];
          pause();
        }
        is_over = true;
      });
      for (std::size_t turns = 1 + draw(30); turns > 0 && reader.is_alive(); --turns) yield();
      reader.cancel();
      try {
        reader.join();
      } catch (const WasCancelled&) {
      }
    }
  }

  void talk(Side& side) {
    auto reader = spawn("readers", [&] { read(side); });
    {
      FiberGroup writers("writers");
      for (int i = 0; i < kWriters; ++i) writers.spawn("writer", [&, i] { write(side.socket, static_cast<char>('a' + i)); });
      writers.join();
    }
    // Who closes first would cut what the other still writes.
    if (++done_ == 2) all_written_.go();
    all_written_.wait();
    if (&side == &right_) return reader.join();
    while (left_.got != expected() || right_.got != expected()) yield();
    reader.cancel();
    EXPECT_THROW(reader.join(), WasCancelled);
    side.socket.close();
  }

  std::mt19937 random_;
  Side left_{WebSocketFrames::Role::client}, right_{WebSocketFrames::Role::server};
  int done_ = 0;
  Signal all_written_;
};

class WebSocketStormTest : public mothreads::testing::NothingLeft {};

TEST_F(WebSocketStormTest, MessagesAreWholeInAnyOrderOfFibers) {
  for (unsigned seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    mothreads::testing::on_virtual_time([&](mothreads::testing::VirtualClock&) {
      Storm storm(seed);
      storm.run();
    });
    EXPECT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace cooperative::http
