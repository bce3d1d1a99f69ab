#include "cooperative/http/internal/conditions.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "absl/time/time.h"

namespace cooperative::inline v0::http::internal {

namespace {

std::string_view without_weakness(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return etag;
}

// Whether a list of entity tags has this one. Tags may have commas in them.
bool lists_etag(std::string_view list, std::string_view etag, bool weakly) {
  list = http_trim(list);
  if (list == "*") return true;
  while (!list.empty()) {
    list.remove_prefix(std::min(list.find_first_not_of(" \t,"), list.size()));
    const std::size_t quote = list.find('"');
    if (quote == std::string_view::npos) return false;
    const std::size_t end = list.find('"', quote + 1);
    if (end == std::string_view::npos) return false;
    const std::string_view one = list.substr(0, end + 1);
    if ((weakly ? without_weakness(one) : one) == etag) return true;
    list.remove_prefix(end + 1);
  }
  return false;
}

bool lists_etag_anywhere(const Headers& headers, std::string_view name, std::string_view etag, bool weakly) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (http_iequals(headers[i].name, name) && lists_etag(headers[i].value, etag, weakly)) return true;
  }
  return false;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc()) return value;
  // More than can be counted is more than any file has.
  const bool is_digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_digits ? std::optional<std::uint64_t>(UINT64_MAX) : std::nullopt;
}

}  // namespace

std::optional<absl::Time> parse_http_date(std::string_view text) {
  // The longest has 33 characters: "Wednesday, 09-Nov-94 08:49:37 GMT".
  if (text.size() < 24 || text.size() > 40) return std::nullopt;
  const std::string copy(text);
  for (const char* const format : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    absl::Time time;
    if (absl::ParseTime(format, copy, &time, nullptr) && time != absl::InfiniteFuture() && time != absl::InfinitePast()) return time;
  }
  return std::nullopt;
}

int check_conditions(const Headers& headers, const HttpValidators& validators) {
  if (headers.get("If-Match")) {
    if (!lists_etag_anywhere(headers, "If-Match", validators.etag, false)) return 412;
  } else if (const auto value = headers.get("If-Unmodified-Since")) {
    const auto time = parse_http_date(*value);
    if (time && validators.last_modified > *time) return 412;
  }
  if (headers.get("If-None-Match")) {
    if (lists_etag_anywhere(headers, "If-None-Match", validators.etag, true)) return 304;
  } else if (const auto value = headers.get("If-Modified-Since")) {
    const auto time = parse_http_date(*value);
    if (time && validators.last_modified <= *time) return 304;
  }
  return 0;
}

std::optional<std::vector<HttpRange>> parse_ranges(std::string_view value, std::uint64_t size, std::size_t max) {
  constexpr std::string_view kUnit = "bytes=";
  if (value.size() < kUnit.size() || !http_iequals(value.substr(0, kUnit.size()), kUnit)) return std::nullopt;
  value.remove_prefix(kUnit.size());
  std::vector<HttpRange> ranges;
  std::size_t asked = 0;
  std::uint64_t sum = 0;
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view one = http_trim(value.substr(0, comma));
    if (!one.empty()) {
      if (++asked > max) return std::nullopt;
      const std::size_t dash = one.find('-');
      if (dash == std::string_view::npos) return std::nullopt;
      const std::string_view from_text = one.substr(0, dash);
      const std::string_view to_text = one.substr(dash + 1);
      const auto from = number(from_text);
      const auto to = number(to_text);
      if ((!from && !from_text.empty()) || (!to && !to_text.empty()) || (!from && !to) || (from && to && *from > *to)) return std::nullopt;
      HttpRange range{};
      if (from) {
        if (*from < size) range = {*from, std::min(to.value_or(UINT64_MAX), size - 1) - *from + 1};
      } else {
        const std::uint64_t last = std::min(*to, size);
        range = {size - last, last};
      }
      if (range.size > 0) {
        ranges.push_back(range);
        sum += range.size;  // of at most `max` that are not more than `size`
        if (sum > size) return std::nullopt;
      }
    }
    if (comma == std::string_view::npos) break;
    value.remove_prefix(comma + 1);
  }
  if (asked == 0) return std::nullopt;
  return ranges;
}

std::optional<std::vector<HttpRange>> ranges_of(const Headers& headers, const HttpValidators& validators, std::uint64_t size,
                                                std::size_t max) {
  const auto range = headers.get("Range");
  if (!range || headers.count("Range") > 1) return std::nullopt;
  if (const auto condition = headers.get("If-Range")) {
    const std::string_view text = http_trim(*condition);
    if (text.find('"') != std::string_view::npos) {
      if (text != validators.etag) return std::nullopt;
    } else {
      const auto time = parse_http_date(text);
      if (!time || *time != validators.last_modified) return std::nullopt;
    }
  }
  return parse_ranges(http_trim(*range), size, max);
}

}  // namespace cooperative::http::internal
