#pragma once

// Gets the values of process variables.
//
//     double current = ca::caget<double>("SR-DI-DCCT-01:SIGNAL");
//     std::vector<double> orbit = ca::caget<double>(bpm_names);            // all in flight together, one flush
//     auto wave = ca::caget<std::vector<double>>("SR:WAVE", {.count = 100}, absl::Seconds(2));
//     ca::Value v = ca::caget("SR-DI-DCCT-01:SIGNAL", {.format = ca::Format::control});
//     for (const ca::Reply<double>& r : ca::caget_each<double>(names)) ...  // never throws for a single one
//
// With a type T the value is converted as by Value::as<T>(): one that does not fit is an Error, never cut. Numbers come in the type that the
// variable has, a std::string is the text that the server makes of the value.
//
// A variable that is not connected is waited for. The limit is for the connection and the value; 5 s unless said. A list has one limit for all. A
// value that the server does not send because the circuit breaks is an Error at once, Code::disconnected.
//
// Blocking: until the values are there; on a fiber only that fiber. Works on any thread, with a scheduler or without. A server that does not read
// holds up the whole thread in libca once 64 KiB and more wait for it. Failure: an Error; of a list
// the first in its order, when all have ended. Thread safety: may be called anywhere at any time, but on a thread with a context of libca's own without
// preemptive callbacks, which libca would not give back: there it is Misuse.

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "catools/error.h"
#include "catools/internal/names.h"
#include "catools/internal/wire.h"
#include "catools/reply.h"
#include "catools/value.h"
#include "mothreads/until.h"

namespace catools::inline v0 {

inline constexpr absl::Duration kDefaultLimit = absl::Seconds(5);

struct GetOptions {
  std::optional<Type> datatype = std::nullopt;  // the type that the server is to convert to; else the variable's own
  Format format = Format::raw;                  // decides what comes beside the value
  std::size_t count = 0;                        // so many elements of an array, which the server fills up with zeros; 0 for those that it has now
};

namespace internal {

// An element of a list: its value, still without the name, or why there is none.
struct Got {
  const std::shared_ptr<const std::string>& name;
  ValueParts* parts;
  const Error* error;
};

// Takes each in its order, when all have ended.
void get_each(std::span<const std::string_view> names, Wish wish, const GetOptions& options, const mothreads::Until& until,
              absl::FunctionRef<void(const Got&)> take);

template <typename T>
constexpr Wish wish_for() {
  if constexpr (std::is_same_v<T, Value>) return Wish::value;
  if constexpr (std::is_same_v<T, std::string>) return Wish::text;
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return Wish::texts;
  return Wish::numbers;
}

// Converts a value that came. Throws an Error where the value does not fit.
template <typename T>
T converted(Value&& value) {
  if constexpr (std::is_same_v<T, Value>) {
    return std::move(value);
  } else {
    return std::move(value).template as<T>();
  }
}

// Takes the value. Throws an Error where it does not fit.
template <typename T>
T taken(const Got& got) {
  if constexpr (std::is_constructible_v<Data, std::in_place_type_t<T>>) {
    if (T* const same = std::get_if<T>(&got.parts->data)) return std::move(*same);
  }
  got.parts->name = got.name;
  return converted<T>(Value(std::move(*got.parts)));
}

template <typename T>
T value_of(const Got& got) {
  if (got.error != nullptr) got.error->raise();
  return taken<T>(got);
}

template <typename T>
Reply<T> reply_of(const Got& got) {
  if (got.error != nullptr) return Reply<T>(got.name, *got.error);
  try {
    return Reply<T>(got.name, taken<T>(got));
  } catch (const Error& error) {
    return Reply<T>(got.name, error);
  }
}

}  // namespace internal

template <typename T = Value>
T caget(std::string_view name, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  std::optional<T> value;
  internal::get_each({&name, 1}, internal::wish_for<T>(), options, until, [&](const internal::Got& got) { value.emplace(internal::value_of<T>(got)); });
  return *std::move(value);
}
template <typename T = Value>
T caget(std::string_view name, const mothreads::Until& until = kDefaultLimit) {
  return caget<T>(name, GetOptions{}, until);
}

template <typename T = Value, internal::NameRange Names>
std::vector<Reply<T>> caget_each(const Names& names, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  const internal::NameList list = internal::names_of(names);
  std::vector<Reply<T>> all;
  all.reserve(list.size());
  internal::get_each(list, internal::wish_for<T>(), options, until, [&](const internal::Got& got) { all.push_back(internal::reply_of<T>(got)); });
  return all;
}
template <typename T = Value, internal::NameRange Names>
std::vector<Reply<T>> caget_each(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  return caget_each<T>(names, GetOptions{}, until);
}

template <typename T = Value, internal::NameRange Names>
std::vector<T> caget(const Names& names, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  const internal::NameList list = internal::names_of(names);
  std::vector<T> all;
  all.reserve(list.size());
  internal::get_each(list, internal::wish_for<T>(), options, until, [&](const internal::Got& got) { all.push_back(internal::value_of<T>(got)); });
  return all;
}
template <typename T = Value, internal::NameRange Names>
std::vector<T> caget(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  return caget<T>(names, GetOptions{}, until);
}

// A list in braces.
template <typename T = Value>
std::vector<T> caget(std::initializer_list<std::string_view> names, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  return caget<T, std::initializer_list<std::string_view>>(names, options, until);
}
template <typename T = Value>
std::vector<T> caget(std::initializer_list<std::string_view> names, const mothreads::Until& until = kDefaultLimit) {
  return caget<T, std::initializer_list<std::string_view>>(names, GetOptions{}, until);
}
template <typename T = Value>
std::vector<Reply<T>> caget_each(std::initializer_list<std::string_view> names, const GetOptions& options,
                                 const mothreads::Until& until = kDefaultLimit) {
  return caget_each<T, std::initializer_list<std::string_view>>(names, options, until);
}
template <typename T = Value>
std::vector<Reply<T>> caget_each(std::initializer_list<std::string_view> names, const mothreads::Until& until = kDefaultLimit) {
  return caget_each<T, std::initializer_list<std::string_view>>(names, GetOptions{}, until);
}

}  // namespace catools::inline v0
