#include "cooperative/internal/stack/page_memory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/sanitized.h"

namespace cooperative::inline v0::internal {
namespace {

TEST(PageMemoryTest, WhatIsLargeBeginsAtAPage) {
  for (const std::size_t size : {kWorthAPage - 1, kWorthAPage, kWorthAPage + 1, std::size_t{64} * 1024, std::size_t{256} * 1024 + 1, std::size_t{40} << 20}) {
    const Memory<std::byte> memory = make_memory<std::byte>(size);
    std::memset(memory.get(), 1, size);
    if (size >= kWorthAPage) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % kPage, 0u) << size;
    }
  }
  // A sanitizer ends the program for so much.
  if (!mothreads::testing::kSanitized) {
    EXPECT_THROW(static_cast<void>(make_memory<char>(PTRDIFF_MAX)), std::bad_alloc);
  }
}

TEST(PageMemoryTest, MuchTextIsAppendedWhole) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kWorthAPage - 1, kWorthAPage, kWorthAPage + 1, kWorthAPage + 1023, std::size_t{1} << 20}) {
    std::string from;
    for (int i = 0; from.size() < size; ++i) from += std::to_string(i) + ' ';
    from.resize(size);
    for (const std::string& before : {std::string(), std::string(100, 'x')}) {
      std::string to = before;
      append_much(to, from);
      EXPECT_TRUE(to == before + from) << size;
    }
  }
  // Text that grows by much is not copied each time.
  std::string to;
  int moves = 0;
  const std::string piece(64 * 1024, 'x');
  for (int i = 0; i < 256; ++i) {
    const char* const place = to.data();
    append_much(to, piece);
    moves += to.data() != place ? 1 : 0;
  }
  EXPECT_LT(moves, 12);
}

}  // namespace
}  // namespace cooperative::internal
