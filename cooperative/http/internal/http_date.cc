#include "cooperative/http/internal/http_date.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>

namespace cooperative::inline v0::http::internal {

namespace {

constexpr char kDays[] = "SunMonTueWedThuFriSat";
constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

constexpr std::chrono::sys_days kFirst{std::chrono::year{0} / 1 / 1};
constexpr std::chrono::sys_days kLast{std::chrono::year{9999} / 12 / 31};

void put_two_digits(char* at, unsigned number) {
  at[0] = static_cast<char>('0' + number / 10);
  at[1] = static_cast<char>('0' + number % 10);
}

}  // namespace

std::string format_http_date(std::time_t time) {
  using std::chrono::seconds;
  const auto moment = std::clamp(std::chrono::sys_seconds(seconds(time)), std::chrono::sys_seconds(kFirst),
                                 std::chrono::sys_seconds(kLast + std::chrono::days(1)) - seconds(1));
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const auto second = static_cast<unsigned>((moment - day).count());
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));

  std::string text = "Ddd, dd Mmm yyyy hh:mm:ss GMT";
  char* const at = text.data();
  std::memcpy(at, kDays + std::size_t{3} * std::chrono::weekday(day).c_encoding(), 3);
  put_two_digits(at + 5, static_cast<unsigned>(date.day()));
  std::memcpy(at + 8, kMonths + std::size_t{3} * (static_cast<unsigned>(date.month()) - 1), 3);
  put_two_digits(at + 12, year / 100);
  put_two_digits(at + 14, year % 100);
  put_two_digits(at + 17, second / 3600);
  put_two_digits(at + 20, second / 60 % 60);
  put_two_digits(at + 23, second % 60);
  return text;
}

}  // namespace cooperative::http::internal
