// Our side of the rows ca.*: ca_ours WORK prints one figure. tools/lib/bench.py serves the records and sets EPICS_CA_*.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "cooperative/sleep.h"
#include "tests/benchmarks/ca_follow.h"
#include "tests/benchmarks/ca_names.h"

namespace {

const std::vector<std::string>& doubles() {
  static const std::vector<std::string> names = names_of("double");
  return names;
}

void check(bool is_right, std::string_view what) {
  if (is_right) return;
  std::fprintf(stderr, "ca_ours: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(EXIT_FAILURE);
}

double list() {
  return median_ns(kListRounds, [] { check(catools::caget<double>(doubles()).back() == kVariables - 1, "a value is wrong"); });
}

// A thousand values, one after the other.
double one_by_one() {
  catools::connect(doubles());
  return median_ns(kOneByOneRounds, [] {
    for (const std::string& name : doubles()) static_cast<void>(catools::caget<double>(name));
  });
}

double single() {
  return median_ns(kSingleRounds, [] { check(catools::caget<double>(doubles()[7]) == 7, "a value is wrong"); });
}

double put_wait() {
  double next = 0;
  return median_ns(kSingleRounds, [&] { catools::caput(doubles()[0], ++next, {.wait = true}); });
}

double waveform() {
  catools::caput(kWave, std::vector<double>(kMillion, 1.5), {.wait = true});
  return median_ns(kWaveRounds, [] { check(catools::caget<std::vector<double>>(kWave).size() == kMillion, "elements are missing"); });
}

// The context of libca and the circuit are there: a thousand more channels, again and again.
double connect() {
  catools::connect(kWave);
  auto field = kFields.begin();
  return median_ns(static_cast<int>(kFields.size()) - 1, [&] { catools::connect(names_of("double", *field++)); });
}

double monitor() {
  Following following;
  const std::vector<catools::Subscription> all = catools::camonitor(
      names_of("counter"), [&](const catools::Value& value, std::size_t index) { following.note(index, value.as<double>()); },
      {.all_updates = true});
  return following.measure([](auto time) { cooperative::sleep(absl::FromChrono(time)); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, std::function<double()>> works = {{"list", list},         {"one_by_one", one_by_one}, {"single", single},
                                                                     {"put_wait", put_wait}, {"waveform", waveform},     {"connect", connect},
                                                                     {"monitor", monitor}};
  const auto work = works.find(argc == 2 ? argv[1] : "");
  if (work == works.end()) {
    std::fputs("usage: ca_ours list|one_by_one|single|put_wait|waveform|connect|monitor\n", stderr);
    return EXIT_FAILURE;
  }
  std::printf("%.6g\n", work->second());
}
