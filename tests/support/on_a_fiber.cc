// Runs a test program inside a fiber: all that its main thread waits for, this fiber waits for.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  constexpr std::size_t kStack = 8 * 1024 * 1024;  // as a thread's
  return cooperative::spawn({.name = "main", .stack_size = kStack}, [] { return RUN_ALL_TESTS(); }).join();
}
