#include "mothreads/misuse.h"

#include <gtest/gtest.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace mothreads {
namespace {

TEST(MisuseTest, IsAnErrorOfTheProgramsLogic) {
  static_assert(std::is_base_of_v<std::logic_error, Misuse>);
  try {
    throw Misuse("do this instead");
  } catch (const std::exception& e) {
    EXPECT_STREQ(e.what(), "do this instead");
  }
}

TEST(MisuseDeathTest, WhatCannotGoOnSaysWhyAndAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(internal::fatal_misuse("the pot is empty: fill it"), ::testing::KilledBySignal(SIGABRT),
              "mothreads: the pot is empty: fill it\n");
  // The message need not end where its characters do.
  EXPECT_EXIT(internal::fatal_misuse(std::string_view("cut here, please").substr(0, 8)), ::testing::KilledBySignal(SIGABRT),
              "mothreads: cut here\n");
}

}  // namespace
}  // namespace mothreads
