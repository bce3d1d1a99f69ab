#include "docs/examples/strip_chart/run.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <system_error>

#include <fmt/core.h>

#include "catools/error.h"
#include "cooperative/fiber.h"
#include "cooperative/http/serve_http.h"
#include "docs/examples/strip_chart/page.h"
#include "mothreads/clock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"

namespace strip_chart {

using namespace mothreads;
namespace co = cooperative;
namespace ca = catools;

namespace {

constexpr absl::Duration kPicture = absl::Milliseconds(200);

}  // namespace

int Run::operator()(const Signal& please_stop) {
  if (options_.record) record_.emplace(*options_.record);
  {
    auto sender = co::spawn("updates", &Updates::send, &updates_);
    std::optional<co::http::Site> site;
    if (options_.port) {
      site = co::http::serve_http(co::Address::loopback(*options_.port), page(board_, updates_), {.name = "page"});
      const std::string url = fmt::format("http://{}/", site->address().to_string());
      if (screen_.is_in_place()) {
        log::info("{}", url);
      } else {
        std::printf("%s\n", url.c_str());
        std::fflush(stdout);
      }
    }
    std::optional<co::Fiber<void>> display;
    if (screen_.is_in_place()) display = co::spawn("display", &Run::show, this);
    follow();
    if (options_.seconds) {
      static_cast<void>(please_stop.wait(absl::Seconds(*options_.seconds)));
    } else {
      please_stop.wait();
    }
    subscriptions_.clear();
    sender.stop().join();
    if (site) site->stop().join();
    if (display) display->stop().join();
  }
  summarise();
  if (record_) record_->finish();
  if (record_ && record_->lost() > 0) failed_ = true;
  return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;
}

void Run::follow() {
  const ca::MonitorOptions options{.format = ca::Format::time, .all_updates = true, .notify_disconnect = true};
  for (const bool is_strip : {true, false}) {
    auto some = ca::camonitor(is_strip ? options_.strips : options_.profile,
                              [this, is_strip](const ca::Value& value, std::size_t number) { take(value, number, is_strip); }, options);
    for (ca::Subscription& one : some) subscriptions_.push_back(std::move(one));
  }
}

void Run::take(const ca::Value& value, std::size_t number, bool is_strip) {
  Trace& trace = (is_strip ? board_.strips : board_.profile)[number];
  trace.is_connected = value.ok();
  if (!value.ok()) {
    log::warning("{}", value.error().what());
    return;
  }
  Point point{.at = value.time().value_or(Clock::current().wall_now())};
  try {
    point.value = value.as<double>();
    trace.trouble.clear();
  } catch (const ca::Error& problem) {  // a text, or an array
    if (trace.trouble.empty()) log::error("{}", problem.what());
    trace.trouble = problem.text();
    failed_ = true;
    return;
  }
  trace.severity = value.severity();
  trace.history.add(point);
  if (is_strip) {
    updates_.add_strip(number, point);
  } else {
    updates_.add_profile(number, point.value);
  }
  if (record_) record_->add(value.name(), point, value.severity());
}

void Run::show(const Signal& please_stop) {
  try {
    do {
      const Size size = screen_.size();
      screen_.show(picture(board_, Clock::current().wall_now(), size.columns, size.rows));
    } while (!please_stop.wait(kPicture));
  } catch (const std::system_error& problem) {
    log::error("{}", problem.what());
    failed_ = true;
    MainThread::stop();
  }
}

void Run::summarise() const {
  std::uint64_t points = 0;
  std::size_t silent = 0;
  for (const auto* traces : {&board_.strips, &board_.profile}) {
    for (const Trace& trace : *traces) {
      points += trace.history.added();
      if (trace.history.added() == 0) ++silent;
    }
  }
  log::info("{} updates of {} variables", points, board_.strips.size() + board_.profile.size());
  if (silent > 0) log::warning("{} of them sent none", silent);
  if (record_ && record_->lost() > 0) log::error("{} updates came faster than they could be written to {}", record_->lost(), *options_.record);
}

}  // namespace strip_chart
