#include "docs/examples/strip_chart/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strip_chart {
namespace {

absl::Time second(double number) { return absl::UnixEpoch() + absl::Seconds(number); }

History filled(std::size_t room, std::initializer_list<double> seconds) {
  History history("current", room);
  for (const double at : seconds) history.add({second(at), 10 * at});
  return history;
}

TEST(HistoryTest, KeepsTheLastPointsInOrder) {
  const History history = filled(3, {1, 2, 3, 4, 5});
  EXPECT_EQ(history.size(), 3u);
  EXPECT_EQ(history.added(), 5u);
  EXPECT_EQ(history.at(0).value, 30);
  EXPECT_EQ(history.at(2).value, 50);
  EXPECT_EQ(history.last()->at, second(5));
}

TEST(HistoryTest, HasNothingAtFirst) {
  const History history("current", 3);
  EXPECT_FALSE(history.last());
  EXPECT_FALSE(extent_of(history.columns(second(10), absl::Seconds(10), 5)));
}

TEST(HistoryTest, LeavesOutAPointThatIsOlder) {
  History history = filled(3, {1, 2});
  history.add({second(1.5), 7});
  EXPECT_EQ(history.size(), 2u);
  EXPECT_EQ(history.added(), 2u);
  history.add({second(2), 8});  // the same time is no older
  EXPECT_EQ(history.last()->value, 8);
}

TEST(HistoryTest, AClockThatWasSetBackBeginsAnew) {
  History history = filled(3, {100, 101});
  history.add({second(5), 7});
  EXPECT_EQ(history.size(), 1u);
  EXPECT_EQ(history.last()->value, 7);
  history.add({second(6), 8});
  EXPECT_EQ(history.size(), 2u);
}

TEST(HistoryTest, AColumnHasAllOfItsTime) {
  const auto columns = filled(10, {1, 1.5, 3}).columns(second(4), absl::Seconds(4), 4);
  ASSERT_EQ(columns.size(), 4u);
  EXPECT_EQ(columns[0]->least, 10);  // (0, 1]
  EXPECT_EQ(columns[0]->greatest, 10);
  EXPECT_EQ(columns[1]->least, 10);  // (1, 2]: the value of before holds
  EXPECT_EQ(columns[1]->greatest, 15);
  EXPECT_EQ(columns[2]->least, 15);
  EXPECT_EQ(columns[2]->greatest, 30);
  EXPECT_EQ(columns[3]->least, 30);
}

TEST(HistoryTest, BeforeTheFirstPointThereIsNothing) {
  const auto columns = filled(10, {3}).columns(second(4), absl::Seconds(4), 4);
  EXPECT_FALSE(columns[0]);
  EXPECT_FALSE(columns[1]);
  EXPECT_TRUE(columns[2]);
}

TEST(HistoryTest, AValueOfBeforeTheWindowHoldsInIt) {
  const auto columns = filled(10, {1}).columns(second(100), absl::Seconds(4), 2);
  EXPECT_EQ(columns[0]->least, 10);
  EXPECT_EQ(columns[1]->greatest, 10);
}

TEST(HistoryTest, TheExtentIsAroundAll) {
  const auto extent = extent_of(filled(10, {1, 2, 3}).columns(second(3), absl::Seconds(3), 3));
  EXPECT_EQ(extent->least, 10);
  EXPECT_EQ(extent->greatest, 30);
}

}  // namespace
}  // namespace strip_chart
