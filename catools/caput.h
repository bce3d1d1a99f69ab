#pragma once

// Puts values into process variables.
//
//     ca::caput("TEST:PV1", 3.5);                                                  // sent; the server's refusal is only logged
//     ca::caput("TEST:PV1", 3.5, {.wait = true}, please_stop | absl::Seconds(2));  // done, or an Error
//     ca::caput(names, 0);                                                         // a value for all
//     ca::caput(names, values);                                                    // a value for each
//     ca::caput(names, array, {.repeat_value = true});                             // an array for all
//     for (const ca::Reply<void>& r : ca::caput_each(names, 0, {.wait = true})) ...
//     ca::caput("TEST:PV1", 3.5, [](const ca::Reply<void>& r) {                    // later, in a fiber of this scheduler
//       if (!r) log::warning("{}", r.error().what());
//     });
//
// A value is a number, a bool, an Enum, a text, a Value, or a range of numbers or texts for an array. Numbers are converted to the type that the
// variable has, on this side: one that does not fit is an Error, never cut. A text is converted by the server, so it may be a number or a choice of
// an enumeration; to an array of characters, as NAME.VAL$ is, it goes as its characters. A text that would be cut is an Error: one of more than 39 bytes, or
// than the array has room for, and one with a zero byte.
//
// A variable that is not connected is waited for. Puts into connected variables go out in the order of the calls, and of the list. The limit is for
// the connection and, with `wait`, the end of what the put sets off; 5 s unless said. A put that was sent is not taken back when the limit comes.
//
// With a function caput() waits and throws as it does without. The function is called once for each variable that was named, when the server has done
// all that the put sets off, or will not: also when the limit of a wait came before. A put that the limit finds without a connection is taken back,
// and its function gets that Error. The function runs in a fiber of its own on the scheduler of the caller, which is made if there is none; it may
// wait, get and put. An exception of the function is logged. When that scheduler ends first, the function gets an Error with Why::stopped, while its fibers stop.
// For several it may take the place in the list, too: function(reply, index).
//
// Blocking, failure, thread safety: as caget; with a function also FiberLimit, and Misuse for an empty function: then nothing is sent.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "catools/caget.h"
#include "catools/error.h"
#include "catools/internal/names.h"
#include "catools/internal/wire.h"
#include "catools/reply.h"
#include "catools/value.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

using internal::PutTo;

struct PutOptions {
  bool wait = false;                            // until the server has done all that the put sets off
  bool repeat_value = false;                    // for several: a range is an array that goes into all, not one value for each
  std::optional<Type> datatype = std::nullopt;  // to convert to, on this side; else the variable's own
  PutTo to = PutTo::value;                      // or the number of a Severity that is acknowledged; or 0 or 1, whether alarms that pass must be
};

namespace internal {

template <typename T>
concept PutElement = std::is_arithmetic_v<T> || std::is_same_v<T, Enum>;

template <typename T>
concept PutText = std::is_convertible_v<const T&, std::string_view>;

template <typename T>
concept PutArray = std::ranges::input_range<const T> && !PutText<T> &&
                   (PutElement<std::ranges::range_value_t<const T>> || PutText<std::ranges::range_value_t<const T>>);

template <typename T>
concept Puttable = PutElement<T> || PutText<T> || PutArray<T> || std::is_same_v<T, Value>;

// The type in which a number waits: its own where Channel Access has it.
template <typename T>
using Carrier = std::conditional_t<
    std::is_same_v<T, std::int16_t> || std::is_same_v<T, float> || std::is_same_v<T, Enum> || std::is_same_v<T, std::uint8_t> ||
        std::is_same_v<T, std::int32_t>,
    T, double>;

template <typename T>
Carrier<T> carried(T number, bool& is_exact) {
  const auto carrier = static_cast<Carrier<T>>(number);
  if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
    const std::optional<T> back = fitting<T>(carrier);
    if (!back || *back != number) is_exact = false;
  }
  return carrier;
}

template <Puttable T>
Outgoing outgoing(const T& value) {
  Outgoing out;
  if constexpr (std::is_same_v<T, Value>) {
    out.data = value.data();
  } else if constexpr (PutElement<T>) {
    out.data = carried(value, out.is_exact);
  } else if constexpr (PutText<T>) {
    out.data = std::string(std::string_view(value));
  } else {
    using Element = std::ranges::range_value_t<const T>;
    if constexpr (PutElement<Element>) {
      std::vector<Carrier<Element>> all;
      if constexpr (std::ranges::sized_range<const T>) all.reserve(std::ranges::size(value));
      for (const Element element : value) all.push_back(carried(element, out.is_exact));
      out.data = std::move(all);
    } else {
      std::vector<std::string> all;
      for (const auto& element : value) all.emplace_back(std::string_view(element));
      out.data = std::move(all);
    }
  }
  return out;
}

// There is a value for all, or as many as names.
std::vector<Reply<void>> put_each(std::span<const std::string_view> names, std::vector<Outgoing> values, const PutOptions& options,
                                  const mothreads::Until& until);

// Puts, with a function for each name.
using PutDone = absl::AnyInvocable<void(const Reply<void>&)>;
std::vector<Reply<void>> put_each(std::span<const std::string_view> names, std::vector<Outgoing> values, std::vector<PutDone> functions,
                                  const PutOptions& options, const mothreads::Until& until);

template <typename F>
concept PutDoneForSeveral = std::is_invocable_v<F&, const Reply<void>&> || std::is_invocable_v<F&, const Reply<void>&, std::size_t>;

// A value for all, or one for each name.
template <typename T>
std::vector<Outgoing> outgoing_of_several(const T& values, std::size_t names, const PutOptions& options) {
  std::vector<Outgoing> all;
  if constexpr (PutArray<T>) {
    if (options.repeat_value) {
      all.push_back(outgoing(values));
      return all;
    }
  }
  if constexpr (Puttable<T> && !PutArray<T>) {
    all.push_back(outgoing(values));
  } else {
    static_assert(std::ranges::input_range<const T>, "caput of several takes one value for all, or a range with one for each");
    for (const auto& value : values) all.push_back(outgoing(value));
    if (all.size() != names) {
      throw mothreads::Misuse("caput of several got another number of values than of names: give one for each, or a single one for all");
    }
  }
  return all;
}

}  // namespace internal

// --- one -----------------------------------------------------------------------------------------------------------------------------

template <internal::Puttable T>
void caput(std::string_view name, const T& value, const PutOptions& options, const mothreads::Until& until = kDefaultLimit) {
  std::vector<internal::Outgoing> values;
  values.push_back(internal::outgoing(value));
  internal::put_each({&name, 1}, std::move(values), options, until).front().value();
}
template <internal::Puttable T>
void caput(std::string_view name, const T& value, const mothreads::Until& until = kDefaultLimit) {
  caput(name, value, PutOptions{}, until);
}

// --- several -------------------------------------------------------------------------------------------------------------------------

// A single value is put into all; a range has one for each, else Misuse.
template <internal::NameRange Names, typename T>
std::vector<Reply<void>> caput_each(const Names& names, const T& values, const PutOptions& options, const mothreads::Until& until = kDefaultLimit) {
  const internal::NameList list = internal::names_of(names);
  return internal::put_each(list, internal::outgoing_of_several(values, list.size(), options), options, until);
}
template <internal::NameRange Names, typename T>
std::vector<Reply<void>> caput_each(const Names& names, const T& values, const mothreads::Until& until = kDefaultLimit) {
  return caput_each(names, values, PutOptions{}, until);
}
template <typename T>
std::vector<Reply<void>> caput_each(std::initializer_list<std::string_view> names, const T& values, const PutOptions& options,
                                    const mothreads::Until& until = kDefaultLimit) {
  return caput_each<std::initializer_list<std::string_view>>(names, values, options, until);
}
template <typename T>
std::vector<Reply<void>> caput_each(std::initializer_list<std::string_view> names, const T& values, const mothreads::Until& until = kDefaultLimit) {
  return caput_each<std::initializer_list<std::string_view>>(names, values, PutOptions{}, until);
}

template <internal::NameRange Names, typename T>
void caput(const Names& names, const T& values, const PutOptions& options, const mothreads::Until& until = kDefaultLimit) {
  for (const Reply<void>& reply : caput_each(names, values, options, until)) reply.value();
}
template <internal::NameRange Names, typename T>
void caput(const Names& names, const T& values, const mothreads::Until& until = kDefaultLimit) {
  caput(names, values, PutOptions{}, until);
}
template <typename T>
void caput(std::initializer_list<std::string_view> names, const T& values, const PutOptions& options, const mothreads::Until& until = kDefaultLimit) {
  caput<std::initializer_list<std::string_view>>(names, values, options, until);
}
template <typename T>
void caput(std::initializer_list<std::string_view> names, const T& values, const mothreads::Until& until = kDefaultLimit) {
  caput<std::initializer_list<std::string_view>>(names, values, PutOptions{}, until);
}

// --- with a function -----------------------------------------------------------------------------------------------------------------

template <internal::Puttable T, typename F>
  requires std::is_invocable_v<F&, const Reply<void>&>
void caput(std::string_view name, const T& value, F on_done, const PutOptions& options = {}, const mothreads::Until& until = kDefaultLimit) {
  std::vector<internal::Outgoing> values;
  values.push_back(internal::outgoing(value));
  std::vector<internal::PutDone> functions;
  functions.emplace_back(std::move(on_done));
  internal::put_each({&name, 1}, std::move(values), std::move(functions), options, until).front().value();
}

template <internal::NameRange Names, typename T, internal::PutDoneForSeveral F>
std::vector<Reply<void>> caput_each(const Names& names, const T& values, F on_done, const PutOptions& options = {},
                                    const mothreads::Until& until = kDefaultLimit) {
  const internal::NameList list = internal::names_of(names);
  const auto shared = std::make_shared<F>(std::move(on_done));
  std::vector<internal::PutDone> functions;
  functions.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if constexpr (std::is_invocable_v<F&, const Reply<void>&, std::size_t>) {
      functions.emplace_back([shared, i](const Reply<void>& reply) { std::invoke(*shared, reply, i); });
    } else {
      functions.emplace_back([shared](const Reply<void>& reply) { std::invoke(*shared, reply); });
    }
  }
  return internal::put_each(list, internal::outgoing_of_several(values, list.size(), options), std::move(functions), options, until);
}
template <typename T, internal::PutDoneForSeveral F>
std::vector<Reply<void>> caput_each(std::initializer_list<std::string_view> names, const T& values, F on_done, const PutOptions& options = {},
                                    const mothreads::Until& until = kDefaultLimit) {
  return caput_each<std::initializer_list<std::string_view>>(names, values, std::move(on_done), options, until);
}

template <internal::NameRange Names, typename T, internal::PutDoneForSeveral F>
void caput(const Names& names, const T& values, F on_done, const PutOptions& options = {}, const mothreads::Until& until = kDefaultLimit) {
  for (const Reply<void>& reply : caput_each(names, values, std::move(on_done), options, until)) reply.value();
}
template <typename T, internal::PutDoneForSeveral F>
void caput(std::initializer_list<std::string_view> names, const T& values, F on_done, const PutOptions& options = {},
           const mothreads::Until& until = kDefaultLimit) {
  caput<std::initializer_list<std::string_view>>(names, values, std::move(on_done), options, until);
}

}  // namespace catools::inline v0
