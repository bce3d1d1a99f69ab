#include "mothreads/internal/base/kept_name.h"

#include <algorithm>
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

std::string holder_of(std::uint32_t number) {
  KeptName::Copy copy;
  KeptName::read_holder(number, copy);
  return std::string(copy.view());
}

TEST(KeptNameTest, ALocksNameKnowsTheNameOfTheOneInside) {
  const KeptName lock("lock");
  EXPECT_FALSE(lock.has_holder());
  EXPECT_EQ(holder_of(lock.number()), "");
  {
    const KeptName first("first");
    lock.tell_holder(KeptName::share_of(first));
  }
  const KeptName elsewhere("elsewhere");  // the lock keeps a share of the first
  EXPECT_TRUE(lock.has_holder());
  EXPECT_EQ(holder_of(lock.number()), "first");
  lock.tell_holder(KeptName("second"));
  EXPECT_EQ(holder_of(lock.number()), "second");
  lock.tell_holder(KeptName());  // not known
  EXPECT_EQ(holder_of(lock.number()), "second");
  lock.forget_holder();
  EXPECT_FALSE(lock.has_holder());
  EXPECT_EQ(holder_of(lock.number()), "");
  const KeptName none;
  none.tell_holder(KeptName("nobody's"));
  none.forget_holder();
  EXPECT_FALSE(none.has_holder());
  EXPECT_EQ(holder_of(0), "");
}

TEST(KeptNameTest, ALaterNameInTheMemoryOfALocksHasNoHolder) {
  const KeptName holder("holder");
  std::uint32_t number = 0;
  {
    const KeptName lock("lock");
    number = lock.number();
    const KeptName& copy = KeptName(lock);
    copy.tell_holder(KeptName::share_of(holder));
    EXPECT_EQ(holder_of(number), "holder");
  }
  EXPECT_EQ(holder_of(number), "");
  const KeptName next("next");
  EXPECT_EQ(next.number(), number);
  EXPECT_FALSE(next.has_holder());
}

TEST(KeptNameTest, ALocksNameGivesBackTheNamesThatItWasTold) {
  const KeptName lock("lock");
  const std::uint32_t free_number = KeptName("free").number();
  for (int i = 0; i < 100; ++i) {
    lock.tell_holder(KeptName("holder"));
    lock.forget_holder();
  }
  for (int i = 0; i < 3; ++i) lock.tell_holder(KeptName::share_of(KeptName("holder")));
  lock.forget_holder();
  EXPECT_LE(KeptName("another").number(), free_number + 1);
}

// While its thread gives the context other names, and names of others come and go in the same memory, somebody takes shares of the context's name, and
// another reads what is told: always a name of the context's, and whole.
TEST(KeptNameTest, AHolderIsToldWhileItGetsOtherNames) {
  const KeptName lock("lock");
  KeptName of_context("");
  std::atomic<bool> is_over{false};
  std::thread renames([&] {
    for (int i = 0; !is_over; ++i) {
      of_context = KeptName(std::string(50, static_cast<char>('a' + i % 26)));
      const KeptName of_another("another's name, in the memory of one that has just gone");
    }
  });
  std::thread tells([&] {
    while (!is_over) lock.tell_holder(KeptName::share_of(of_context));
  });
  KeptName::Copy copy{};
  bool is_whole = true;
  for (int i = 0; i < 2'000'000 && is_whole; ++i) {
    KeptName::read_holder(lock.number(), copy);
    const char first = copy.bytes[0];
    is_whole = std::all_of(copy.bytes, copy.bytes + copy.size, [first](char one) { return one == first; });
  }
  EXPECT_TRUE(is_whole) << copy.view();
  is_over = true;
  renames.join();
  tells.join();
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
