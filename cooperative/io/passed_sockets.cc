#include "cooperative/io/passed_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "cooperative/io/io_error.h"
#include "mothreads/internal/base/taken_variable.h"
#include "mothreads/log.h"

namespace cooperative::inline v0 {

using mothreads::internal::take_variable;

namespace {

constexpr int kFirst = 3;         // SD_LISTEN_FDS_START
constexpr int kMost = 1'000'000;  // as many descriptors as Linux lets a process have by default, and then some

std::optional<int> number_in(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Takes the next name of "a:b:c".
std::string next_name(std::string_view& names) {
  const std::size_t end = std::min(names.find(':'), names.size());
  std::string name(names.substr(0, end));
  names.remove_prefix(std::min(end + 1, names.size()));
  return name.empty() ? "unknown" : name;
}

void close_on_exec(int descriptor, std::string_view what) {
  const int flags = ::fcntl(descriptor, F_GETFD);
  if (flags < 0 || ::fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) < 0) throw IoError(errno, what, "take");
}

}  // namespace

std::vector<PassedSocket> take_passed_sockets() {
  const std::optional<std::string> count_text = take_variable("LISTEN_FDS");
  const std::optional<std::string> pid = take_variable("LISTEN_PID");
  const std::string all_names = take_variable("LISTEN_FDNAMES").value_or("");
  std::vector<PassedSocket> passed;
  if (!count_text || !pid || number_in(*pid) != static_cast<int>(::getpid())) return passed;
  const std::optional<int> count = number_in(*count_text);
  if (!count || *count < 0 || *count > kMost) {
    mothreads::log::warning("LISTEN_FDS={} is no number of descriptors: none is taken", *count_text);
    return passed;
  }
  std::string_view names = all_names;
  std::vector<std::pair<std::string, std::string>> called;  // the name, and what errors call it
  for (int i = 0; i < *count; ++i) {
    std::string name = next_name(names);
    std::string what = fmt::format("descriptor {}, passed as \"{}\"", kFirst + i, name);
    close_on_exec(kFirst + i, what);  // all of them, whatever becomes of the first
    called.emplace_back(std::move(name), std::move(what));
  }
  for (int i = 0; i < *count; ++i) {
    auto& [name, what] = called[i];
    try {
      passed.push_back({std::move(name), Socket::adopt(kFirst + i)});
    } catch (const IoError& error) {
      throw IoError(error.code().value(), what, "take");
    }
  }
  return passed;
}

}  // namespace cooperative
