#pragma once

// A process variable that is followed all the time, so that its latest value is at hand; and several as an array.
//
//     ca::PV<double> setpoint("TEST:SETPOINT", {.caput_wait = true});
//     double now = setpoint.get(absl::Seconds(1));            // the latest update; waits for the first one
//     Result<double> next = setpoint.get_next(please_stop);
//     if (next) setpoint.caput(*next + 1);
//
//     ca::PVArray<double> orbit(bpm_names);
//     std::vector<double> x = orbit.get();                    // waits until each has had its first one
//
//     ca::PV<double> current("SR-DI-DCCT-01:SIGNAL", [](ca::PV<double>& pv) { draw(pv.get()); });   // at each update, in a fiber of this scheduler
//     double shown = current.latest().value_or(0);                                               // before the first one, too
//
// The latest value stays when the server goes: is_connected() tells. Values are converted as by Value::as<T>(); one that does not fit is an Error. get_next()
// gives each value once, to one caller; values that come faster are merged, as in a Subscription.
//
// A function is called as that of camonitor() is. It gets the PV, which is the one that was made in all but ownership: a copy of it that is left behind
// does not keep the subscription. get_next() of a PV with a function throws Misuse.
//
// Failure: get() throws an Error, when the limit comes (5 s unless said) or the PV is closed. Thread safety: each member may be called from any thread or
// fiber, but not beside the destructor. Its subscription ends with it.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "catools/alarm.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/internal/names.h"
#include "catools/value.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

struct PVOptions {
  bool caput_wait = false;  // for caput() of the PV
  std::optional<Type> datatype = std::nullopt;
  Format format = Format::time;
  std::size_t count = 0;
  std::optional<Events> events = std::nullopt;
};

namespace internal {

// Throws Misuse for an empty one.
void check_function(std::string_view name, bool is_there);

// The part of a PV that knows no type: copies are views of the same. It ends with the Subscription that begin() gives.
class Followed {
 public:
  Followed(std::string_view name, const PVOptions& options);
  Subscription begin() const;
  Subscription begin(absl::AnyInvocable<void(const Value&)> function) const;

  // Throws an Error.
  Value latest(const mothreads::Until& until) const;
  std::optional<Value> latest_now() const;
  void reset() const;
  void close() const;
  bool is_connected() const;
  bool is_left_behind() const;
  const std::string& name() const;

 private:
  std::shared_ptr<Monitor> monitor_;
};

}  // namespace internal

template <typename T = Value>
class PV {
 public:
  explicit PV(std::string_view name, const PVOptions& options = {})
      : followed_(name, options), subscription_(followed_.begin()), options_(options) {}
  template <typename F>
    requires std::is_invocable_v<F&, PV&>
  PV(std::string_view name, F on_update, const PVOptions& options = {}) : followed_(name, options), options_(options) {
    absl::AnyInvocable<void(PV&)> function(std::move(on_update));
    internal::check_function(name, static_cast<bool>(function));
    subscription_ = followed_.begin([followed = followed_, options, function = std::move(function)](const Value&) mutable {
      PV view(followed, options);
      function(view);
    });
  }

  std::string name() const { return followed_.name(); }
  bool is_connected() const { return followed_.is_connected(); }

  // The latest value; waits for the first one.
  T get(const mothreads::Until& until = kDefaultLimit) const { return internal::converted<T>(followed_.latest(until)); }
  // The latest value, without a wait; none before the first one.
  std::optional<T> latest() const {
    std::optional<Value> value = followed_.latest_now();
    if (!value) return std::nullopt;
    return internal::converted<T>(*std::move(value));
  }
  // The next that get_next() has not given yet; waits for it.
  mothreads::Result<T> get_next(const mothreads::Until& until = {}) {
    mothreads::Result<Value> value = subscription_.next(until);
    if (!value) return mothreads::Result<T>(value.why(), name());
    if (!value->ok()) value->error().raise();
    return mothreads::Result<T>(std::in_place, internal::converted<T>(*std::move(value)));
  }
  // get_next() waits for what comes from now on.
  void reset() { followed_.reset(); }

  template <typename V>
  void caput(const V& value, const mothreads::Until& until = kDefaultLimit) const {
    catools::caput(name(), value, {.wait = options_.caput_wait}, until);
  }
  // Asks the server.
  T caget(const mothreads::Until& until = kDefaultLimit) const {
    return catools::caget<T>(name(), {.datatype = options_.datatype, .format = options_.format, .count = options_.count}, until);
  }

  // No more values come; the latest stays.
  void close() {
    followed_.close();
    subscription_.close();
  }

 private:
  PV(internal::Followed followed, const PVOptions& options) : followed_(std::move(followed)), options_(options) {}

  internal::Followed followed_;
  Subscription subscription_;
  PVOptions options_;
};

template <typename T = double>
class PVArray {
 public:
  template <internal::NameRange Names>
  explicit PVArray(const Names& names, const PVOptions& options = {}) : PVArray(options, names) {
    for (const internal::Followed& one : parts_->all) subscriptions_.push_back(one.begin());
  }
  // The function gets the array, and the place of what has changed in it.
  template <internal::NameRange Names, typename F>
    requires std::is_invocable_v<F&, PVArray&, std::size_t>
  PVArray(const Names& names, F on_update, const PVOptions& options = {}) : PVArray(options, names) {
    const auto shared = std::make_shared<F>(std::move(on_update));
    for (const internal::Followed& one : parts_->all) {
      subscriptions_.push_back(one.begin([parts = parts_, shared, index = subscriptions_.size()](const Value&) {
        PVArray view(parts);
        std::invoke(*shared, view, index);
      }));
    }
  }

  const std::vector<std::string>& names() const { return parts_->names; }
  std::size_t size() const { return parts_->all.size(); }

  // The latest of each; waits until each has had one. One limit for all.
  std::vector<T> get(const mothreads::Until& until = kDefaultLimit) const {
    const mothreads::Limit limit(until);
    std::vector<T> values;
    values.reserve(size());
    for (const internal::Followed& one : parts_->all) values.push_back(internal::converted<T>(one.latest(limit)));
    return values;
  }
  // The latest values, without a wait; none for a variable before its first one.
  std::vector<std::optional<T>> latest() const {
    return each([](const internal::Followed& one) -> std::optional<T> {
      std::optional<Value> value = one.latest_now();
      return value ? std::optional<T>(internal::converted<T>(*std::move(value))) : std::nullopt;
    });
  }
  // With their alarms and time stamps.
  std::vector<std::optional<Value>> values() const {
    return each([](const internal::Followed& one) { return one.latest_now(); });
  }
  // The members below describe the latest value; Severity::invalid, and no time, where there has been none.
  std::vector<Severity> severities() const {
    return each([](const internal::Followed& one) {
      const std::optional<Value> value = one.latest_now();
      return value ? value->severity() : Severity::invalid;
    });
  }
  std::vector<Condition> conditions() const {
    return each([](const internal::Followed& one) {
      const std::optional<Value> value = one.latest_now();
      return value ? value->condition() : Condition::undefined;
    });
  }
  std::vector<std::optional<absl::Time>> times() const {
    return each([](const internal::Followed& one) {
      const std::optional<Value> value = one.latest_now();
      return value ? value->time() : std::nullopt;
    });
  }
  // Which have had a value.
  std::vector<bool> seen() const {
    return each([](const internal::Followed& one) { return one.latest_now().has_value(); });
  }
  // Which are connected, and have had a value.
  std::vector<bool> ok() const {
    return each([](const internal::Followed& one) { return one.is_connected() && one.latest_now(); });
  }
  bool all_ok() const {
    for (const internal::Followed& one : parts_->all) {
      if (!one.is_connected() || !one.latest_now()) return false;
    }
    return true;
  }

  // Puts a value for all, or a value for each.
  template <typename V>
  void caput(const V& values, const mothreads::Until& until = kDefaultLimit) const {
    catools::caput(names(), values, {.wait = parts_->options.caput_wait}, until);
  }
  // Asks the server.
  std::vector<T> caget(const mothreads::Until& until = kDefaultLimit) const {
    const PVOptions& options = parts_->options;
    return catools::caget<T>(names(), {.datatype = options.datatype, .format = options.format, .count = options.count}, until);
  }

  // No more values come; the latest stay.
  void close() {
    for (const internal::Followed& one : parts_->all) one.close();
    for (Subscription& one : subscriptions_) one.close();
  }

 private:
  struct Parts {
    PVOptions options;
    std::vector<std::string> names = {};
    std::vector<internal::Followed> all = {};
  };

  template <internal::NameRange Names>
  PVArray(const PVOptions& options, const Names& names) {
    Parts parts{.options = options};
    for (const std::string_view name : internal::names_of(names)) {
      parts.names.emplace_back(name);
      parts.all.emplace_back(name, options);
    }
    parts_ = std::make_shared<const Parts>(std::move(parts));
  }
  explicit PVArray(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

  template <typename F>
  auto each(const F& f) const {
    std::vector<std::invoke_result_t<const F&, const internal::Followed&>> all;
    all.reserve(size());
    for (const internal::Followed& one : parts_->all) all.push_back(f(one));
    return all;
  }

  std::shared_ptr<const Parts> parts_;
  std::vector<Subscription> subscriptions_;
};

}  // namespace catools::inline v0
