#pragma once

// What both sides of the rows ca.* share: the names of the records (ca_*.db), how much is done, and a median.

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

inline constexpr int kVariables = 1000;
inline constexpr int kListRounds = 200;
inline constexpr int kSingleRounds = 2000;
inline constexpr int kOneByOneRounds = 5;
inline constexpr int kWaveRounds = 40;
inline constexpr int kMillion = 1'000'000;
inline constexpr std::chrono::seconds kFollowed{3};
inline constexpr std::chrono::milliseconds kSettling{500};
inline constexpr int kRate = 100;  // of each counter, in a second
inline const std::string kWave = "bench:wave";

// Fields of a record: each round of ca.connect makes channels to another, because a channel that is there already would be found.
inline const std::vector<std::string> kFields = {".VAL", ".DESC", ".EGU", ".PREC", ".HOPR", ".LOPR", ".HIHI", ".LOLO", ".HIGH", ".LOW"};

// Of records "bench:double0" or "bench:counter0" and so on.
inline std::vector<std::string> names_of(const std::string& kind, const std::string& field = "") {
  std::vector<std::string> names;
  for (int i = 0; i < kVariables; ++i) names.push_back("bench:" + kind + std::to_string(i) + field);
  return names;
}

// The median of so many rounds, in nanoseconds. A first round is not counted.
template <typename F>
double median_ns(int rounds, F round) {
  using Clock = std::chrono::steady_clock;
  round();
  std::vector<double> all;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    round();
    all.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
  }
  std::nth_element(all.begin(), all.begin() + rounds / 2, all.end());
  return all[static_cast<std::size_t>(rounds) / 2];
}
