// Ends a test program whose test takes so long that it must be a deadlock.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/support/sanitized.h"

namespace {

constexpr std::chrono::seconds kLimit{mothreads::testing::kSanitized ? 100 : 20};

class Watchdog : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo& test) override {
    ended_ = false;
    thread_ = std::thread([this, &test] { watch(test); });
  }

  void OnTestEnd(const ::testing::TestInfo&) override {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void watch(const ::testing::TestInfo& test) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kLimit, [this] { return ended_; })) return;
    std::fprintf(stderr, "watchdog: %s.%s has not ended after %d s: a deadlock\n", test.test_suite_name(), test.name(),
                 static_cast<int>(kLimit.count()));
    std::abort();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

// The child of a death test has no listeners.
class ChildWatchdog : public ::testing::Environment {
  void SetUp() override {
    if (::testing::internal::InDeathTestChild()) alarm(static_cast<unsigned>(kLimit.count()));
  }
};

[[maybe_unused]] const bool installed = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new Watchdog);
  ::testing::AddGlobalTestEnvironment(new ChildWatchdog);
  return true;
}();

}  // namespace
