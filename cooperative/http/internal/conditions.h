#pragma once

// The conditions of a request, and the ranges that it asks for: RFC 9110, sections 13 and 14.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/http/headers.h"

namespace cooperative::inline v0::http::internal {

struct HttpValidators {
  std::string_view etag;     // a strong one, with its quotes
  absl::Time last_modified;  // in whole seconds
};

// 304 or 412 where that is the answer, else 0. For GET and HEAD of something that is there.
int check_conditions(const Headers& headers, const HttpValidators& validators);

struct HttpRange {
  std::uint64_t offset;
  std::uint64_t size;
  friend bool operator==(const HttpRange&, const HttpRange&) = default;
};

// The parts of `size` bytes that a Range asks for, in its order. Nothing when there is none, or it is to be passed over: malformed, of another unit,
// of more than `max` ranges, or of more than everything. An empty list when there is nothing of what it asks for: 416.
std::optional<std::vector<HttpRange>> parse_ranges(std::string_view value, std::uint64_t size, std::size_t max);

// The same, if its If-Range lets it.
std::optional<std::vector<HttpRange>> ranges_of(const Headers& headers, const HttpValidators& validators, std::uint64_t size,
                                                std::size_t max);

// In all three forms that there have been.
std::optional<absl::Time> parse_http_date(std::string_view text);

}  // namespace cooperative::http::internal
