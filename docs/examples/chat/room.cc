#include "docs/examples/chat/room.h"

#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/fiber.h"
#include "cooperative/io/framed.h"
#include "mothreads/log.h"

namespace chat {

namespace co = cooperative;
using mothreads::Signal;

namespace {

const co::FrameOptions kFrames{.max_message = kMaxMessage};

}  // namespace

void Room::serve(co::Stream& client, const Signal& please_stop) {
  const co::ReceivedText name = co::recv_msg(client, {.max_message = kMaxName}, please_stop | kHelloLimit);
  if (!name || name->empty()) return;
  mothreads::log::Extra extra("member", *name);

  Member member{.name = *name, .client = client};
  auto writer = co::spawn("writer to " + member.name, [&member](const Signal&) {  // it ends when its queue is closed
    try {
      while (const auto line = member.lines.next()) co::send_msg(member.client, **line, kFrames);
    } catch (const co::IoError&) {
      // Whoever reads from the same client learns of it, too.
    } catch (const co::Closed&) {
    }
  });
  say(fmt::format("{} has come", member.name));
  member.lines.signal(std::make_shared<const std::string>(fmt::format("welcome, {}; others here: {}", member.name, members_.size())));
  const auto place = members_.insert(members_.end(), &member);
  {
    const absl::Cleanup leave = [&] {
      members_.erase(place);
      member.lines.close();
      say(member.name + " has gone");
    };
    listen_to(member, please_stop);
    if (please_stop) member.lines.signal(std::make_shared<const std::string>("the server stops"));
  }
  writer.join(kFarewellLimit);
}

void Room::listen_to(Member& member, const Signal& please_stop) {
  try {
    while (const co::ReceivedText text = co::recv_msg(member.client, kFrames, please_stop)) {
      say(fmt::format("{}: {}", member.name, *text), &member);
    }
  } catch (const co::Closed&) {
    if (!member.is_too_slow) throw;
    mothreads::log::warning("had {} messages to read, and had to go", kMaxBehind);
  }
}

// Never waits, so all hear what is said in one order.
void Room::say(std::string_view text, const Member* but) {
  const auto line = std::make_shared<const std::string>(text.substr(0, kMaxMessage));
  for (Member* member : members_) {
    if (member == but || member->is_too_slow || member->lines.signal(line)) continue;
    member->is_too_slow = true;
    member->client.close();  // whoever reads from it, or writes to it, ends
  }
}

}  // namespace chat
