#include "docs/examples/relay/run.h"

#include <cstdlib>
#include <exception>
#include <functional>
#include <system_error>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "docs/examples/relay/sensor.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"

using namespace mothreads;
namespace co = cooperative;

namespace relay {
namespace {

// A second is shown so much after its end: what was measured in it is under way until then.
constexpr absl::Duration kUnderWay = absl::Milliseconds(100);

constexpr std::uint64_t kReadingsBeforeFailure = 5;

}  // namespace

int Run::operator()() {
  {
    auto collector = co::spawn("collector", &Run::collect, this);
    auto display = co::spawn("display", &Run::show, this);
    const absl::Cleanup end_collector = [this] { readings_.close(); };  // also when something below throws

    std::vector<ThreadHandle<void>> sensors;
    std::vector<co::Fiber<void>> attendants;
    for (unsigned i = 1; i <= options_.sensors; ++i) {
      Sensor sensor{.number = i, .per_second = options_.rate * i};
      if (options_.seconds) sensor.last = absl::Seconds(*options_.seconds);
      if (options_.fail && i == options_.sensors) sensor.fails_after = kReadingsBeforeFailure;
      sensors.push_back(Thread::run(fmt::format("sensor {}", i), sense, sensor, std::ref(readings_), begin_));
    }
    for (auto& sensor : sensors) attendants.push_back(co::spawn("attendant of " + sensor.name(), &Run::attend, this, std::ref(sensor)));

    for (auto& attendant : attendants) attendant.join();
    readings_.close();
    collector.join();
    display.stop().join();
  }
  try {
    while (const auto second = seconds_.take_last()) screen_.show(*second);
  } catch (const std::system_error& problem) {
    if (!failed_to_write_) log::error("{}", problem.what());
    failed_to_write_ = true;
  }
  screen_.keep_table();
  summarise();
  if (const int signal = MainThread::stop_signal(); was_stopped_ && signal != 0) return 128 + signal;
  return failed_ > 0 || failed_to_write_ ? EXIT_FAILURE : EXIT_SUCCESS;
}

void Run::collect(const Signal&) {
  for (const Reading& reading : readings_.until(NEVER)) seconds_.add(reading);  // until it is closed, and all has been taken
}

void Run::show(const Signal& please_stop) {
  for (int shown = 0; !please_stop.wait(begin_ + absl::ToChronoNanoseconds(absl::Seconds(shown + 1) + kUnderWay)); ++shown) {
    while (readings_.size() > 0) co::yield();  // what has come is counted first: the collector has a turn for each
    try {
      while (const auto second = seconds_.take(elapsed() - kUnderWay)) screen_.show(*second);
    } catch (const std::system_error& problem) {
      log::error("{}", problem.what());
      failed_to_write_ = true;
      MainThread::stop();
      return;
    }
  }
}

void Run::attend(ThreadHandle<void>& sensor, const Signal&) {
  const std::string name = sensor.name();
  const Signal told = sensor.please_stop();
  try {
    sensor.join();  // suspends this fiber only
  } catch (const std::exception& problem) {
    log::error("{} failed: {}", name, problem.what());
    ++failed_;
  }
  ended_.push_back(name);
  if (told) was_stopped_ = true;
}

void Run::summarise() const {
  std::string text = fmt::format("{} readings of {} sensors in {:.1f} s", seconds_.readings(), options_.sensors,
                                 absl::ToDoubleSeconds(elapsed()));
  if (seconds_.late() > 0) text += fmt::format(", {} came too late", seconds_.late());
  if (failed_ > 0) text += fmt::format(", {} failed", failed_);
  if (was_stopped_) text = fmt::format("stopped after {}; ended in this order: {}", text, fmt::join(ended_, ", "));
  log::info("{}", text);
}

}  // namespace relay
