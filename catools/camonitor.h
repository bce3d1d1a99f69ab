#pragma once

// Follows process variables.
//
//     ca::Subscription watch = ca::camonitor("SR-DI-DCCT-01:SIGNAL", [](const ca::Value& v) {   // in a fiber of this scheduler
//       print(v.name(), v.time(), v.as<double>());
//     }, {.format = ca::Format::time, .notify_disconnect = true});
//
//     ca::Subscription queued = ca::camonitor("TEST:PV2");       // without a function it is a queue
//     while (Result<ca::Value> v = queued.next(please_stop)) use(*v);
//
// The first value is the present one, as soon as there is a connection; camonitor() waits for nothing. After a restart of the server the
// subscription goes on, with the type that the variable has then.
//
// A function is called in a fiber of its own, for each subscription, on the scheduler of the caller, which is made if there is none: one value at a
// time, in order. It may wait, get, put, and close or destroy its own subscription. An exception of the function is logged, and closes the
// subscription. Where many updates come together for functions of one scheduler, those that follow the first are gathered for a millisecond.
//
// Values that come faster than they are taken are merged: the newest stays, and counts the others (Value::update_count()). A notice that the server
// has gone never takes the place of the value before it. With `all_updates` every value stays: without a bound, so let the consumer be quicker.
//
// Notices are Values that are not ok(): of a disconnection, where `notify_disconnect` asks for them, and of a server that refuses to send, always.
// Where there is no connection within `connect_limit` one notice of Code::disconnected comes, whatever `notify_disconnect` says; the subscription
// goes on waiting.
//
// The Subscription owns: its destructor closes it, and waits for a call of the function that runs, but from inside it. Afterwards the function is
// not called. It may outlive the fiber that makes it: its own fiber belongs to the scheduler, and no FiberGroup waits for it.
//
// Failure: camonitor() throws FiberLimit, and Misuse for an empty function. Thread safety: each member may be called from any thread or fiber, but
// not beside the destructor.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "catools/internal/names.h"
#include "catools/value.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

namespace internal {
class Monitor;
}

// Which changes of a variable are told. Joined by |.
enum class Events : std::uint8_t { value = 1, archive = 2, alarm = 4, property = 8 };
constexpr Events operator|(Events a, Events b) noexcept { return static_cast<Events>(static_cast<unsigned>(a) | static_cast<unsigned>(b)); }

struct MonitorOptions {
  std::optional<Type> datatype = std::nullopt;  // the type that the server is to convert to; else the variable's own
  Format format = Format::raw;
  std::size_t count = 0;  // so many elements of an array, which the server fills up with zeros; 0 for those that it has at each update
  std::optional<Events> events = std::nullopt;  // else of the value; of the alarm, where the format has it; of the properties, likewise
  bool all_updates = false;
  bool notify_disconnect = false;
  absl::Duration connect_limit = absl::InfiniteDuration();  // else there is a notice, once
};

struct SubscriptionInfo {
  std::string name;
  bool is_closed = false;
  std::uint64_t updates = 0;  // values and notices that came
  std::uint64_t dropped = 0;  // that were merged into a later one
  std::size_t waiting = 0;    // to be taken
  std::string last_error = {};  // from the server, or from the function
};

class [[nodiscard("it ends with its handle")]] Subscription {
 public:
  Subscription() noexcept;  // follows nothing: closed
  Subscription(Subscription&& other) noexcept;
  Subscription& operator=(Subscription&& other);
  ~Subscription();

  // The next value, or notice; waits for one. None when it is closed, or the limit came first. Throws Misuse for one that has a function.
  mothreads::Result<Value> next(const mothreads::Until& until = {});

  // Ends it: what has not been taken is dropped, and next() is `closed`. Waits for a call of the function, but from inside it.
  void close();
  bool is_closed() const;

  std::string name() const;
  SubscriptionInfo info() const;

  // For the library.
  Subscription(std::shared_ptr<internal::Monitor> monitor, bool has_function) noexcept;

 private:
  std::shared_ptr<internal::Monitor> monitor_;
  bool has_function_ = false;
};

Subscription camonitor(std::string_view name, const MonitorOptions& options = {});
Subscription camonitor(std::string_view name, absl::AnyInvocable<void(const Value&)> function, const MonitorOptions& options = {});

// Several with one function, which takes the place in the list, too: function(value, index). Calls for different variables take turns where they
// wait.
template <internal::NameRange Names, typename F>
  requires std::is_invocable_v<F&, const Value&, std::size_t>
std::vector<Subscription> camonitor(const Names& names, F function, const MonitorOptions& options = {}) {
  const auto shared = std::make_shared<F>(std::move(function));
  std::vector<Subscription> all;
  for (const std::string_view name : internal::names_of(names)) {
    all.push_back(camonitor(name, [shared, index = all.size()](const Value& value) { std::invoke(*shared, value, index); }, options));
  }
  return all;
}
template <internal::NameRange Names, typename F>
  requires(std::is_invocable_v<F&, const Value&> && !std::is_invocable_v<F&, const Value&, std::size_t>)
std::vector<Subscription> camonitor(const Names& names, F function, const MonitorOptions& options = {}) {
  return camonitor(names, [function = std::move(function)](const Value& value, std::size_t) mutable { std::invoke(function, value); }, options);
}

namespace internal {
// For PVs: with a value at hand.
enum class KeepLatest : bool { no, yes };
std::shared_ptr<Monitor> monitor_of(std::string_view name, const MonitorOptions& options, KeepLatest keep_latest);
// Begins; the function in a fiber.
Subscription open(std::shared_ptr<Monitor> monitor);
Subscription open(std::shared_ptr<Monitor> monitor, std::string_view fiber_name, absl::AnyInvocable<void(const Value&)> function);
}  // namespace internal

// Those that are not closed, of the whole process, in the order of their names.
std::vector<SubscriptionInfo> subscriptions();

}  // namespace catools::inline v0
