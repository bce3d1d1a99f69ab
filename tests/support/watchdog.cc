// Ends a test program whose test takes so long that it must be a deadlock.

#include "tests/support/watchdog.h"

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

// One thread for all tests: one for each would start and end, and allocate, in the middle of what they count. Never destroyed: the
// child of a death test, which may call exit(), has not got the thread.
class Watchdog {
 public:
  static Watchdog& get() {
    static Watchdog& instance = *new Watchdog;
    return instance;
  }

  void start() {
    thread_ = std::thread([this] { watch(); });
  }

  void end() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // The test that runs has its time anew.
  void restart() {
    std::lock_guard lock(mutex_);
    deadline_ = std::chrono::steady_clock::now() + kLimit;
  }

  // The test that runs, or none.
  void set(const ::testing::TestInfo* test) {
    {
      std::lock_guard lock(mutex_);
      test_ = test;
      deadline_ = std::chrono::steady_clock::now() + kLimit;
    }
    changed_.notify_all();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (test_ == nullptr) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, deadline_) == std::cv_status::timeout && test_ != nullptr &&
                 std::chrono::steady_clock::now() >= deadline_) {
        std::fprintf(stderr, "watchdog: %s.%s has not ended after %d s: a deadlock\n", test_->test_suite_name(), test_->name(),
                     static_cast<int>(kLimit.count()));
        std::abort();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const ::testing::TestInfo* test_ = nullptr;
  std::chrono::steady_clock::time_point deadline_;
  bool ended_ = false;
  std::thread thread_;
};

class Listener : public ::testing::EmptyTestEventListener {
  void OnTestProgramStart(const ::testing::UnitTest&) override { Watchdog::get().start(); }
  void OnTestStart(const ::testing::TestInfo& test) override { Watchdog::get().set(&test); }
  void OnTestEnd(const ::testing::TestInfo&) override { Watchdog::get().set(nullptr); }
  void OnTestProgramEnd(const ::testing::UnitTest&) override { Watchdog::get().end(); }
};

// The child of a death test has no listeners.
class ChildWatchdog : public ::testing::Environment {
  void SetUp() override {
    if (::testing::internal::InDeathTestChild()) alarm(static_cast<unsigned>(kLimit.count()));
  }
};

[[maybe_unused]] const bool installed = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new Listener);
  ::testing::AddGlobalTestEnvironment(new ChildWatchdog);
  return true;
}();

}  // namespace

namespace mothreads::inline v0::testing {

void restart_watchdog() {
  if (::testing::internal::InDeathTestChild()) {
    alarm(static_cast<unsigned>(kLimit.count()));
  } else {
    Watchdog::get().restart();
  }
}

}  // namespace mothreads::testing
