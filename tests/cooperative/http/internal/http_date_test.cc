#include "cooperative/http/internal/http_date.h"

#include <cstdint>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace cooperative::inline v0::http::internal {
namespace {

TEST(HttpDateTest, IsTheFormOfTheStandard) {
  EXPECT_EQ(format_http_date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");  // the example of RFC 9110
  EXPECT_EQ(format_http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(format_http_date(951'782'399), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(format_http_date(951'782'400), "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST(HttpDateTest, AgreesWithAbseil) {
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::int64_t> any(-62'000'000'000, 253'402'300'799);
  for (int i = 0; i < 10'000; ++i) {
    const std::time_t time = any(random);
    EXPECT_EQ(format_http_date(time), absl::FormatTime("%a, %d %b %E4Y %H:%M:%S GMT", absl::FromTimeT(time), absl::UTCTimeZone()));
  }
}

TEST(HttpDateTest, WhatHasNoFourDigitsBecomesTheNearestThatHas) {
  EXPECT_EQ(format_http_date(253'402'300'799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(format_http_date(253'402'300'800), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(format_http_date(std::numeric_limits<std::int64_t>::max()), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(format_http_date(-62'167'219'200), "Sat, 01 Jan 0000 00:00:00 GMT");
  EXPECT_EQ(format_http_date(std::numeric_limits<std::int64_t>::min()), "Sat, 01 Jan 0000 00:00:00 GMT");
}

}  // namespace
}  // namespace cooperative::http::internal
