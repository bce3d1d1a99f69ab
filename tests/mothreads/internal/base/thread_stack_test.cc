#include "mothreads/internal/base/thread_stack.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include <gtest/gtest.h>


namespace mothreads::inline v0::internal {
namespace {

std::size_t resident_bytes(const ThreadStack& stack) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident(stack.size() / page);
  EXPECT_EQ(mincore(stack.lowest(), stack.size(), resident.data()), 0);
  std::size_t bytes = 0;
  for (const unsigned char flags : resident) bytes += (flags & 1) != 0 ? page : 0;
  return bytes;
}

bool is_mapped(const void* address) {
  unsigned char resident = 0;
  return mincore(const_cast<void*>(address), 1, &resident) == 0;
}

TEST(ThreadStackTest, HasTheSizeOfTheSystemUnlessSaid) {
  const ThreadStack by_default(0);
  EXPECT_GE(by_default.size(), 1u << 20);
  const ThreadStack odd(100'001);
  EXPECT_GE(odd.size(), 100'001u);
  EXPECT_LT(odd.size(), 100'001u + 64 * 1024);
  std::memset(odd.lowest(), 1, odd.size());
}

TEST(ThreadStackDeathTest, EndsInAGuardPage) {
  const ThreadStack stack(64 * 1024);
  EXPECT_DEATH(static_cast<volatile char*>(stack.lowest())[-1] = 1, "");
}

TEST(ThreadStackTest, TheNextThreadGetsWhatTheLastOneLeft) {
  ThreadStack first(0);
  void* const lowest = first.lowest();
  first = {};
  EXPECT_TRUE(is_mapped(lowest));
  EXPECT_EQ(ThreadStack(0).lowest(), lowest);
}

TEST(ThreadStackTest, OfADeepCallOnlyALittleStaysInMemory) {
  ThreadStack stack(0);
  std::memset(stack.lowest(), 1, stack.size());
  EXPECT_EQ(resident_bytes(stack), stack.size());
  stack = {};
  EXPECT_LE(resident_bytes(ThreadStack(0)), kMaxKeptBytes);
}

TEST(ThreadStackTest, WhatAnOrdinaryThreadTouchedStays) {
  ThreadStack stack(0);
  std::memset(static_cast<char*>(stack.lowest()) + stack.size() - kMaxKeptBytes, 1, kMaxKeptBytes);
  stack = {};
  EXPECT_GE(resident_bytes(ThreadStack(0)), kMaxKeptBytes);
}

TEST(ThreadStackTest, AnotherSizeIsNotKept) {
  ThreadStack stack(3 * 64 * 1024);
  const void* const lowest = stack.lowest();
  stack = {};
  EXPECT_FALSE(is_mapped(lowest));
}

TEST(ThreadStackTest, SoManyAreKeptAndNotOneMore) {
  std::vector<ThreadStack> stacks(kMaxKeptStacks + 1);
  for (ThreadStack& stack : stacks) stack = ThreadStack(0);
  std::vector<const void*> addresses;
  for (const ThreadStack& stack : stacks) addresses.push_back(stack.lowest());
  for (ThreadStack& stack : stacks) stack = {};
  for (std::size_t i = 0; i < kMaxKeptStacks; ++i) EXPECT_TRUE(is_mapped(addresses[i])) << i;
  EXPECT_FALSE(is_mapped(addresses[kMaxKeptStacks]));
}

TEST(ThreadStackTest, WhatTheSystemHasNoRoomForIsRefused) {
  try {
    const ThreadStack stack(std::size_t{1} << 62);
    FAIL() << "it gave " << stack.size() << " bytes";
  } catch (const std::system_error& refused) {
    EXPECT_EQ(refused.code().value(), ENOMEM);
  }
}

TEST(ThreadStackTest, MovesAndLeavesNone) {
  ThreadStack stack(0);
  const void* const lowest = stack.lowest();
  const ThreadStack moved = std::move(stack);
  EXPECT_EQ(moved.lowest(), lowest);
  EXPECT_EQ(stack.lowest(), nullptr);
}

}  // namespace
}  // namespace mothreads::internal
