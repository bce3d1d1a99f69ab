// The records of ../records.db and its like, served by a ca::Server, so that the same tests run against it and against the IOC of EPICS. Its arguments: the
// prefix of the names, the file, the port.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "catools/server/server.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"

namespace ca = catools;
using mothreads::Signal;

namespace {

enum class Choice : std::uint16_t { off, on, standby };

class Records {
 public:
  Records(std::string prefix, std::uint16_t port) : prefix_(std::move(prefix)), server_({.name = "records", .port = port}) {}

  void records() {
    // An output record clips to its drive limits.
    add<std::int32_t>("long", 42,
                      {.limits = {.low_display = 0, .high_display = 100, .low_alarm = 2, .high_alarm = 98, .low_warning = 10, .high_warning = 90, .low_control = 5, .high_control = 96},
                       .on_put = [](std::int32_t value) { return std::clamp(value, 5, 96); }});
    const ca::Served<double> number = add<double>("double", 3.5, {.units = "mA", .precision = 3});
    add<std::string>("double.EGU", "mA", {.on_put = [number](const std::string& units) { number.set_units(units); }});
    add<double>("other", 7);
    add<double>("merged", 0);
    add<std::string>("string", "hello");
    add<std::vector<char>>("string.DESC$", {}, {.max_count = 41});
    add<Choice>("enum", Choice::on, {.texts = {"off", "on", "standby"}});
    add<std::vector<double>>("wave", {}, {.max_count = 10});
    add<std::vector<double>>("one", {}, {.max_count = 1});
    add<std::vector<std::uint8_t>>("chars", {}, {.max_count = 100});
    add<std::vector<std::int16_t>>("shorts", {}, {.max_count = 10});
    add<std::vector<std::string>>("strings", {}, {.max_count = 5});
    add<std::vector<double>>("large", {}, {.max_count = 200'000});
    add<double>("readonly", 1, {.access = ca::AccessRights::read});
    const ca::Served<double> guarded = add<double>("guarded", 0);
    add<std::int32_t>("gate", 0, {.on_put = [guarded](std::int32_t gate) {
                        guarded.set_access(gate == 0 ? ca::AccessRights::read_write : ca::AccessRights::read);
                      }});
    constexpr std::int64_t kEpochOfEpics = 631152000;
    add<double>("never", 0).set(0, {.severity = ca::Severity::invalid, .condition = ca::Condition::undefined, .time = absl::FromUnixSeconds(kEpochOfEpics)});
  }

  void retyped() {
    add<std::string>("double", "now a text");
    add<std::vector<std::int32_t>>("long", {}, {.max_count = 4});
    add<double>("other", 70);
    add<Choice>("string", Choice::on, {.texts = {"off", "on"}});
  }

  void slow() {
    for (const std::string name : {"slow", "slower"}) {
      add<double>(name, 0);
      const ca::Served<std::int16_t> is_under_way = add<std::int16_t>(name + ".DLYA", std::int16_t{0});
      add<std::uint8_t>(name + ".PROC", std::uint8_t{0}, {.on_put = [is_under_way](std::uint8_t, const Signal& please_stop) {
                          is_under_way.set(1);
                          static_cast<void>(please_stop.wait(absl::Seconds(1000)));
                          is_under_way.set(0);
                        }});
    }
  }

 private:
  template <typename T>
  ca::Served<T> add(std::string_view name, T value, ca::ServedOptions<T> options = {}) {
    return server_.add<T>(prefix_ + std::string(name), std::move(value), std::move(options));
  }

  const std::string prefix_;
  ca::Server server_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return mothreads::MainThread::run([&](const Signal& please_stop) {
    Records records(argv[1], static_cast<std::uint16_t>(std::atoi(argv[3])));
    const std::map<std::string_view, void (Records::*)()> files{{"records.db", &Records::records}, {"retyped.db", &Records::retyped}, {"slow.db", &Records::slow}};
    (records.*files.at(argv[2]))();
    std::puts("serving");
    std::fflush(stdout);
    please_stop.wait();
    return 0;
  });
}
