#include "docs/examples/strip_chart/board.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "docs/examples/strip_chart/canvas.h"

namespace strip_chart {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

absl::Time second(double number) { return absl::UnixEpoch() + absl::Seconds(number); }

// So many characters a line of UTF-8 has.
std::size_t characters(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(CanvasTest, ADotIsABitOfItsCharacter) {
  Canvas canvas(2, 1);
  canvas.set(0, 0);  // left, at the bottom
  canvas.set(3, 3);  // right, at the top
  EXPECT_THAT(canvas.lines(), ElementsAre("\u2840\u2808"));
}

TEST(CanvasTest, ADotOutsideIsLeftOut) {
  Canvas canvas(1, 1);
  canvas.set(2, 0);
  canvas.set(0, 4);
  EXPECT_THAT(canvas.lines(), ElementsAre("\u2800"));
}

TEST(CanvasTest, NeighboursAreJoined) {
  // From the bottom to the top: without the joint the second column would have one dot.
  EXPECT_THAT(draw({Extent{0, 0}, Extent{1, 1}}, {0, 1}, 1), ElementsAre("\u28f8"));
}

TEST(CanvasTest, ALineThatDoesNotMoveStandsInTheMiddle) {
  const Extent range = with_margin({5, 5});
  EXPECT_LT(range.least, 5);
  EXPECT_GT(range.greatest, 5);
  EXPECT_LT(with_margin({0, 0}).least, 0);
}

class BoardTest : public ::testing::Test {
 protected:
  Board board{{"current", "pressure"}, {"x1", "x2", "x3"}, absl::Seconds(60)};
};

TEST_F(BoardTest, FillsTheTerminalAndNoMore) {
  for (Trace& trace : board.strips) {
    trace.is_connected = true;
    for (int i = 0; i < 60; ++i) trace.history.add({second(i), i * 1.5});
  }
  for (Trace& trace : board.profile) trace.history.add({second(59), 3});
  const auto lines = picture(board, second(60), 80, 30);
  EXPECT_THAT(lines, SizeIs(30));
  for (const std::string& line : lines) EXPECT_LE(characters(line), 80u) << line;
  EXPECT_EQ(lines[0], "current  88.5");
  EXPECT_EQ(lines[10], "pressure  88.5");
  EXPECT_THAT(lines[20], StartsWith("3 values, from x1"));
}

TEST_F(BoardTest, SaysWhatIsWrong) {
  board.strips[0].trouble = "is an array";
  board.strips[1].is_connected = true;
  board.strips[1].severity = catools::Severity::major;
  board.strips[1].history.add({second(1), 2});
  const auto lines = picture(board, second(60), 40, 12);
  EXPECT_EQ(lines[0], "current  is an array");
  EXPECT_EQ(lines[4], "pressure  2  major");
  EXPECT_THAT(lines[8], HasSubstr("not connected"));
}

TEST_F(BoardTest, ShowsAsManyAsFit) {
  EXPECT_THAT(picture(board, second(60), 40, 4), SizeIs(4));
  EXPECT_THAT(picture(board, second(60), 10, 40), Each(StartsWith("the termin")));
  EXPECT_THAT(picture(board, second(60), 40, 2), ElementsAre("the terminal is too small"));
}

TEST_F(BoardTest, ANameThatIsNoAsciiCannotBreakALine) {
  const Board other({"a\x1b[2Jb"}, {}, absl::Seconds(60));
  EXPECT_EQ(picture(other, second(60), 40, 8)[0], "a?[2Jb  not connected");
}

}  // namespace
}  // namespace strip_chart
