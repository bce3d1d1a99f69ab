#pragma once

// Connects to process variables, and says what is known of their channels.
//
//     ca::connect(names);                                  // all are there, or an Error; later verbs find them connected
//     ca::Info info = ca::cainfo("SR-DI-DCCT-01:SIGNAL");  // waits for the connection
//     std::cout << to_string(info);
//     for (const ca::Info& one : ca::channels()) ...       // every channel of the process; waits for nothing
//     ca::ConnectionWatch watch = ca::watch_connection("SR-DI-DCCT-01:SIGNAL", [](const ca::Info& info) {   // in a fiber of this scheduler
//       print(info.name, to_string(info.state), info.may_write);
//     });
//
// Every verb connects by itself; channels stay until release_unused_channels(), or the end of the process.
// Blocking, failure, thread safety: as caget; channels(), release_unused_channels() and watch_connection() wait for no server. For a ConnectionWatch:
// as of a Subscription.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/internal/names.h"
#include "catools/reply.h"
#include "catools/value.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

enum class ChannelState : std::uint8_t { never_connected, previously_connected, connected };
std::string_view to_string(ChannelState state) noexcept;  // "never connected" ...

struct Info {
  std::string name;
  ChannelState state = ChannelState::never_connected;
  std::string host = {};                  // the server, with the port; the last one when it is not connected
  std::optional<Type> type = std::nullopt;  // none when it is not connected, as what follows
  std::size_t element_count = 0;
  bool may_read = false;
  bool may_write = false;
  absl::Time since = absl::InfinitePast();  // when the last connection began, or ended
  std::size_t subscriptions = 0;
  std::string last_error = {};  // that of a put, also of one that was waited for where the server says it twice
};

// As the program cainfo of EPICS prints it: several lines.
std::string to_string(const Info& info);

namespace internal {
std::vector<Reply<Info>> connect_each(std::span<const std::string_view> names, const mothreads::Until& until);
}

inline Info cainfo(std::string_view name, const mothreads::Until& until = kDefaultLimit) {
  return std::move(internal::connect_each({&name, 1}, until).front()).value();
}
template <internal::NameRange Names>
std::vector<Reply<Info>> cainfo_each(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  return internal::connect_each(internal::names_of(names), until);
}
inline std::vector<Reply<Info>> cainfo_each(std::initializer_list<std::string_view> names, const mothreads::Until& until = kDefaultLimit) {
  return internal::connect_each(names, until);
}
template <internal::NameRange Names>
std::vector<Info> cainfo(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  std::vector<Info> all;
  for (Reply<Info>& reply : cainfo_each(names, until)) all.push_back(std::move(reply).value());
  return all;
}
inline std::vector<Info> cainfo(std::initializer_list<std::string_view> names, const mothreads::Until& until = kDefaultLimit) {
  return cainfo<std::initializer_list<std::string_view>>(names, until);
}

inline void connect(std::string_view name, const mothreads::Until& until = kDefaultLimit) { static_cast<void>(cainfo(name, until)); }
template <internal::NameRange Names>
void connect(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  static_cast<void>(cainfo(names, until));
}
inline void connect(std::initializer_list<std::string_view> names, const mothreads::Until& until = kDefaultLimit) {
  static_cast<void>(cainfo(names, until));
}

// Owns: its destructor closes it, and waits for a call of the function that runs, but from inside it. Afterwards the function is not called.
class [[nodiscard("it ends with its handle")]] ConnectionWatch {
 public:
  ConnectionWatch() noexcept = default;  // watches nothing: closed

  void close() { changes_.close(); }
  bool is_closed() const { return changes_.is_closed(); }
  std::string name() const { return changes_.name(); }

  // For the library.
  explicit ConnectionWatch(Subscription changes) noexcept : changes_(std::move(changes)) {}

 private:
  Subscription changes_;
};

// The function is called with the present state, connected or not, and when the connection or the rights have changed since; for changes that come
// faster than it takes them once, with the last. It runs as a function of camonitor() does: what it throws is logged, and closes the watch.
// Throws FiberLimit, and Misuse for an empty function.
ConnectionWatch watch_connection(std::string_view name, absl::AnyInvocable<void(const Info&)> function);

// All channels of the process, in the order of their names.
std::vector<Info> channels();

// Gives up the channels that have no subscription, and that no verb is using; how many those were. A later verb makes them anew, which may take
// seconds where it comes while libca still closes the circuit to that server.
std::size_t release_unused_channels();

}  // namespace catools::inline v0
