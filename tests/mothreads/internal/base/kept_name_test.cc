#include "mothreads/internal/base/kept_name.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mothreads::inline v0::internal {
namespace {

std::string text_of(std::uint32_t number) {
  KeptName::Copy copy;
  KeptName::read(number, copy);
  EXPECT_EQ(copy.bytes[copy.size], '\0');
  return std::string(copy.view());
}

TEST(KeptNameTest, IsReadByItsNumber) {
  const KeptName one("one");
  const KeptName two("two");
  EXPECT_EQ(text_of(one.number()), "one");
  EXPECT_EQ(text_of(two.number()), "two");
}

TEST(KeptNameTest, WithoutANameThereIsNone) {
  EXPECT_EQ(KeptName().number(), 0u);
  EXPECT_EQ(text_of(0), "");
  const KeptName empty("");
  EXPECT_EQ(text_of(empty.number()), "");
}

TEST(KeptNameTest, OfALongNameTheRestIsNotSeen) {
  const KeptName name(std::string(1000, 'n'));
  EXPECT_EQ(text_of(name.number()), std::string(KeptName::kMax, 'n'));
  const KeptName fits(std::string(KeptName::kMax, 'f'));
  EXPECT_EQ(text_of(fits.number()), std::string(KeptName::kMax, 'f'));
}

TEST(KeptNameTest, CopiesShareTheMemoryWhichTheLastGivesBack) {
  std::uint32_t number = 0;
  {
    KeptName copy;
    {
      const KeptName first("first");
      number = first.number();
      copy = first;
      const KeptName another(copy);
      EXPECT_EQ(another.number(), number);
    }
    const KeptName& same = copy;
    copy = same;
    EXPECT_EQ(text_of(number), "first");
    const KeptName meanwhile("meanwhile");
    EXPECT_NE(meanwhile.number(), number);
  }
  EXPECT_NE(text_of(number), "a");
  // The numbers that are free are given out before new ones.
  std::vector<KeptName> names;
  names.reserve(3);
  bool is_found = false;
  for (int i = 0; i < 3; ++i) is_found |= names.emplace_back("a").number() == number;
  EXPECT_TRUE(is_found);
}

TEST(KeptNameTest, MoreThanABlockOfThem) {
  constexpr int kCount = 3000;
  std::vector<KeptName> names;
  names.reserve(kCount);
  for (int i = 0; i < kCount; ++i) names.emplace_back(std::to_string(i));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(text_of(names[static_cast<std::size_t>(i)].number()), std::to_string(i));
}

// What is read may be of another name, or of two, but it is a text, and no race.
TEST(KeptNameTest, MayBeReadWhileItIsAnothers) {
  std::atomic<std::uint32_t> number{KeptName("begin").number()};
  std::atomic<bool> is_over{false};
  std::thread writer([&] {
    for (int i = 0; !is_over; ++i) {
      const KeptName name(std::string(static_cast<std::size_t>(i) % 60, 'w'));
      number = name.number();
    }
  });
  for (int i = 0; i < 10'000; ++i) EXPECT_LE(text_of(number).size(), KeptName::kMax);
  is_over = true;
  writer.join();
}

}  // namespace
}  // namespace mothreads::internal
