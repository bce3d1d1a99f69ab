#include "catools/server/internal/wire.h"

#include <gtest/gtest.h>

#include "tests/catools/server/ca_messages.h"

namespace catools::inline v0::internal {
namespace {

using testing::bytes_of_hex;
using testing::hex_of;

TEST(WireTest, AHeaderInBothDirections) {
  const Header header{.command = Command::read_notify, .size = 16, .type = 20, .count = 1, .first = 0x01020304, .second = 0xa0b0c0d0};
  const std::string bytes = bytes_of_hex("000f 0010 0014 0001 01020304 a0b0c0d0");
  std::string out;
  append_header(out, header);
  EXPECT_EQ(hex_of(out), hex_of(bytes));
  const auto parsed = parse_header(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->header, header);
  EXPECT_EQ(parsed->length, 16U);
}

TEST(WireTest, ALargeHeaderInBothDirections) {
  const Header header{.command = Command::event_add, .size = 8'000'000, .type = 6, .count = 1'000'000, .first = 1, .second = 7};
  const std::string bytes = bytes_of_hex("0001 ffff 0006 0000 00000001 00000007 007a1200 000f4240");
  std::string out;
  append_header(out, header);
  EXPECT_EQ(hex_of(out), hex_of(bytes));
  const auto parsed = parse_header(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->header, header);
  EXPECT_EQ(parsed->length, 24U);
}

TEST(WireTest, ACountThatDoesNotFitMakesALargeHeader) {
  std::string out;
  append_header(out, {.command = Command::create_channel, .type = 6, .count = 0xffff, .first = 3, .second = 4});
  EXPECT_EQ(hex_of(out), hex_of(bytes_of_hex("0012 ffff 0006 0000 00000003 00000004 00000000 0000ffff")));
  out.clear();
  append_header(out, {.command = Command::create_channel, .type = 6, .count = 0xfffe, .first = 3, .second = 4});
  EXPECT_EQ(hex_of(out), hex_of(bytes_of_hex("0012 0000 0006 fffe 00000003 00000004")));
}

TEST(WireTest, TheSizeIsThatOfThePaddedPayload) {
  std::string out;
  append_header(out, {.command = Command::echo, .size = 9});
  EXPECT_EQ(hex_of(out.substr(2, 2)), "0010");
  out.clear();
  append_header(out, {.command = Command::echo, .size = 0xfff8});
  EXPECT_EQ(hex_of(out.substr(2, 2)), "fff8");
  out.clear();
  append_header(out, {.command = Command::echo, .size = 0xfff9});
  EXPECT_EQ(hex_of(out.substr(2, 2)), "ffff");
}

TEST(WireTest, PartsOfAHeaderAreNone) {
  const std::string small = bytes_of_hex("000f 0010 0014 0001 01020304 a0b0c0d0");
  for (std::size_t size = 0; size < small.size(); ++size) EXPECT_FALSE(parse_header(small.substr(0, size))) << size;
  const std::string large = bytes_of_hex("0001 ffff 0006 0000 00000001 00000007 007a1200 000f4240");
  for (std::size_t size = 0; size < large.size(); ++size) EXPECT_FALSE(parse_header(large.substr(0, size))) << size;
}

TEST(WireTest, NumbersOfEachSize) {
  std::string out;
  append_number(out, std::uint8_t{0x12});
  append_number(out, std::int16_t{-2});
  append_number(out, 1.0F);
  append_number(out, -2.5);
  EXPECT_EQ(hex_of(out), hex_of(bytes_of_hex("12 fffe 3f800000 c004000000000000")));
  EXPECT_EQ(number_at<std::int16_t>(out, 1), -2);
  EXPECT_EQ(number_at<float>(out, 3), 1.0F);
  EXPECT_EQ(number_at<double>(out, 7), -2.5);
}

TEST(WireTest, ATextFillsItsField) {
  std::string out;
  append_text(out, "mA", 4);
  append_text(out, "too long", 4);
  EXPECT_EQ(out, std::string("mA\0\0too ", 8));
  EXPECT_EQ(text_in(std::string_view("mA\0x", 4)), "mA");
  EXPECT_EQ(text_in("full"), "full");
}

}  // namespace
}  // namespace catools::inline v0::internal
