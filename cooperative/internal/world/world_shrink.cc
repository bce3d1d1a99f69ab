#include "cooperative/internal/world/world_shrink.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include <fmt/core.h>

namespace cooperative::inline v0::internal {

namespace {

// Delta debugging.
void leave_out(Shrunk& result, RunWorld run, std::size_t most_runs) {
  const auto still_fails = [&](const WorldSwitches& fewer) {
    ++result.runs;
    WorldAttempt attempt = run(fewer);
    if (attempt.fails) result.switches = std::move(attempt.done);
    return attempt.fails;
  };
  if (result.switches.empty() || still_fails({})) return;
  std::size_t parts = 2;
  while (result.switches.size() > 1 && result.runs < most_runs) {
    const std::size_t size = result.switches.size();
    const std::size_t length = (size + parts - 1) / parts;
    bool has_shrunk = false;
    for (std::size_t part = 0; part * length < size && !has_shrunk && result.runs < most_runs; ++part) {
      WorldSwitches fewer = result.switches;
      const auto from = fewer.begin() + static_cast<std::ptrdiff_t>(part * length);
      fewer.erase(from, fewer.begin() + static_cast<std::ptrdiff_t>(std::min(size, (part + 1) * length)));
      has_shrunk = still_fails(fewer) && result.switches.size() < size;
    }
    if (has_shrunk) {
      parts = std::max<std::size_t>(parts - 1, 2);
    } else if (parts >= size) {
      return;
    } else {
      parts = std::min(parts * 2, size);
    }
  }
}

// None without a switch fails.
void look_for_shorter(Shrunk& result, RunWorld run, std::size_t most_runs) {
  const std::size_t end = result.runs + most_runs;
  std::vector<WorldSwitches> lists{{}};
  for (std::size_t length = 1; length < result.switches.size(); ++length) {
    std::vector<WorldSwitches> longer;
    for (const WorldSwitches& list : lists) {
      ++result.runs;
      const WorldAttempt attempt = run(list);
      for (const WorldSwitch& other : attempt.others) {
        if (result.runs >= end) return;
        WorldSwitches more = attempt.done;
        more.push_back(other);
        ++result.runs;
        if (run(more).fails) {
          result.switches = std::move(more);
          return;
        }
        longer.push_back(std::move(more));
      }
    }
    lists = std::move(longer);
  }
}

}  // namespace

Shrunk shrink(WorldSwitches failing, RunWorld run, std::size_t most_runs) {
  Shrunk result{.switches = std::move(failing), .runs = 0};
  leave_out(result, run, most_runs);
  look_for_shorter(result, run, most_runs);
  return result;
}

std::string to_text(std::span<const WorldSwitch> switches) {
  if (switches.empty()) return "none";
  std::string text;
  for (const WorldSwitch& one : switches) text += fmt::format("{}{}.{}:{}", text.empty() ? "" : ",", one.who, one.point, one.to);
  return text;
}

namespace {

// A number, and what follows it; false for anything else.
template <typename Number>
bool take_number(std::string_view& text, Number& number, char behind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (behind == '\0') return true;
  if (text.empty() || text.front() != behind) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<WorldSwitches> switches_from(std::string_view text) {
  WorldSwitches switches;
  if (text == "none") return switches;
  while (true) {
    WorldSwitch one;
    if (!take_number(text, one.who, '.') || !take_number(text, one.point, ':') || !take_number(text, one.to, '\0')) return std::nullopt;
    switches.push_back(one);
    if (text.empty()) return switches;
    if (text.front() != ',') return std::nullopt;
    text.remove_prefix(1);
  }
}

}  // namespace cooperative::internal
