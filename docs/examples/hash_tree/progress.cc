#include "docs/examples/hash_tree/progress.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

namespace hash_tree {
namespace {

std::string in_bytes(double bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string in_clock(std::uint64_t seconds) {
  const std::uint64_t hours = seconds / 3600;
  const std::uint64_t minutes = seconds / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, seconds % 60)
                   : fmt::format("{}:{:02}", minutes, seconds % 60);
}

double per_second(std::uint64_t bytes, absl::Duration elapsed) {
  return static_cast<double>(bytes) / std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
}

std::string failures(const Progress& progress) {
  const std::uint64_t failed = progress.failed.load(std::memory_order_relaxed);
  return failed == 0 ? "" : fmt::format(", {} failed", failed);
}

}  // namespace

std::string describe(const Progress& progress, std::uint64_t files, absl::Duration elapsed) {
  const std::uint64_t bytes = progress.bytes.load(std::memory_order_relaxed);
  return fmt::format("{} files, {} in {:.1f} s ({}/s){}", files, in_bytes(static_cast<double>(bytes)),
                     absl::ToDoubleSeconds(elapsed), in_bytes(per_second(bytes, elapsed)), failures(progress));
}

std::string bar(const Progress& progress, std::uint64_t files, absl::Duration elapsed, std::size_t columns) {
  const std::uint64_t bytes = progress.bytes.load(std::memory_order_relaxed);
  const double rate = per_second(bytes, elapsed);
  std::string text = fmt::format("{}/s  {} files{}", in_bytes(rate), files, failures(progress));
  if (progress.total_is_known.load(std::memory_order_acquire)) {
    // Files may have grown since they were counted.
    const std::uint64_t total = std::max(progress.total_bytes.load(std::memory_order_relaxed), bytes);
    const double share = total == 0 ? 1.0 : static_cast<double>(bytes) / static_cast<double>(total);
    const std::string left =
        rate > 0 ? in_clock(static_cast<std::uint64_t>(static_cast<double>(total - bytes) / rate + 0.5)) : "?";
    text = fmt::format("{:3.0f} %  {} left  {}", 100 * share, left, text);
    if (columns > text.size() + 10) {
      const std::size_t width = std::min<std::size_t>(columns - text.size() - 4, 50);
      const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
      text = fmt::format("[{}{}]  {}", std::string(filled, '#'), std::string(width - filled, ' '), text);
    }
  }
  return text.substr(0, columns);
}

}  // namespace hash_tree
