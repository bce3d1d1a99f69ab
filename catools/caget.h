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
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

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

std::vector<Reply<Value>> get_each(std::span<const std::string_view> names, Wish wish, const GetOptions& options, const mothreads::Until& until);

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

template <typename T>
Reply<T> converted(Reply<Value>&& reply) {
  if constexpr (std::is_same_v<T, Value>) {
    return std::move(reply);
  } else {
    if (!reply) return Reply<T>(reply.shared_name(), reply.error());
    try {
      return Reply<T>(reply.shared_name(), converted<T>(*std::move(reply)));
    } catch (const Error& error) {
      return Reply<T>(reply.shared_name(), error);
    }
  }
}

}  // namespace internal

template <typename T = Value>
T caget(std::string_view name, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  return internal::converted<T>(std::move(internal::get_each({&name, 1}, internal::wish_for<T>(), options, until).front()).value());
}
template <typename T = Value>
T caget(std::string_view name, const mothreads::Until& until = kDefaultLimit) {
  return caget<T>(name, GetOptions{}, until);
}

template <typename T = Value, internal::NameRange Names>
std::vector<Reply<T>> caget_each(const Names& names, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  std::vector<Reply<Value>> replies = internal::get_each(internal::names_of(names), internal::wish_for<T>(), options, until);
  if constexpr (std::is_same_v<T, Value>) {
    return replies;
  } else {
    std::vector<Reply<T>> all;
    all.reserve(replies.size());
    for (Reply<Value>& reply : replies) all.push_back(internal::converted<T>(std::move(reply)));
    return all;
  }
}
template <typename T = Value, internal::NameRange Names>
std::vector<Reply<T>> caget_each(const Names& names, const mothreads::Until& until = kDefaultLimit) {
  return caget_each<T>(names, GetOptions{}, until);
}

template <typename T = Value, internal::NameRange Names>
std::vector<T> caget(const Names& names, const GetOptions& options, const mothreads::Until& until = kDefaultLimit) {
  std::vector<T> all;
  for (Reply<T>& reply : caget_each<T>(names, options, until)) all.push_back(std::move(reply).value());
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
