#pragma once

// How good a value of a process variable is: the alarm that its record had when it sent the value.
//
// Names and numbers are those of EPICS (alarm.h of EPICS Base 7.0): the numbers travel in Channel Access messages.

#include <cstdint>
#include <string_view>

namespace catools::inline v0 {

enum class Severity : std::uint16_t { none, minor, major, invalid };

// Why a record is in alarm.
enum class Condition : std::uint16_t {
  none,
  read,
  write,
  hihi,
  high,
  lolo,
  low,
  state,
  change_of_state,
  communication,
  timeout,
  hardware_limit,
  calculation,
  scan,
  link,
  soft,
  bad_subroutine,
  undefined,
  disabled,
  simulated,
  read_access,
  write_access,
};

// "none", "minor", "major", "invalid". "unknown" for a number that has no name.
std::string_view to_string(Severity severity) noexcept;
// The names above, with spaces: "change of state". "unknown" for a number that has no name.
std::string_view to_string(Condition condition) noexcept;

}  // namespace catools::inline v0
