#include "docs/examples/strip_chart/updates.h"

#include <cmath>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/fiber.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/io_error.h"
#include "mothreads/ended_early.h"

namespace strip_chart {

namespace co = cooperative;
namespace http = cooperative::http;
using mothreads::Signal;

namespace {

constexpr absl::Duration kSlowest = absl::Seconds(5);  // for a page to take a message

// JSON has no NaN and no infinity.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

void append(std::string& list, std::string_view item) {
  if (!list.empty()) list += ',';
  list += item;
}

}  // namespace

void Updates::add_strip(std::size_t number_of_strip, const Point& point) {
  if (pages_.empty()) return;
  append(strips_, fmt::format("[{},{:.6f},{}]", number_of_strip, absl::ToDoubleSeconds(point.at - absl::UnixEpoch()), number(point.value)));
}

void Updates::add_profile(std::size_t number_of_value, double value) {
  if (pages_.empty()) return;
  append(profile_, fmt::format("[{},{}]", number_of_value, number(value)));
}

void Updates::send(const Signal& please_stop) {
  while (!please_stop.wait(kEach)) send_once();
  has_ended_ = true;
  for (Page* page : pages_) page->close();
}

void Updates::send_once() {
  if (strips_.empty() && profile_.empty()) return;
  const auto message = std::make_shared<const std::string>(
      fmt::format(R"({{"strips":[{}],"profile":[{}]}})", std::exchange(strips_, {}), std::exchange(profile_, {})));
  for (Page* page : pages_) {
    if (page->signal(message)) continue;
    page->reset();  // it is full: its writer ends, and closes the WebSocket
    page->close();
  }
}

http::Response Updates::open(const http::Request& request) {
  return http::accept_websocket(request, [this](http::WebSocket& socket) {
    Page page(kMostWaiting);
    if (has_ended_) page.close();
    const auto place = pages_.insert(pages_.end(), &page);
    const absl::Cleanup leave = [&] { pages_.erase(place); };
    auto reader = co::spawn("reader of a page", [&](const Signal& please_stop) {
      try {
        while (socket.read(please_stop)) {  // a page says nothing; its close ends the loop
        }
      } catch (const co::IoError&) {  // it has gone
      } catch (const http::WebSocketError&) {
      }
      page.close();
    });
    try {
      while (const auto message = page.next()) socket.write_text(**message, kSlowest);
    } catch (const co::IoError&) {
    } catch (const mothreads::EndedEarly&) {  // it has gone, or reads too slowly
    }
  });
}

}  // namespace strip_chart
