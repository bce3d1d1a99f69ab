#include "cooperative/io/internal/page_memory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include <gtest/gtest.h>

#include "tests/support/sanitized.h"

namespace cooperative::internal {
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

}  // namespace
}  // namespace cooperative::internal
