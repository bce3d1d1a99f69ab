#include "catools/server/internal/cells.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/catools/server/ca_messages.h"
#include "tests/support/exceptions.h"

namespace catools::inline v0::internal {
namespace {

using mothreads::testing::what_of;
using testing::bytes_of_hex;
using testing::hex_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Properties kPlain;
const Properties kTwoDigits{.precision = 2};
const Properties kModes{.texts = {"off", "on", "fast"}};

template <typename To>
std::vector<To> to(CellType type, const Cells& cells, const Properties& properties = kPlain, Fit fit = Fit::clamp) {
  return std::get<std::vector<To>>(convert(cells, type, properties, fit));
}

TEST(CellsTest, EachTypeOnTheWire) {
  const std::pair<Cells, std::string> kTable[] = {
      {std::vector<std::int16_t>{1, -1}, "0001 ffff"},
      {std::vector<float>{1.5F}, "3fc00000"},
      {std::vector<std::uint16_t>{2}, "0002"},
      {std::vector<std::uint8_t>{1, 255}, "01 ff"},
      {std::vector<std::int32_t>{-2}, "fffffffe"},
      {std::vector<double>{-2.5, 0}, "c004000000000000 0000000000000000"},
      {std::vector<std::string>{"ab"}, "6162 0000000000000000000000000000000000000000000000000000000000000000000000000000"},
  };
  for (const auto& [cells, hex] : kTable) {
    const std::string bytes = bytes_of_hex(hex);
    std::string out;
    append_cells(out, cells, 0, count_of(cells));
    EXPECT_EQ(hex_of(out), hex_of(bytes));
    Cells again = no_cells(type_of(cells));
    take_cells(again, bytes);
    EXPECT_EQ(again, cells);
    EXPECT_EQ(bytes.size(), count_of(cells) * bytes_of(type_of(cells)));
  }
}

TEST(CellsTest, APartOfThem) {
  std::string out;
  append_cells(out, std::vector<std::int16_t>{1, 2, 3, 4}, 1, 2);
  EXPECT_EQ(hex_of(out), "00020003");
}

TEST(CellsTest, ATextWithoutAnEndIsCut) {
  Cells cells = no_cells(CellType::string);
  take_cells(cells, std::string(40, 'x'));
  EXPECT_THAT(std::get<std::vector<std::string>>(cells), ElementsAre(std::string(39, 'x')));
}

TEST(CellsTest, NumbersBecomeTextWithThePrecision) {
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<double>{299.8765, -0.5}, kTwoDigits), ElementsAre("299.88", "-0.50"));
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<double>{299.8765, 300}), ElementsAre("299.8765", "300"));
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<float>{1.25F}, kTwoDigits), ElementsAre("1.25"));
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<std::int32_t>{-7}, kTwoDigits), ElementsAre("-7"));
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<std::uint8_t>{65}), ElementsAre("65"));
}

TEST(CellsTest, LargeNumbersAsARecordWritesThem) {
  EXPECT_EQ(text_of(12345678.123456, 5), "12345678.123");
  EXPECT_EQ(text_of(2e16, 2), "2.00e+16");
  EXPECT_EQ(text_of(1.5, 9), "1.500000000e+00");
  EXPECT_EQ(text_of(std::numeric_limits<double>::infinity(), 2), "inf");
}

TEST(CellsTest, ChoicesAndTheirTexts) {
  EXPECT_THAT(to<std::string>(CellType::string, std::vector<std::uint16_t>{2, 0, 9}, kModes), ElementsAre("fast", "off", "9"));
  EXPECT_THAT(to<std::uint16_t>(CellType::choice, std::vector<std::string>{"on", "2"}, kModes), ElementsAre(1, 2));
  EXPECT_THAT(what_of<ConversionError>([] { to<std::uint16_t>(CellType::choice, std::vector<std::string>{"slow"}, kModes); }), HasSubstr("\"slow\""));
  EXPECT_THAT(what_of<ConversionError>([] { check_choices(std::vector<std::uint16_t>{3}, kModes); }), HasSubstr("choice 3"));
  check_choices(std::vector<std::uint16_t>{2}, kModes);
}

TEST(CellsTest, TextsBecomeNumbersOrAreRefused) {
  EXPECT_THAT(to<double>(CellType::float64, std::vector<std::string>{" 1.5 ", "-2e3", "+4", "0x10"}), ElementsAre(1.5, -2000, 4, 16));
  EXPECT_THAT(to<std::int32_t>(CellType::int32, std::vector<std::string>{"12.9"}), ElementsAre(12));
  for (const char* text : {"", "abc", "1 2", "1x", "0x", "--1"}) {
    EXPECT_THROW(to<double>(CellType::float64, std::vector<std::string>{text}), ConversionError) << text;
  }
}

TEST(CellsTest, WhatDoesNotFitIsClampedOrRefused) {
  const Cells kFar = std::vector<double>{1e12, -1e12, std::nan(""), 3.9, -3.9};
  EXPECT_THAT(to<std::int16_t>(CellType::int16, kFar), ElementsAre(32767, -32768, 0, 3, -3));
  EXPECT_THAT(to<std::uint8_t>(CellType::byte, kFar), ElementsAre(255, 0, 0, 3, 0));
  EXPECT_THROW(to<std::int16_t>(CellType::int16, kFar, kPlain, Fit::refuse), ConversionError);
  EXPECT_THROW(to<std::int16_t>(CellType::int16, std::vector<std::int32_t>{32768}, kPlain, Fit::refuse), ConversionError);
  EXPECT_THROW(to<std::int32_t>(CellType::int32, std::vector<double>{std::nan("")}, kPlain, Fit::refuse), ConversionError);
  EXPECT_THAT(to<std::int32_t>(CellType::int32, std::vector<double>{-2147483648.0, 2147483647.5}, kPlain, Fit::refuse),
              ElementsAre(std::numeric_limits<std::int32_t>::min(), 2147483647));
}

}  // namespace
}  // namespace catools::inline v0::internal
