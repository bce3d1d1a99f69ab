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
// The latest value stays when the server goes: is_connected() tells. Values are converted as by Value::as<T>(); one that does not fit is an Error. get_next()
// gives each value once, to one caller; values that come faster are merged, as in a Subscription.
//
// Failure: get() throws an Error, when the limit comes (5 s unless said) or the PV is closed. Thread safety: each member may be called from any thread or
// fiber, but not beside the destructor. Its subscription ends with it.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/internal/names.h"
#include "catools/value.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

struct PVOptions {
  bool caput_wait = false;  // what caput() of the PV does
  std::optional<Type> datatype = std::nullopt;
  Format format = Format::time;
  std::size_t count = 0;
  std::optional<Events> events = std::nullopt;
};

namespace internal {

// What a PV is, whatever its type.
class Followed {
 public:
  Followed(std::string_view name, const PVOptions& options);
  Followed(Followed&& other) noexcept = default;
  Followed& operator=(Followed&& other) = default;

  // Throws an Error.
  Value latest(const mothreads::Until& until) const;
  std::optional<Value> latest_now() const;
  mothreads::Result<Value> next(const mothreads::Until& until);
  void reset();
  void close();
  bool is_connected() const;
  std::string name() const { return subscription_.name(); }

 private:
  std::shared_ptr<Monitor> monitor_;
  Subscription subscription_;
};

}  // namespace internal

template <typename T = Value>
class PV {
 public:
  explicit PV(std::string_view name, const PVOptions& options = {}) : followed_(name, options), options_(options) {}

  std::string name() const { return followed_.name(); }
  bool is_connected() const { return followed_.is_connected(); }

  // The latest value; waits for the first one.
  T get(const mothreads::Until& until = kDefaultLimit) const { return internal::converted<T>(followed_.latest(until)); }
  // The same without a wait: none when there has been none.
  std::optional<T> latest() const {
    std::optional<Value> value = followed_.latest_now();
    if (!value) return std::nullopt;
    return internal::converted<T>(*std::move(value));
  }
  // The next that get_next() has not given yet; waits for it.
  mothreads::Result<T> get_next(const mothreads::Until& until = {}) {
    mothreads::Result<Value> value = followed_.next(until);
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
  void close() { followed_.close(); }

 private:
  internal::Followed followed_;
  PVOptions options_;
};

template <typename T = double>
class PVArray {
 public:
  template <internal::NameRange Names>
  explicit PVArray(const Names& names, const PVOptions& options = {}) : options_(options) {
    for (const std::string_view name : internal::names_of(names)) {
      names_.emplace_back(name);
      all_.emplace_back(name, options);
    }
  }

  const std::vector<std::string>& names() const { return names_; }
  std::size_t size() const { return all_.size(); }

  // The latest of each; waits until each has had one. One limit for all.
  std::vector<T> get(const mothreads::Until& until = kDefaultLimit) const {
    const mothreads::Limit limit(until);
    std::vector<T> values;
    values.reserve(all_.size());
    for (const internal::Followed& one : all_) values.push_back(internal::converted<T>(one.latest(limit)));
    return values;
  }
  // The same without a wait: none where there has been none.
  std::vector<std::optional<T>> latest() const {
    std::vector<std::optional<T>> values;
    values.reserve(all_.size());
    for (const internal::Followed& one : all_) {
      std::optional<Value> value = one.latest_now();
      values.push_back(value ? std::optional<T>(internal::converted<T>(*std::move(value))) : std::nullopt);
    }
    return values;
  }
  // With their alarms and time stamps.
  std::vector<std::optional<Value>> values() const {
    std::vector<std::optional<Value>> values;
    for (const internal::Followed& one : all_) values.push_back(one.latest_now());
    return values;
  }
  // Which are connected, and have had a value.
  std::vector<bool> ok() const {
    std::vector<bool> each;
    for (const internal::Followed& one : all_) each.push_back(one.is_connected() && one.latest_now());
    return each;
  }
  bool all_ok() const {
    for (const internal::Followed& one : all_) {
      if (!one.is_connected() || !one.latest_now()) return false;
    }
    return true;
  }

  // One value for all, or one for each.
  template <typename V>
  void caput(const V& values, const mothreads::Until& until = kDefaultLimit) const {
    catools::caput(names_, values, {.wait = options_.caput_wait}, until);
  }
  // Asks the server.
  std::vector<T> caget(const mothreads::Until& until = kDefaultLimit) const { return catools::caget<T>(names_, until); }

  void close() {
    for (internal::Followed& one : all_) one.close();
  }

 private:
  std::vector<std::string> names_;
  std::vector<internal::Followed> all_;
  PVOptions options_;
};

}  // namespace catools::inline v0
