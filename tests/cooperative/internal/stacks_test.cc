#include "cooperative/internal/stack/stacks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "tests/support/readable.h"

namespace cooperative::inline v0::internal {
namespace {

using mothreads::testing::Readable;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const auto kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t resident_bytes(const Stack& stack) {
  std::vector<unsigned char> resident(stack.size / kPage);
  EXPECT_EQ(mincore(stack.lowest, stack.size, resident.data()), 0);
  std::size_t bytes = 0;
  for (const unsigned char flags : resident) bytes += (flags & 1) != 0 ? kPage : 0;
  return bytes;
}

void touch(const Stack& stack, std::size_t bytes) { std::memset(stack.lowest + stack.size - bytes, 1, bytes); }

std::string refusal(Stacks& stacks, std::size_t size = kDefaultStackSize) {
  try {
    stacks.give_back(stacks.take(size, "late"));
  } catch (const NoStack& refused) {
    EXPECT_EQ(refused.code().value(), ENOMEM);
    return refused.what();
  }
  return "";
}

class OnlyMappedGuards {
 public:
  OnlyMappedGuards() { Stacks::set_only_mapped_guards(true); }
  ~OnlyMappedGuards() { Stacks::set_only_mapped_guards(false); }
};

TEST(StacksTest, GiveAtLeastWhatWasAskedFor) {
  Stacks stacks;
  for (const std::size_t size : {std::size_t{1}, kMinStackSize, kDefaultStackSize - 1, kDefaultStackSize, std::size_t{100'001},
                                 std::size_t{9} << 20}) {
    Stack& stack = stacks.take(size, "test");
    EXPECT_GE(stack.size, size);
    EXPECT_GE(stack.size, kMinStackSize);
    EXPECT_GT(stack.top, stack.lowest + stack.size - kPage / 2 - 1);
    EXPECT_LE(stack.top, stack.lowest + stack.size);
    std::memset(stack.lowest, 1, stack.size);
    stacks.give_back(stack);
  }
}

TEST(StacksTest, BeginOnDifferentLinesOfTheCache) {
  Stacks stacks;
  std::set<std::size_t> places;
  std::vector<Stack*> taken;
  for (int i = 0; i < 16; ++i) taken.push_back(&stacks.take(kDefaultStackSize, "test"));
  for (const Stack* stack : taken) places.insert(reinterpret_cast<std::uintptr_t>(stack->top) % kPage);
  EXPECT_EQ(places.size(), taken.size());
  for (Stack* stack : taken) stacks.give_back(*stack);
}

class StackGuardTest : public ::testing::TestWithParam<bool> {
 protected:
  StackGuardTest() { Stacks::set_only_mapped_guards(GetParam()); }
  ~StackGuardTest() override { Stacks::set_only_mapped_guards(false); }
};

TEST_P(StackGuardTest, IsBelowEachStack) {
  Stacks stacks;
  Readable is_readable;
  std::vector<Stack*> taken;
  for (int i = 0; i < 100; ++i) taken.push_back(&stacks.take(kDefaultStackSize, "test"));
  for (const Stack* stack : taken) {
    for (std::size_t below = 1; below < kStackGuard; below += kPage) {
      ASSERT_FALSE(is_readable(stack->lowest - below));
      ASSERT_EQ(stacks.guarded_by(stack->lowest - below), stack);
    }
    ASSERT_TRUE(is_readable(stack->lowest));
    ASSERT_EQ(stacks.guarded_by(stack->lowest), nullptr);
    ASSERT_EQ(stacks.guarded_by(stack->top - 1), nullptr);
  }
  EXPECT_EQ(stacks.guarded_by(nullptr), nullptr);
  EXPECT_EQ(stacks.guarded_by(&stacks), nullptr);
  for (Stack* stack : taken) stacks.give_back(*stack);
}

TEST_P(StackGuardTest, OfAStackThatWasNeverTakenIsNobodys) {
  Stacks stacks;
  Stack& only = stacks.take(kDefaultStackSize, "test");
  EXPECT_EQ(stacks.guarded_by(only.lowest + only.size), nullptr);  // where the next one's will be
  stacks.give_back(only);
}

TEST_P(StackGuardTest, StaysWhenADeepStackIsFreed) {
  Stacks stacks;
  Readable is_readable;
  Stack& stack = stacks.take(kDefaultStackSize, "test");
  touch(stack, stack.size);
  stacks.give_back(stack);
  EXPECT_TRUE(stacks.tidy());
  EXPECT_FALSE(is_readable(stack.lowest - 1));
  EXPECT_TRUE(is_readable(stack.lowest));
}

INSTANTIATE_TEST_SUITE_P(Guards, StackGuardTest, ::testing::Bool(), [](const auto& which) { return which.param ? "Mapped" : "Best"; });

// --- the pool ----------------------------------------------------------------------------------------------------------------

TEST(StackPoolTest, TheLastGivenBackIsTheNextGiven) {
  Stacks stacks;
  Stack& first = stacks.take(kDefaultStackSize, "test");
  Stack& second = stacks.take(kDefaultStackSize, "test");
  stacks.give_back(second);
  stacks.give_back(first);
  EXPECT_EQ(&stacks.take(kDefaultStackSize, "test"), &first);
  EXPECT_EQ(&stacks.take(kDefaultStackSize, "test"), &second);
  stacks.give_back(second);
  stacks.give_back(first);
  EXPECT_TRUE(stacks.tidy());
  EXPECT_EQ(&stacks.take(kDefaultStackSize, "test"), &first);
  stacks.give_back(first);
}

TEST(StackPoolTest, EachSizeHasItsOwn) {
  Stacks stacks;
  Stack& small = stacks.take(kMinStackSize, "test");
  Stack& big = stacks.take(4 * kDefaultStackSize, "test");
  stacks.give_back(small);
  stacks.give_back(big);
  EXPECT_EQ(&stacks.take(kMinStackSize, "test"), &small);
  EXPECT_EQ(&stacks.take(4 * kDefaultStackSize, "test"), &big);
  stacks.give_back(small);
  stacks.give_back(big);
  while (stacks.tidy()) {
  }
  EXPECT_EQ(&stacks.take(kMinStackSize, "test"), &small);
  EXPECT_EQ(&stacks.take(4 * kDefaultStackSize, "test"), &big);
  stacks.give_back(small);
  stacks.give_back(big);
}

TEST(StackPoolTest, OfOneThatWentDeepOnlyALittleStaysInMemory) {
  for (const std::size_t size : {kDefaultStackSize, std::size_t{200} * 1024, std::size_t{8} << 20}) {
    Stacks stacks;
    Stack& stack = stacks.take(size, "deep");
    touch(stack, kKeptOfStack + 1);
    stacks.give_back(stack);
    EXPECT_TRUE(stacks.tidy());
    EXPECT_EQ(resident_bytes(stack), kKeptOfStack);
  }
}

TEST(StackPoolTest, WhatAnOrdinaryFiberTouchedStays) {
  Stacks stacks;
  Stack& stack = stacks.take(kDefaultStackSize, "shallow");
  touch(stack, kKeptOfStack);
  stacks.give_back(stack);
  EXPECT_TRUE(stacks.tidy());
  EXPECT_EQ(resident_bytes(stack), kKeptOfStack);
}

TEST(StackPoolTest, EachIsLookedAtOnceAfterEachUse) {
  Stacks stacks;
  EXPECT_FALSE(stacks.tidy());
  Stack& stack = stacks.take(kDefaultStackSize, "test");
  EXPECT_FALSE(stacks.tidy());
  for (int use = 0; use < 3; ++use) {
    stacks.give_back(stack);
    EXPECT_TRUE(stacks.tidy());
    EXPECT_FALSE(stacks.tidy());
    EXPECT_EQ(&stacks.take(kDefaultStackSize, "test"), &stack);
  }
  stacks.give_back(stack);
}

// A scheduler that is never idle keeps a bounded number of deep stacks.
TEST(StackPoolTest, WithoutTimeToTidyOnlySoManyStayDeep) {
  constexpr std::size_t kMore = 64;
  Stacks stacks;
  std::vector<Stack*> taken;
  for (std::size_t i = 0; i < kMaxUnlooked + kMore; ++i) {
    taken.push_back(&stacks.take(kDefaultStackSize, "test"));
    taken.back()->lowest[0] = 1;
  }
  for (Stack* stack : taken) stacks.give_back(*stack);
  std::size_t deep = 0;
  for (const Stack* stack : taken) deep += resident_bytes(*stack) > 0 ? 1 : 0;
  EXPECT_LE(deep, kMaxUnlooked);
  EXPECT_GE(deep, kMaxUnlooked - kMore);
  for (std::size_t i = 0; i < taken.size(); ++i) stacks.take(kDefaultStackSize, "test");  // none is lost
  for (Stack* stack : taken) stacks.give_back(*stack);
}

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST(StackLimitTest, WhatTheSystemHasNoRoomForIsRefused) {
  Stacks stacks;
  const auto no_room = StartsWith("fiber \"late\" cannot have a stack: the system has no room for one of ");
  for (const std::size_t size : {std::size_t{1} << 47, std::size_t{1} << 62, SIZE_MAX}) EXPECT_THAT(refusal(stacks, size), no_room);
  std::vector<Stack*> taken;
  std::string said;
  while (said.empty() && taken.size() < 8) {  // of 32 TiB each; a process has 128
    said = refusal(stacks, std::size_t{1} << 45);
    if (said.empty()) taken.push_back(&stacks.take(std::size_t{1} << 45, "test"));
  }
  EXPECT_THAT(said, no_room);
  for (Stack* stack : taken) stacks.give_back(*stack);
  EXPECT_EQ(refusal(stacks), "");
}

TEST(StackLimitTest, SoManyWithGuardsThatAreMappingsAndNotOneMore) {
  const OnlyMappedGuards only;
  const std::size_t limit = max_mapped_stacks();
  Stacks others;
  {
    Stacks stacks;
    std::vector<Stack*> taken;
    for (std::size_t i = 0; i < limit; ++i) taken.push_back(&stacks.take(kDefaultStackSize, "test"));
    const std::string said = refusal(stacks);
    EXPECT_THAT(said, StartsWith("fiber \"late\" cannot have a stack: the fibers of this process have " + std::to_string(limit) +
                                 " already, and each takes two of the "));
    EXPECT_THAT(said, HasSubstr("vm.max_map_count"));
    EXPECT_NE(refusal(others), "") << "the mappings are the process's";
    stacks.give_back(*taken.back());
    EXPECT_EQ(refusal(stacks), "") << "one has been given back";
    for (std::size_t i = 0; i + 1 < limit; ++i) stacks.give_back(*taken[i]);
  }
  EXPECT_EQ(refusal(others), "") << "the scheduler that had them has ended";
}

}  // namespace
}  // namespace cooperative::internal
