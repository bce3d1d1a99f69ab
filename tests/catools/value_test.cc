#include "catools/value.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace catools {
namespace {

using ::testing::ElementsAre;

Value of(Data data, std::size_t element_count = 1) {
  return Value({.name = std::make_shared<const std::string>("A:B"), .data = std::move(data), .element_count = element_count});
}

template <typename T>
void expect_limits(double lowest, double highest) {
  EXPECT_EQ(of(lowest).as<T>(), std::numeric_limits<T>::min());
  EXPECT_EQ(of(highest).as<T>(), std::numeric_limits<T>::max());
  EXPECT_THROW(of(lowest - 1).as<T>(), Error);
  EXPECT_THROW(of(highest + 1).as<T>(), Error);
}

TEST(ValueTest, IntegersFitOrAreRefusedAtTheirLimits) {
  expect_limits<std::int8_t>(-128, 127);
  expect_limits<std::uint8_t>(0, 255);
  expect_limits<std::int16_t>(-32768, 32767);
  expect_limits<std::uint16_t>(0, 65535);
  expect_limits<std::int32_t>(-2147483648.0, 2147483647.0);
  expect_limits<std::uint32_t>(0, 4294967295.0);
  EXPECT_EQ(of(-std::ldexp(1.0, 63)).as<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_THROW(of(std::ldexp(1.0, 63)).as<std::int64_t>(), Error);
  EXPECT_THROW(of(std::ldexp(1.0, 64)).as<std::uint64_t>(), Error);
  EXPECT_THROW(of(std::nan("")).as<int>(), Error);
  EXPECT_THROW(of(0.5).as<int>(), Error);
}

TEST(ValueTest, FloatsAreRoundedAndMustBeInRange) {
  EXPECT_EQ(of(0.1).as<float>(), 0.1F);
  EXPECT_THROW(of(1e39).as<float>(), Error);
  EXPECT_TRUE(std::isinf(of(std::numeric_limits<double>::infinity()).as<float>()));
  EXPECT_TRUE(std::isnan(of(std::nan("")).as<double>()));
}

TEST(ValueTest, TextsAreNumbersWhereAllOfThemIsOne) {
  EXPECT_EQ(of(std::string(" 2.5 ")).as<double>(), 2.5);
  EXPECT_EQ(of(std::string("+7")).as<int>(), 7);
  EXPECT_THROW(of(std::string("7 mA")).as<double>(), Error);
  EXPECT_THROW(of(std::string()).as<double>(), Error);
}

TEST(ValueTest, ABoolIsZeroOrOne) {
  EXPECT_TRUE(of(1.0).as<bool>());
  EXPECT_FALSE(of(Enum{0}).as<bool>());
  EXPECT_THROW(of(2.0).as<bool>(), Error);
}

TEST(ValueTest, AnEnumerationHasItsTextWhereTheTextsCame) {
  EXPECT_EQ(of(Enum{1}).as<std::string>(), "1");
  const Value value({.name = std::make_shared<const std::string>("A:B"),
                     .data = Enum{1},
                     .control = std::make_shared<const Control>(Control{.units = {}, .limits = {}, .precision = {}, .texts = {"off", "on"}})});
  EXPECT_EQ(value.as<std::string>(), "on");
  EXPECT_EQ(value.as<int>(), 1);
}

TEST(ValueTest, ArraysConvertEachElement) {
  const Value value = of(std::vector<double>{1, 2}, 5);
  EXPECT_TRUE(value.is_array());
  EXPECT_EQ(value.type(), Type::float64);
  EXPECT_THAT(value.as<std::vector<int>>(), ElementsAre(1, 2));
  EXPECT_THAT(value.as<std::vector<std::string>>(), ElementsAre("1", "2"));
  EXPECT_THAT(value.span<double>(), ElementsAre(1, 2));
  EXPECT_THROW(value.span<float>(), Error);
  EXPECT_THROW(value.as<double>(), Error);
  EXPECT_THAT(of(3.5).as<std::vector<double>>(), ElementsAre(3.5));
  EXPECT_EQ(of(std::vector<double>{4}, 5).as<double>(), 4);
}

TEST(ValueTest, BytesAreATextUpToTheFirstZero) {
  EXPECT_EQ(of(std::vector<std::uint8_t>{'a', 'b', 0, 'c'}, 10).as<std::string>(), "ab");
  EXPECT_EQ(of(std::vector<std::uint8_t>{}, 10).as<std::string>(), "");
}

TEST(ValueTest, ANoticeHasNoValue) {
  const Value notice({.name = std::make_shared<const std::string>("A:B"), .code = Code::disconnected, .text = "gone"});
  EXPECT_FALSE(notice.ok());
  EXPECT_STREQ(notice.error().what(), "A:B: gone");
  EXPECT_THROW(notice.as<double>(), Error);
  EXPECT_THROW(notice.as<std::vector<double>>(), Error);
}

TEST(ValueTest, TypesHaveTheNamesOfCainfo) {
  EXPECT_EQ(to_string(Type::int32), "long");
  EXPECT_EQ(to_string(static_cast<Type>(99)), "unknown");
}

}  // namespace
}  // namespace catools
