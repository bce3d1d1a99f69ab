#include "cooperative/http/events.h"

#include <cstdint>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

using mothreads::Clock;
using mothreads::Instant;
using mothreads::Misuse;

namespace {

// A field for each line: a client ends a line at "\n", "\r" and "\r\n".
void append_lines(std::string& text, std::string_view name, std::string_view lines) {
  while (true) {
    const std::size_t end = lines.find_first_of("\r\n");
    text.append(name).append(": ").append(lines.substr(0, end)).append("\n");
    if (end == std::string_view::npos) return;
    lines.remove_prefix(end + (lines.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

}  // namespace

std::string format_event(const ServerEvent& event) {
  using namespace std::string_view_literals;
  if (event.id.find_first_of("\r\n\0"sv) != std::string::npos) throw Misuse("the id of an event has a newline or a NUL: clients could not send it again");
  if (event.type.find_first_of("\r\n"sv) != std::string::npos) throw Misuse("the type of an event has a newline: what follows would be another field");
  std::string text;
  if (!event.id.empty()) append_lines(text, "id", event.id);
  if (!event.type.empty()) append_lines(text, "event", event.type);
  append_lines(text, "data", event.data);
  text.push_back('\n');
  return text;
}

void EventWriter::send(const ServerEvent& event) { write(format_event(event)); }

void EventWriter::comment(std::string_view text) {
  std::string lines;
  append_lines(lines, "", text);
  lines.push_back('\n');
  write(lines);
}

std::string_view EventWriter::last_event_id() const { return out_.request().headers().get("Last-Event-ID").value_or(""); }

void EventWriter::write(std::string_view text) {
  const RLock::Guard guard = lock_.enter();
  if (failure_) std::rethrow_exception(failure_);
  // A part of it may have gone: nothing can follow.
  const auto fail = [this](std::exception_ptr failure) {
    failure_ = std::move(failure);
    failed_.go();
  };
  try {
    out_.write(text);
    last_ = Clock::current().now();
  } catch (const FiberCancelled&) {
    fail(std::make_exception_ptr(Closed("a stream of events", "an event was cut short, since its fiber was cancelled: nothing can follow")));
    throw;
  } catch (...) {
    fail(std::current_exception());
    throw;
  }
}

void EventWriter::keep_alive() {
  const auto period = absl::ToChronoNanoseconds(options_.keep_alive);
  while (true) {
    const Instant due = last_ + period;
    if (Clock::current().now() < due) {
      sleep_until(due);
      continue;
    }
    try {
      comment("");
    } catch (const std::exception&) {
      return;  // whoever sends next meets it, too
    }
  }
}

void EventWriter::run(absl::AnyInvocable<void(EventWriter&)>& function) {
  out_.flush();
  last_ = Clock::current().now();
  if (options_.retry) write(fmt::format("retry: {}\n\n", absl::ToInt64Milliseconds(*options_.retry)));
  std::optional<Fiber<void>> keeper;
  // The keep-alive goes on while the server drains, and is cancelled whichever way the function ends.
  if (options_.keep_alive < absl::Hours(24)) keeper.emplace(spawn("keep-alive of events", [this](const mothreads::Signal&) { keep_alive(); }));
  const absl::Cleanup end_keeper = [&] {
    if (keeper) keeper->cancel();
  };
  function(*this);
  const RLock::Guard guard = lock_.enter();  // so that none is cut in the middle
  if (keeper) keeper->cancel();
  if (failure_) std::rethrow_exception(failure_);
}

Response Response::events(absl::AnyInvocable<void(EventWriter&)> write, const EventOptions& options) {
  if (!write) throw Misuse("events need a function that sends them");
  if (options.keep_alive <= absl::ZeroDuration()) throw Misuse("events need a keep_alive of more than nothing: absl::InfiniteDuration() for none");
  Response response = streamed("text/event-stream", [write = std::move(write), options](BodyWriter& out) mutable {
    EventWriter events(out, options);
    events.run(write);
  });
  response.headers.add("Cache-Control", "no-store");
  return response;
}

Response Response::events(absl::AnyInvocable<void(EventWriter&)> write) { return events(std::move(write), EventOptions{}); }

}  // namespace cooperative::http
