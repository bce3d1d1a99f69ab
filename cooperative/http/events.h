#pragma once

// Server-sent events (HTML, section 9.2): a response that goes on, of which the client's EventSource makes events, and which it asks for again when the
// connection ends.
//
//     return http::Response::events([&jobs](http::EventWriter& events) {
//       for (const Line& line : jobs.lines(events.last_event_id()).until(events.ended())) {
//         events.send({.id = line.number, .type = "line", .data = line.text});
//       }
//     });
//
// The function runs once the handler has returned: copy what it needs of the handler's own. It should end when events.ended() goes, which is when the
// client has gone or the server drains.

#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "cooperative/rlock.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::http {

struct ServerEvent {
  std::string id = {};    // what last_event_id() is for a client that comes again; unless empty
  std::string type = {};  // empty for "message"
  std::string data = {};  // UTF-8; its lines end as they like, and "\n" for the client
};

struct EventOptions {
  // A comment is sent when nothing else was for so long, so that who sits in between does not take the connection for dead.
  absl::Duration keep_alive = absl::Seconds(15);
  // After which a client comes again, in milliseconds; else it decides.
  std::optional<absl::Duration> retry = std::nullopt;
};

// Belongs to the function that it was given to, whose fibers may send beside each other: events do not mix.
class EventWriter {
 public:
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // Sends it before it returns. Throws WriteTimedout, IoError; mothreads::Misuse for an id with a newline or NUL, or a type with a newline.
  void send(const ServerEvent& event);
  // A text that clients do not show.
  void comment(std::string_view text);

  // The id of the last event that the client got, before it came again; empty when it comes for the first time.
  std::string_view last_event_id() const;
  // Goes when the client has gone or takes nothing, or the server drains.
  mothreads::Signal ended() const { return out_.ended() | failed_; }

 private:
  friend struct Response;
  EventWriter(BodyWriter& out, const EventOptions& options) : out_(out), options_(options) {}
  void run(absl::AnyInvocable<void(EventWriter&)>& function);
  void write(std::string_view text);
  void keep_alive();

  BodyWriter& out_;
  const EventOptions options_;
  RLock lock_;  // for the whole of an event, however long the client takes
  mothreads::Instant last_;
  std::exception_ptr failure_;
  mothreads::Signal failed_{"the failure of an event stream"};
};

// The text of an event, "data: ...\n\n".
std::string format_event(const ServerEvent& event);

}  // namespace cooperative::http
