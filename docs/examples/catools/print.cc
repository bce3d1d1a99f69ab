#include "docs/examples/catools/print.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <variant>
#include <vector>

#include <fmt/core.h>

#include "absl/time/time.h"

namespace tools {
namespace {

namespace ca = catools;

// Where the time of Channel Access begins: a record that was never processed has it.
constexpr std::int64_t kEpochOfEpics = 631152000;

// What a server sends must not command a terminal.
std::string text(std::string element) {
  std::replace_if(element.begin(), element.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return element;
}
std::string text(ca::Enum element) { return fmt::format("{}", element.index); }
template <typename T>
std::string text(T element) {
  return fmt::format("{}", element);
}

struct Printer {
  std::string operator()(std::monostate) const { return "*** no value"; }
  template <typename T>
  std::string operator()(const std::vector<T>& array) const {
    std::string all = fmt::format("{}", array.size());
    for (const T& element : array) all += " " + text(element);
    return all;
  }
  template <typename T>
  std::string operator()(const T& scalar) const {
    return text(scalar);
  }
};

}  // namespace

std::string text_of(const ca::Value& value, const std::vector<std::string>& texts) {
  if (const auto* choice = std::get_if<ca::Enum>(&value.data())) {
    const std::vector<std::string>& known = value.control() != nullptr ? value.control()->texts : texts;
    if (choice->index < known.size()) return known[choice->index];
  }
  return std::visit(Printer(), value.data());
}

int finished(bool failed) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return failed ? EXIT_FAILURE : EXIT_SUCCESS;
  std::perror("cannot write to stdout");
  return EXIT_FAILURE;
}

std::string line_of(std::string_view name, std::string_view rest) { return fmt::format("{:<30} {}", name, rest); }

std::string time_of(const ca::Value& value) {
  if (!value.time() || absl::ToUnixSeconds(*value.time()) == kEpochOfEpics) return "<undefined>";
  return absl::FormatTime("%E4Y-%m-%d %H:%M:%E6S", *value.time(), absl::LocalTimeZone());
}

std::string alarm_of(const ca::Value& value) {
  if (value.severity() == ca::Severity::none) return "";
  return fmt::format(" {} {}", to_string(value.condition()), to_string(value.severity()));
}

}  // namespace tools
