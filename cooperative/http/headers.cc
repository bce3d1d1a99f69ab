#include "cooperative/http/headers.h"

#include <algorithm>
#include <limits>

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The kinds of text that a byte may be part of. A table, since every byte of every field is looked up.
struct Kinds {
  bool token[256] = {};
  bool value[256] = {};
  constexpr Kinds() {
    for (int c = 0; c < 256; ++c) value[c] = (c >= ' ' && c != 0x7f) || c == '\t';
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
      token[static_cast<unsigned char>(c)] = true;
    }
  }
};
constexpr Kinds kKinds;

bool is_token_char(char c) { return kKinds.token[static_cast<unsigned char>(c)]; }
bool is_value_char(char c) { return kKinds.value[static_cast<unsigned char>(c)]; }

void check(std::string_view name, std::string_view value) {
  if (!is_http_token(name)) {
    throw mothreads::Misuse(fmt::format("a header field needs a name of letters, digits and \"-\": \"{}\" is none", mothreads::internal::printable(name.substr(0, 80))));
  }
  if (!std::all_of(value.begin(), value.end(), [](char c) { return is_value_char(c); })) {
    throw mothreads::Misuse(fmt::format("the value of header field \"{}\" has a control character: encode it first", name));
  }
}

}  // namespace

bool http_iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view http_trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_http_token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is_token_char(c); }); }

Headers::Headers(std::initializer_list<HttpField> fields) {
  for (const auto& [name, value] : fields) add(name, value);
}

Headers::Headers(const Headers& other) {
  for (std::size_t i = 0; i < other.size(); ++i) append(other[i].name, other[i].value);
}

Headers& Headers::operator=(const Headers& other) {
  if (this != &other) *this = Headers(other);
  return *this;
}

void Headers::own() {
  if (borrowed_ != nullptr) *this = Headers(*this);
}

void Headers::append(std::string_view name, std::string_view value) {
  const std::size_t at = own_.size();
  if (at + name.size() + value.size() > std::numeric_limits<std::uint32_t>::max() / 2) {
    throw mothreads::Misuse("header fields of more than 2 GiB: put that into the body");
  }
  own_.append(name).append(": ").append(value).append("\r\n");
  places_.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(at + name.size() + 2), static_cast<std::uint32_t>(value.size())});
}

void Headers::add(std::string_view name, std::string_view value) {
  check(name, value);
  own();
  append(name, value);
}

void Headers::set(std::string_view name, std::string_view value) {
  check(name, value);
  remove(name);
  own();
  append(name, value);
}

void Headers::remove(std::string_view name) {
  const auto is_it = [&](const FieldPosition& place) { return http_iequals(field(place).name, name); };
  places_.erase(std::remove_if(places_.begin(), places_.end(), is_it), places_.end());
}

void Headers::clear() {
  own_.clear();
  borrowed_ = nullptr;
  places_.clear();
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const FieldPosition& place : places_) {
    if (place.name_size == name.size() && http_iequals(field(place).name, name)) return field(place).value;
  }
  return std::nullopt;
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(places_.begin(), places_.end(), [&](const FieldPosition& place) { return http_iequals(field(place).name, name); }));
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const FieldPosition& place : places_) {
    const auto [its_name, value] = field(place);
    if (!http_iequals(its_name, name)) continue;
    std::string_view left = value;
    while (true) {
      const std::size_t comma = left.find(',');
      if (http_iequals(http_trim(left.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      left.remove_prefix(comma + 1);
    }
  }
  return false;
}

}  // namespace cooperative::http
