#pragma once

// Tells every page that is open what has come. Updates are gathered for a tenth of a second, so that each page gets few messages however many variables
// there are. A page that reads too slowly is closed; the others do not wait for it. The fibers of one thread share it without a lock.

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "cooperative/event_queue.h"
#include "cooperative/http/message.h"
#include "docs/examples/strip_chart/history.h"
#include "mothreads/signal.h"

namespace strip_chart {

class Updates {
 public:
  static constexpr absl::Duration kEach = absl::Milliseconds(100);
  static constexpr std::size_t kMostWaiting = 100;  // messages for a page

  void add_strip(std::size_t number, const Point& point);
  void add_profile(std::size_t number, double value);

  // Sends what has come, until the Signal goes; then the pages are closed.
  void send(const mothreads::Signal& please_stop);

  // The WebSocket of a page.
  cooperative::http::Response open(const cooperative::http::Request& request);

  std::size_t pages() const { return pages_.size(); }

 private:
  using Message = std::shared_ptr<const std::string>;
  using Page = cooperative::EventQueue<Message>;

  void send_once();

  std::list<Page*> pages_;
  std::string strips_;  // gathered, as JSON
  std::string profile_;
  bool has_ended_ = false;
};

}  // namespace strip_chart
