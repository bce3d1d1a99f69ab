#include "docs/examples/hash_tree/progress.h"

#include <gtest/gtest.h>

namespace hash_tree {
namespace {

TEST(Progress, IsDescribedInOneLine) {
  Progress progress;
  progress.bytes = 3 << 20;
  EXPECT_EQ(describe(progress, 12, absl::Seconds(2)), "12 files, 3.0 MiB in 2.0 s (1.5 MiB/s)");
  progress.failed = 4;
  EXPECT_EQ(describe(progress, 12, absl::Seconds(2)), "12 files, 3.0 MiB in 2.0 s (1.5 MiB/s), 4 failed");
}

TEST(Progress, BarSaysWhatPartIsDoneAndWhatTimeIsLeft) {
  Progress progress;
  progress.bytes = 1 << 20;
  progress.total_bytes = 4 << 20;
  progress.total_is_known = true;
  EXPECT_EQ(bar(progress, 7, absl::Seconds(30), 60), "[####               ]   25 %  1:30 left  34.1 KiB/s  7 files");
}

TEST(Progress, BarWithoutTheTotalHasOnlyTheRate) {
  Progress progress;
  progress.bytes = 1 << 20;
  EXPECT_EQ(bar(progress, 7, absl::Seconds(1), 60), "1.0 MiB/s  7 files");
}

TEST(Progress, BarFitsTheTerminal) {
  Progress progress;
  progress.bytes = 1 << 20;
  progress.total_bytes = 4 << 20;
  progress.total_is_known = true;
  for (std::size_t columns = 0; columns < 120; ++columns)
    EXPECT_LE(bar(progress, 7, absl::Hours(3), columns).size(), columns);
}

TEST(Progress, BarGoesNoFurtherThanItsEnd) {
  Progress progress;
  progress.total_is_known = true;
  EXPECT_NE(bar(progress, 0, absl::ZeroDuration(), 80).find("100 %"), std::string::npos);
  progress.bytes = 5;
  progress.total_bytes = 4;  // a file has grown
  EXPECT_NE(bar(progress, 1, absl::Seconds(1), 80).find("100 %  0:00 left"), std::string::npos);
}

}  // namespace
}  // namespace hash_tree
