#pragma once

// A process variable of a ca::Server, for the program that serves it.
//
//     ca::Served<double> beam = server.add<double>("SIM:CURRENT", 300.0, {.units = "mA", .limits = {.high_alarm = 400}});
//     beam.set(299.8);                                              // the severity follows from the limits
//     beam.set(299.8, {.severity = ca::Severity::minor});           // or is given
//
// T is double, float, std::int32_t, std::int16_t, std::uint8_t, char, std::string (up to 39 bytes), an enum whose numbers are the places of its
// texts, or a std::vector of one of those. A vector's longest is ServedOptions::max_count; clients get its current length when they ask for that.
//
// A Served is a cheap handle: copies are the same process variable. It does not keep the server running; when that has ended, or the variable
// was removed, set() and get() still work, and nobody else sees it.
//
// Clients that monitor are told of a set() that changes the value or the alarm, as by a record with MDEL 0; of a vector they are told of each, as by a
// waveform. ServedOptions::posts says otherwise. A set() that they are not told of changes the time all the same. Where the alarm alone changes, clients
// that asked for alarms are told. Updates come in order. Where more come than a client takes, it misses some in the middle, and gets the last.
//
// Thread safety: every member may be called from any thread or fiber. None waits for a client.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "catools/alarm.h"
#include "catools/limits.h"
#include "catools/server/access_rights.h"
#include "catools/server/internal/served_pv.h"
#include "catools/server/internal/served_type.h"
#include "catools/server/put_refused.h"
#include "mothreads/signal.h"

namespace catools::inline v0 {

class Server;

// Called for each put of a client, in a fiber of its own; for one process variable one call after the other. It may take a please_stop (a
// mothreads::Signal) as its last parameter, which goes when the server has to stop; one that does not is cancelled then.
//
// When it returns, the value that was put is stored; or the T that it returns, if it returns one. An exception refuses the put: PutRefused for what
// the client did wrong, logged as information, any other is logged as an error. A client that waits for its put is answered when it has ended.
template <typename T>
class PutHandler {
 public:
  PutHandler() = default;
  template <typename F>
    requires(!std::same_as<std::remove_cvref_t<F>, PutHandler> && (std::invocable<F&, T> || std::invocable<F&, T, const mothreads::Signal&>))
  explicit(false) PutHandler(F&& function) {
    constexpr bool kTakesPleaseStop = std::invocable<F&, T, const mothreads::Signal&>;
    function_.takes_please_stop = kTakesPleaseStop;
    function_.call = [f = std::forward<F>(function)](internal::Cells&& cells, const mothreads::Signal& please_stop) mutable -> internal::Cells {
      const auto call = [&](T value) {
        if constexpr (kTakesPleaseStop) {
          return std::invoke(f, std::move(value), please_stop);
        } else {
          return std::invoke(f, std::move(value));
        }
      };
      T value = internal::ServedType<T>::value_of(cells);
      if constexpr (std::is_void_v<decltype(call(std::move(value)))>) {
        call(std::move(value));
        return std::move(cells);
      } else {
        return internal::ServedType<T>::cells_of(call(std::move(value)));
      }
    };
  }

 private:
  friend class Server;
  internal::PutFunction function_;
};

// The calls of set(), and puts, of which clients that monitor the value are told.
enum class Posts : std::uint8_t {
  changes,    // those that change it
  every_set,  // all, as by a record with MDEL -1: for a value that is an event, or whose time counts
};

template <typename T>
struct ServedOptions {
  std::string units = {};               // up to 7 bytes
  std::optional<int> precision = {};    // digits behind the point where a client asks for text; all that are needed if not given
  Limits limits = {};                   // for a number: the alarm and warning limits decide the severity
  std::vector<std::string> texts = {};  // for an enum: 16 of up to 25 bytes
  std::size_t max_count = 0;            // elements of a vector; 0 for as many as its first value has, at least one
  AccessRights access = AccessRights::read_write;
  std::optional<Posts> posts = std::nullopt;  // default changes; of a vector every_set
  PutHandler<T> on_put = {};
};

struct SetOptions {
  std::optional<Severity> severity = std::nullopt;    // default by the limits
  std::optional<Condition> condition = std::nullopt;  // only with a severity; default Condition::soft
  std::optional<absl::Time> time = std::nullopt;      // default now
};

template <typename T>
class Served {
 public:
  const std::string& name() const { return pv_->name(); }

  // Throws std::invalid_argument, which names the variable, for a value that it cannot hold: a text that is too long, too many elements, an enum
  // without a text, a text with a zero byte. Throws mothreads::Misuse for a condition without a severity. A set() that throws has changed nothing.
  void set(T value, const SetOptions& options = {}) const {
    pv_->set(internal::ServedType<T>::cells_of(std::move(value)),
             {.severity = options.severity, .condition = options.condition, .time = options.time});
  }
  T get() const { return internal::ServedType<T>::value_of(pv_->sample()->cells); }
  Severity severity() const { return pv_->sample()->severity; }
  Condition condition() const { return pv_->sample()->condition; }
  absl::Time time() const { return pv_->sample()->time; }

  // Clients that are connected are told.
  void set_access(AccessRights access) const { pv_->set_rights(access); }
  AccessRights access() const { return pv_->rights(); }
  // Clients that asked for changes of properties are told. The severity of the current value stays.
  void set_limits(const Limits& limits) const {
    pv_->change_properties([&](internal::Properties& properties) { properties.limits = limits; });
  }
  // Likewise. Throws mothreads::Misuse for units of more than 7 bytes.
  void set_units(std::string units) const {
    internal::check_units(pv_->name(), units);
    pv_->change_properties([&](internal::Properties& properties) { properties.units = std::move(units); });
  }
  Limits limits() const { return pv_->sample()->properties->limits; }

  // False once it was removed from its server.
  bool is_served() const { return !pv_->is_removed(); }

 private:
  friend class Server;
  explicit Served(std::shared_ptr<internal::ServedPv> pv) : pv_(std::move(pv)) {}

  std::shared_ptr<internal::ServedPv> pv_;
};

}  // namespace catools::inline v0
