#pragma once

// The server's side of the chat: who is in the room, and what is said in it.
//
// Each member has a fiber that reads what it says, and one that writes to it what the others say. All of them share the room without a
// lock: they are fibers of one thread, and between two waits nobody else runs.

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/event_queue.h"
#include "cooperative/io/stream.h"
#include "mothreads/signal.h"

namespace chat {

// A member that reads so slowly that so many messages wait for it has to go: the others should not wait, and neither should memory.
inline constexpr std::size_t kMaxBehind = 1000;
inline constexpr std::size_t kMaxMessage = 4096;  // bytes
inline constexpr std::size_t kMaxName = 64;       // bytes
inline constexpr absl::Duration kHelloLimit = absl::Seconds(10);
inline constexpr absl::Duration kFarewellLimit = absl::Seconds(2);

class Room {
 public:
  // One member's stay: its first message is its name, which is answered by a welcome; each later one is said to all others. Returns when it has gone, or when please_stop
  // goes; what was said to it until then has been written.
  void serve(cooperative::Stream& client, const mothreads::Signal& please_stop);

  std::size_t members() const { return members_.size(); }

 private:
  using Line = std::shared_ptr<const std::string>;
  struct Member {
    std::string name;
    cooperative::Stream& client;
    cooperative::EventQueue<Line> lines{kMaxBehind};
    bool is_too_slow = false;
  };

  void say(std::string_view text, const Member* but = nullptr);
  void listen_to(Member& member, const mothreads::Signal& please_stop);

  std::list<Member*> members_;
};

}  // namespace chat
