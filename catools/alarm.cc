#include "catools/alarm.h"

#include <array>
#include <cstddef>

namespace catools::inline v0 {
namespace {

constexpr std::array<std::string_view, 4> kSeverities = {"none", "minor", "major", "invalid"};
constexpr std::array<std::string_view, 22> kConditions = {
    "none",         "read", "write",       "hihi", "high", "lolo", "low",            "state",     "change of state", "communication", "timeout",
    "hardware limit", "calculation", "scan", "link", "soft", "bad subroutine", "undefined", "disabled",        "simulated",     "read access",
    "write access"};

template <std::size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, std::size_t number) noexcept {
  return number < N ? names[number] : "unknown";
}

}  // namespace

std::string_view to_string(Severity severity) noexcept { return name_of(kSeverities, static_cast<std::size_t>(severity)); }
std::string_view to_string(Condition condition) noexcept { return name_of(kConditions, static_cast<std::size_t>(condition)); }

}  // namespace catools::inline v0
