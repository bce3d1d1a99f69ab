// The limit for the rows ca.*: bare libca. ca_raw WORK prints one figure; ca_raw repeater is the repeater of the host until it is killed, so that
// no client of the rows starts one.

#include <cadef.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/benchmarks/ca_follow.h"
#include "tests/benchmarks/ca_names.h"

// Exported by libca, declared in no header that it installs.
extern "C" void caRepeaterThread(void* unused);

namespace {

void check(int status) {
  if (status == ECA_NORMAL) return;
  std::fprintf(stderr, "ca_raw: %s\n", ca_message(status));
  std::exit(EXIT_FAILURE);
}

// Answers that are awaited.
std::atomic<int> awaited{0};
std::binary_semaphore all_came{0};

void answer_came() noexcept {
  // acq_rel: who waits sees what each answer wrote.
  if (awaited.fetch_sub(1, std::memory_order_acq_rel) == 1) all_came.release();
}

void begin(int answers) noexcept { awaited.store(answers, std::memory_order_relaxed); }

void on_connection(connection_handler_args args) noexcept {
  if (args.op == CA_OP_CONN_UP) answer_came();
}

std::vector<chid> connect(const std::vector<std::string>& names) {
  std::vector<chid> channels(names.size());
  begin(static_cast<int>(names.size()));
  for (std::size_t i = 0; i < names.size(); ++i) check(ca_create_channel(names[i].c_str(), on_connection, nullptr, CA_PRIORITY_DEFAULT, &channels[i]));
  check(ca_flush_io());
  all_came.acquire();
  return channels;
}

void on_double(event_handler_args args) noexcept {
  check(args.status);
  *static_cast<double*>(args.usr) = *static_cast<const double*>(args.dbr);
  answer_came();
}

double list() {
  const std::vector<chid> channels = connect(names_of("double"));
  return median_ns(kListRounds, [&] {
    std::vector<double> values(channels.size());
    begin(static_cast<int>(channels.size()));
    for (std::size_t i = 0; i < channels.size(); ++i) check(ca_array_get_callback(DBR_DOUBLE, 0, channels[i], on_double, &values[i]));
    check(ca_flush_io());
    all_came.acquire();
    if (values.back() != kVariables - 1) check(ECA_GETFAIL);
  });
}

double single() {
  const chid channel = connect({names_of("double")[7]})[0];
  return median_ns(kSingleRounds, [&] {
    double value = 0;
    begin(1);
    check(ca_array_get_callback(DBR_DOUBLE, 0, channel, on_double, &value));
    check(ca_flush_io());
    all_came.acquire();
    if (value != 7) check(ECA_GETFAIL);
  });
}

void on_put(event_handler_args args) noexcept {
  check(args.status);
  answer_came();
}

double put_wait() {
  const chid channel = connect({names_of("double")[0]})[0];
  double next = 0;
  return median_ns(kSingleRounds, [&] {
    ++next;
    begin(1);
    check(ca_array_put_callback(DBR_DOUBLE, 1, channel, &next, on_put, nullptr));
    check(ca_flush_io());
    all_came.acquire();
  });
}

void on_wave(event_handler_args args) noexcept {
  check(args.status);
  const auto* const elements = static_cast<const double*>(args.dbr);
  static_cast<std::vector<double>*>(args.usr)->assign(elements, elements + args.count);
  answer_came();
}

double waveform() {
  const chid channel = connect({kWave})[0];
  const std::vector<double> elements(kMillion, 1.5);
  begin(1);
  check(ca_array_put_callback(DBR_DOUBLE, kMillion, channel, elements.data(), on_put, nullptr));
  check(ca_flush_io());
  all_came.acquire();
  return median_ns(kWaveRounds, [&] {
    std::vector<double> values;
    begin(1);
    check(ca_array_get_callback(DBR_DOUBLE, 0, channel, on_wave, &values));
    check(ca_flush_io());
    all_came.acquire();
    if (values.size() != kMillion) check(ECA_GETFAIL);
  });
}

double connect() {
  connect({kWave});
  auto field = kFields.begin();
  return median_ns(static_cast<int>(kFields.size()) - 1, [&] { connect(names_of("double", *field++)); });
}

struct Counter {
  Following* following;
  std::size_t index;
};

void on_update(event_handler_args args) noexcept {
  check(args.status);
  const auto& counter = *static_cast<const Counter*>(args.usr);
  counter.following->note(counter.index, *static_cast<const double*>(args.dbr));
}

double monitor() {
  Following following;
  const std::vector<chid> channels = connect(names_of("counter"));
  std::vector<Counter> counters;
  for (std::size_t i = 0; i < channels.size(); ++i) counters.push_back({&following, i});
  std::vector<evid> subscriptions(channels.size());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    check(ca_create_subscription(DBR_DOUBLE, 0, channels[i], DBE_VALUE, on_update, &counters[i], &subscriptions[i]));
  }
  check(ca_flush_io());
  const double figure = following.measure([](auto time) { std::this_thread::sleep_for(time); });
  for (const evid subscription : subscriptions) ca_clear_subscription(subscription);
  return figure;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "repeater") == 0) {
    caRepeaterThread(nullptr);
    return EXIT_FAILURE;
  }
  const std::map<std::string_view, std::function<double()>> works = {
      {"list", list}, {"single", single}, {"put_wait", put_wait}, {"waveform", waveform}, {"connect", [] { return connect(); }}, {"monitor", monitor}};
  const auto work = works.find(argc == 2 ? argv[1] : "");
  if (work == works.end()) {
    std::fputs("usage: ca_raw list|single|put_wait|waveform|connect|monitor|repeater\n", stderr);
    return EXIT_FAILURE;
  }
  check(ca_context_create(ca_enable_preemptive_callback));
  std::printf("%.6g\n", work->second());
  ca_context_destroy();
}
