#include "catools/server/internal/dbr.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/catools/server/ca_messages.h"

namespace catools::inline v0::internal {
namespace {

using testing::bytes_of_hex;
using testing::hex_of;

Sample sample_of(Cells cells, Properties properties = {}) {
  return {.cells = std::move(cells),
          .properties = std::make_shared<const Properties>(std::move(properties)),
          .severity = Severity::major,
          .condition = Condition::hihi,
          .time = absl::FromUnixSeconds(631'152'000) + absl::Seconds(1) + absl::Nanoseconds(2)};
}

std::string payload(std::uint16_t type, const Sample& sample) {
  const std::optional<Layout> layout = layout_of(type);
  std::string out;
  append_prefix(out, *layout, sample);
  append_cells(out, sample.cells, 0, count_of(sample.cells));
  return hex_of(out);
}

const Properties kAll{.units = "mA",
                      .precision = 3,
                      .limits = {.low_display = 1,
                                 .high_display = 2,
                                 .low_alarm = 3,
                                 .high_alarm = 4,
                                 .low_warning = 5,
                                 .high_warning = 6,
                                 .low_control = 7,
                                 .high_control = 8}};

// As dbr_size[] and dbr_value_offset[] of EPICS Base 7.0 say.
TEST(DbrTest, SizesAndOffsetsOfAllTypes) {
  constexpr std::size_t kSizes[39] = {40, 2,  4,  2,   1,  4,  8,  44, 6,  8,  6,   6,  8,  16, 52, 16, 16, 16, 16, 16,
                                      24, 44, 26, 44,  424, 20, 40, 72, 44, 30, 52, 424, 22, 48, 88, 2,  2,  48, 40};
  constexpr std::size_t kOffsets[39] = {0,  0, 0,  0,  0,   0,  0,  4,  4, 4,  4,  5,   4,  8,  12, 14, 12, 14, 15, 12,
                                        16, 4, 24, 40, 422, 19, 36, 64, 4, 28, 48, 422, 21, 44, 80, 0,  0,  8,  0};
  for (std::uint16_t type = 0; type < 39; ++type) {
    const std::optional<Layout> layout = layout_of(type);
    ASSERT_TRUE(layout) << type;
    EXPECT_EQ(layout->offset, kOffsets[type]) << type;
    EXPECT_EQ(payload_size(*layout, 1), kSizes[type]) << type;
    EXPECT_EQ(payload_size(*layout, 0), kSizes[type]) << type;
    EXPECT_EQ(payload_size(*layout, 3), kSizes[type] + 2 * bytes_of(layout->cell)) << type;
  }
  for (const unsigned type : {39U, 40U, 1000U, 65535U}) EXPECT_FALSE(layout_of(static_cast<std::uint16_t>(type))) << type;
}

TEST(DbrTest, ThePrefixHasItsSize) {
  const Sample sample = sample_of(std::vector<double>{1}, kAll);
  for (std::uint16_t type = 0; type < 39; ++type) {
    std::string out = "before";
    append_prefix(out, *layout_of(type), sample);
    EXPECT_EQ(out.size(), 6 + layout_of(type)->offset) << type;
  }
}

TEST(DbrTest, StatusAndTime) {
  EXPECT_EQ(payload(13, sample_of(std::vector<double>{1})), hex_of(bytes_of_hex("0003 0002 00000000 3ff0000000000000")));
  EXPECT_EQ(payload(11, sample_of(std::vector<std::uint8_t>{7, 8})), hex_of(bytes_of_hex("0003 0002 00 07 08")));
  EXPECT_EQ(payload(20, sample_of(std::vector<double>{1})), hex_of(bytes_of_hex("0003 0002 00000001 00000002 00000000 3ff0000000000000")));
  EXPECT_EQ(payload(15, sample_of(std::vector<std::int16_t>{-1})), hex_of(bytes_of_hex("0003 0002 00000001 00000002 0000 ffff")));
  EXPECT_EQ(payload(18, sample_of(std::vector<std::uint8_t>{9})), hex_of(bytes_of_hex("0003 0002 00000001 00000002 000000 09")));
}

TEST(DbrTest, Control) {
  EXPECT_EQ(payload(29, sample_of(std::vector<std::int16_t>{9}, kAll)),
            hex_of(bytes_of_hex("0003 0002 6d41000000000000 0002 0001 0004 0006 0005 0003 0008 0007 0009")));
  EXPECT_EQ(payload(32, sample_of(std::vector<std::uint8_t>{9}, kAll)),
            hex_of(bytes_of_hex("0003 0002 6d41000000000000 02 01 04 06 05 03 08 07 00 09")));
  EXPECT_EQ(payload(26, sample_of(std::vector<std::int32_t>{9}, kAll)),
            hex_of(bytes_of_hex("0003 0002 6d41000000000000 00000002 00000001 00000004 00000006 00000005 00000003 00000009")));
  EXPECT_EQ(payload(34, sample_of(std::vector<double>{9}, kAll)),
            hex_of(bytes_of_hex("0003 0002 0003 0000 6d41000000000000 4000000000000000 3ff0000000000000 4010000000000000 4018000000000000"
                                "4014000000000000 4008000000000000 4020000000000000 401c000000000000 4022000000000000")));
}

TEST(DbrTest, TheTextsOfAnEnum) {
  const std::string hex = payload(31, sample_of(std::vector<std::uint16_t>{1}, {.texts = {"off", "on"}}));
  EXPECT_EQ(hex.size(), 2U * 424);
  EXPECT_EQ(hex.substr(0, 2 * 12), hex_of(bytes_of_hex("0003 0002 0002 6f66660000 00")));
  EXPECT_EQ(hex.substr(2 * 32, 6), "6f6e00");
  EXPECT_EQ(hex.substr(2 * 422), "0001");
}

TEST(DbrTest, LimitsThatAnIntegerCannotHold) {
  const Sample sample = sample_of(std::vector<std::int16_t>{0}, {.limits = {.low_display = -1e9, .high_display = 1e9}});
  EXPECT_EQ(payload(22, sample).substr(2 * 12, 24), hex_of(bytes_of_hex("7fff 8000 0000 0000 0000 0000")));
}

TEST(DbrTest, TimesBeyondTheRange) {
  Sample sample = sample_of(std::vector<float>{0});
  sample.time = absl::InfinitePast();
  EXPECT_EQ(payload(16, sample).substr(8, 16), "0000000000000000");
  sample.time = absl::InfiniteFuture();
  EXPECT_EQ(payload(16, sample).substr(8, 8), "ffffffff");
}

TEST(DbrTest, Acknowledgement) {
  Sample sample = sample_of(std::vector<std::string>{"x"});
  sample.unacknowledged = Severity::minor;
  EXPECT_EQ(payload(37, sample).substr(0, 18), hex_of(bytes_of_hex("0003 0002 0001 0001 78")));
}

}  // namespace
}  // namespace catools::inline v0::internal
