#pragma once

// How the programs of this folder print values: as those of EPICS do.

#include <string>
#include <string_view>
#include <vector>

#include "catools/value.h"

namespace tools {

// "3.5"; an array as its number of elements and then each, "3 1 2 3". An enumeration is its text, where these or the value itself have it, else its number.
std::string text_of(const catools::Value& value, const std::vector<std::string>& texts = {});

// The exit code of a program that has printed all, or 1 where stdout could not take it, which it says.
int finished(bool failed);

// "SR:CURRENT                     3.5": the name takes 30 columns at least.
std::string line_of(std::string_view name, std::string_view rest);

// "2026-11-30 12:00:00.123456", in the local time; "<undefined>" for a record that was never processed.
std::string time_of(const catools::Value& value);

// " hihi major"; nothing where there is no alarm.
std::string alarm_of(const catools::Value& value);

}  // namespace tools
