#include "mothreads/misuse.h"

#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/drain_hold.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/exceptions.h"

namespace mothreads::inline v0 {
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

// Names go into reports as C strings: what is behind a zero byte was cut off there, silently.
TEST(MisuseTest, ANameWithAZeroByteIsRefused) {
  const std::string_view bad("a\0b", 3);
  const auto expect_refusal = [](auto make, const char* of) {
    EXPECT_THAT(testing::what_of<Misuse>(make), ::testing::AllOf(::testing::HasSubstr("a\\x00b\" cannot be the name of "), ::testing::HasSubstr(of)));
  };
  expect_refusal([&] { Signal signal(bad); }, "a Signal");
  expect_refusal([&] { Thread::run(bad, [](Signal) {}).join(); }, "\"please_stop for a");
  expect_refusal([&] { ThreadGroup group(bad); }, "\"please_stop for a");
  expect_refusal([&] { Lock lock(bad); }, "a Lock");
  expect_refusal([&] { Queue<int> queue(bad); }, "a Queue");
  expect_refusal([&] { DrainHold hold(bad); }, "a DrainHold");
  const std::string path = ::testing::TempDir() + "/misuse_test.log" + std::string("\0.old", 5);
  for (const auto& open : {std::function<void()>([&] { log::to_file(path); }), std::function<void()>([&] { static_cast<void>(log::json_lines(path)); })}) {
    EXPECT_THAT(testing::what_of<std::runtime_error>(open), ::testing::HasSubstr("misuse_test.log\\x00.old\": its path has a zero byte"));
  }
}

}  // namespace
}  // namespace mothreads
