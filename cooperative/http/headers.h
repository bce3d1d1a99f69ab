#pragma once

// The header fields of an HTTP message: names that differ only in case are the same, and one may be there several times.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace cooperative::inline v0::http {

namespace internal {
class HttpParser;
}

struct HttpField {
  std::string_view name;
  std::string_view value;
};

class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<HttpField> fields);
  // A copy has its own text, also of those that a request borrows from its connection.
  Headers(const Headers& other);
  Headers& operator=(const Headers& other);
  Headers(Headers&&) noexcept = default;
  Headers& operator=(Headers&&) noexcept = default;

  // Behind all others. Throws mothreads::Misuse when the name is no token, or when the value has a control character: it would end the
  // line, and what follows be another field.
  void add(std::string_view name, std::string_view value);
  // The only one of that name.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  void clear();

  // The first of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  // Whether a field of that name, a list with commas, has this token: has_token("Connection", "close").
  bool has_token(std::string_view name, std::string_view token) const;

  // In their order; a field is valid until the headers change.
  std::size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  HttpField operator[](std::size_t index) const { return field(places_[index]); }

 private:
  friend class internal::HttpParser;
  struct FieldPosition {
    std::uint32_t name, name_size, value, value_size;
  };

  const char* text() const { return borrowed_ != nullptr ? borrowed_ : own_.data(); }
  HttpField field(const FieldPosition& place) const {
    return {{text() + place.name, place.name_size}, {text() + place.value, place.value_size}};
  }
  void append(std::string_view name, std::string_view value);
  void own();

  std::string own_;
  const char* borrowed_ = nullptr;  // instead of own_
  absl::InlinedVector<FieldPosition, 10> places_;
};

// As header names and tokens are compared: ASCII letters without their case.
bool http_iequals(std::string_view a, std::string_view b);
// Without spaces and tabs at both ends.
std::string_view http_trim(std::string_view text);
bool is_http_token(std::string_view text);

}  // namespace cooperative::http
