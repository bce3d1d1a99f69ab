#include "mothreads/retry.h"

#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/ended_early.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/random_number.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LogLines;
using testing::VirtualClock;

// The caller's time is virtual, and passes as soon as somebody waits for it, so many times.
class PassingTime {
 public:
  explicit PassingTime(int waits) : use_(clock_), began_(clock_.now()) {
    passer_ = Thread::run("passer", [this, waits](Signal) {
      for (int i = 0; i < waits; ++i) {
        clock_.await_timers(1);
        clock_.advance_to_next();
      }
    });
  }

  absl::Duration elapsed() const { return absl::FromChrono(clock_.now() - began_); }

 private:
  VirtualClock clock_;
  UseClock use_;
  const Instant began_;
  ThreadHandle<void> passer_;
};

// A number of the test's choice in the place of chance.
class FixedChance final : public internal::RandomSource {
 public:
  explicit FixedChance(std::uint64_t number) : number_(number), before_(exchange(this)) {}
  ~FixedChance() { exchange(before_); }
  FixedChance(const FixedChance&) = delete;
  FixedChance& operator=(const FixedChance&) = delete;

 private:
  std::uint64_t draw_number() noexcept override { return number_; }
  std::uint64_t number_;
  RandomSource* before_;
};

// Fails so many times, and notes when it was called.
struct Failing {
  const PassingTime* time;
  int failures;
  std::vector<absl::Duration> called = {};
  int operator()() {
    called.push_back(time->elapsed());
    if (static_cast<int>(called.size()) <= failures) throw std::runtime_error("busy");
    return 42;
  }
};

// --- attempts and pauses ------------------------------------------------------------------------------------------------------

TEST(RetryTest, TheFirstSuccessIsTheResult) {
  PassingTime time(0);
  Failing f{&time, 0};
  EXPECT_EQ(retry({}, f), 42);
  EXPECT_THAT(f.called, ElementsAre(absl::ZeroDuration()));
}

TEST(RetryTest, PausesGrowUpToTheLongest) {
  PassingTime time(5);
  Failing f{&time, 5};
  EXPECT_EQ(retry({.attempts = 6, .first_pause = absl::Seconds(1), .max_pause = absl::Seconds(5), .factor = 2, .jitter = 0}, f), 42);
  EXPECT_THAT(f.called, ElementsAre(absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(3), absl::Seconds(7), absl::Seconds(12),
                                    absl::Seconds(17)));
}

TEST(RetryTest, AFirstPauseThatIsTooLongIsTheLongest) {
  PassingTime time(1);
  Failing f{&time, 1};
  EXPECT_EQ(retry({.first_pause = absl::Hours(1), .max_pause = absl::Seconds(5), .jitter = 0}, f), 42);
  EXPECT_EQ(time.elapsed(), absl::Seconds(5));
}

TEST(RetryTest, APauseThatNoClockCanCountIsTheLongest) {
  PassingTime time(4);
  Failing f{&time, 4};
  constexpr double kLargest = std::numeric_limits<double>::max();
  EXPECT_EQ(retry({.first_pause = absl::Seconds(1), .max_pause = absl::Seconds(9), .factor = kLargest, .jitter = 0}, f), 42);
  EXPECT_EQ(time.elapsed(), absl::Seconds(1 + 3 * 9));
}

TEST(RetryTest, WithoutPausesItTriesAgainAtOnce) {
  LogLines log;
  PassingTime time(0);
  Failing f{&time, 1000};
  EXPECT_EQ(retry({.attempts = RetryOptions::kAnyNumber, .first_pause = absl::ZeroDuration()}, f), 42);
  EXPECT_EQ(time.elapsed(), absl::ZeroDuration());
}

TEST(RetryTest, ChanceTakesAtMostItsPartOfAPause) {
  for (const auto& [number, pause] : {std::pair(std::uint64_t{0}, absl::Seconds(8)),
                                      std::pair(std::uint64_t{1} << 63, absl::Seconds(6)),
                                      std::pair(std::numeric_limits<std::uint64_t>::max(), absl::Seconds(4))}) {
    PassingTime time(1);
    const FixedChance chance(number);
    Failing f{&time, 1};
    EXPECT_EQ(retry({.first_pause = absl::Seconds(8), .jitter = 0.5}, f), 42);
    EXPECT_THAT(absl::ToDoubleSeconds(time.elapsed()), ::testing::DoubleNear(absl::ToDoubleSeconds(pause), 1e-6)) << number;
  }
}

TEST(RetryTest, TwoThatFailTogetherDoNotComeBackTogether) {
  std::vector<double> parts;
  for (int i = 0; i < 4; ++i) parts.push_back(internal::random_part());
  EXPECT_THAT(parts, Each(AllOf(Ge(0.0), ::testing::Lt(1.0))));
  EXPECT_NE(parts[0], parts[1]);
  EXPECT_NE(parts[2], parts[3]);
}

// --- what is tried again ------------------------------------------------------------------------------------------------------

TEST(RetryTest, AfterTheLastAttemptItThrowsTheLastFailureAndLogsTheirNumber) {
  LogLines log;
  PassingTime time(2);
  int calls = 0;
  try {
    retry({.name = "fetch", .attempts = 3, .first_pause = absl::Seconds(1), .jitter = 0},
          [&] { throw std::system_error(++calls, std::generic_category(), "attempt"); });
    FAIL() << "it threw nothing";
  } catch (const std::system_error& error) {  // its own type, and its own object
    EXPECT_EQ(error.code().value(), 3);
  }
  EXPECT_EQ(calls, 3);
  const auto gave_up = log.with("fetch: gave up after 3 attempts in 3s: attempt: ");
  ASSERT_EQ(gave_up.size(), 1U);
  EXPECT_EQ(gave_up[0].level, log::Level::warning);
  const auto tried = log.with("fetch: attempt 2 failed, the next follows in 2s: attempt: ");
  ASSERT_EQ(tried.size(), 1U);
  EXPECT_EQ(tried[0].level, log::Level::info);
}

// A failure of an operation that something stopped, as WriteTimedout can be.
class StoppedInside : public EndedEarly {
 public:
  StoppedInside() : EndedEarly(Why::stopped, "inside", "stopped inside") {}
};

template <typename T>
int calls_until_it_throws(const std::function<void()>& f, const RetryOptions& options = {}) {
  LogLines log;
  PassingTime time(0);
  int calls = 0;
  EXPECT_THROW(retry(options, [&] {
    ++calls;
    f();
  }), T);
  EXPECT_THAT(log.take_texts(), IsEmpty());
  return calls;
}

TEST(RetryTest, AStopIsNoReasonToTryAgainAndNeitherIsAMisuse) {
  RetryOptions options;
  for (const bool always : {false, true}) {
    if (always) options.try_again_if = [](const std::exception&) { return true; };
    EXPECT_EQ(calls_until_it_throws<Stopped>([] { throw Stopped("queue", "stopped"); }, options), 1);
    EXPECT_EQ(calls_until_it_throws<StoppedInside>([] { throw StoppedInside(); }, options), 1);
    EXPECT_EQ(calls_until_it_throws<Misuse>([] { throw Misuse("wrong"); }, options), 1);
    EXPECT_EQ(calls_until_it_throws<int>([] { throw 7; }, options), 1);
  }
}

TEST(RetryTest, AnErrorOfTheProgramIsTriedAgainOnlyIfTheCallerSaysSo) {
  EXPECT_EQ(calls_until_it_throws<std::out_of_range>([] { throw std::out_of_range("no such row"); }), 1);

  PassingTime time(1);
  int calls = 0;
  const auto f = [&] {
    if (++calls == 1) throw std::out_of_range("no such row yet");
    return calls;
  };
  EXPECT_EQ(retry({.try_again_if = [](const std::exception& e) { return dynamic_cast<const std::out_of_range*>(&e) != nullptr; }}, f), 2);
}

TEST(RetryTest, TheCallerSaysWhatIsNotWorthIt) {
  const RetryOptions options{.try_again_if = [](const std::exception& e) { return std::string(e.what()) == "busy"; }};
  EXPECT_EQ(calls_until_it_throws<std::runtime_error>([] { throw std::runtime_error("gone"); }, options), 1);
}

TEST(RetryTest, WhatTheVerdictThrowsIsThrownOn) {
  const RetryOptions options{.try_again_if = [](const std::exception&) -> bool { throw std::domain_error("verdict"); }};
  EXPECT_EQ(calls_until_it_throws<std::domain_error>([] { throw std::runtime_error("busy"); }, options), 1);
}

TEST(RetryTest, TimeAndTheEndOfWhatItCameFromAreTriedAgain) {
  PassingTime time(2);
  int calls = 0;
  EXPECT_EQ(retry({}, [&] {
    if (++calls == 1) throw Timedout("server", "timed out");
    if (calls == 2) throw Closed("connection", "closed");
    return calls;
  }), 3);
}

// --- the limit ----------------------------------------------------------------------------------------------------------------

TEST(RetryTest, WhenItsTimeIsOverItThrowsTheLastFailure) {
  LogLines log;
  PassingTime time(3);  // after 1 s, 2 s, and what is left of 4 s
  Failing f{&time, 100};
  const RetryOptions options{.name = "fetch", .attempts = RetryOptions::kAnyNumber, .first_pause = absl::Seconds(1), .jitter = 0};
  EXPECT_THROW(retry(options, f, absl::Seconds(5)), std::runtime_error);
  EXPECT_THAT(f.called, ElementsAre(absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(3)));
  EXPECT_EQ(time.elapsed(), absl::Seconds(5));
  EXPECT_EQ(log.with("fetch: gave up after 3 attempts in 5s, since the time of the limit is over: busy").size(), 1U);
}

TEST(RetryTest, ThereIsAlwaysAFirstAttempt) {
  PassingTime time(0);
  Failing fails{&time, 1};
  EXPECT_THROW(retry({}, fails, absl::ZeroDuration()), std::runtime_error);
  EXPECT_EQ(fails.called.size(), 1U);
  Failing succeeds{&time, 0};
  EXPECT_EQ(retry({}, succeeds, DONE), 42);
}

TEST(RetryTest, ASignalEndsThePause) {
  PassingTime time(0);
  Signal please_stop;
  Failing f{&time, 1};
  Signal has_failed;
  auto stopper = Thread::run("stopper", [&](Signal) {
    has_failed.wait();
    please_stop.go();
  });
  try {
    retry({.name = "fetch"},
          [&] {
            has_failed.go();
            return f();
          },
          please_stop);
    FAIL() << "it threw nothing";
  } catch (const Stopped& error) {
    EXPECT_EQ(error.object(), "fetch");
    EXPECT_STREQ(error.what(), "fetch: was stopped after 1 attempt that failed, the last of them by: busy");
  }
  stopper.join();
}

TEST(RetryTest, AFailureThatTheStopCausedIsNoneToReport) {
  PassingTime time(0);
  Signal please_stop;
  EXPECT_THROW(retry({}, [&] {
    please_stop.go();
    throw std::runtime_error("connection reset");
  }, please_stop | absl::Hours(1)), Stopped);
}

TEST(RetryTest, TheFunctionGetsWhatIsLeftOfTheLimit) {
  PassingTime time(3);
  Signal never;
  std::vector<absl::Duration> ended;
  const auto f = [&](const Until& limit) {
    const Ended end = never.wait(limit);
    ended.push_back(time.elapsed());
    EXPECT_EQ(end.why(), Why::timed_out);
    throw Timedout("never", "timed out");
  };
  // 3 s for the first attempt, 1 s of pause, and 1 s is left.
  EXPECT_THROW(retry({.first_pause = absl::Seconds(1), .jitter = 0, .attempt_limit = absl::Seconds(3)}, f, absl::Seconds(5)), Timedout);
  EXPECT_THAT(ended, ElementsAre(absl::Seconds(3), absl::Seconds(5)));
}

TEST(RetryTest, AnAttemptsLimitIsForAllItsWaits) {
  PassingTime time(1);
  Signal never;
  const auto f = [&](const Until& limit) {
    EXPECT_EQ(never.wait(limit).why(), Why::timed_out);
    EXPECT_EQ(never.wait(limit).why(), Why::timed_out);
    return time.elapsed();
  };
  EXPECT_EQ(retry({.attempt_limit = absl::Seconds(3)}, f), absl::Seconds(3));
}

// --- functions and results ----------------------------------------------------------------------------------------------------

TEST(RetryTest, FunctionAndResultMayOnlyMove) {
  PassingTime time(1);
  int calls = 0;
  auto f = [&calls, kept = std::make_unique<int>(5)]() -> std::unique_ptr<int> {
    if (++calls == 1) throw std::runtime_error("busy");
    return std::make_unique<int>(*kept);
  };
  EXPECT_EQ(*retry({}, std::move(f)), 5);
}

TEST(RetryTest, TheResultMayBeNothingOrAReference) {
  int there = 0;
  static_assert(std::is_void_v<decltype(retry({}, [] {}))>);
  retry({}, [&] { there = 1; });
  int& reference = retry({}, [&]() -> int& { return there; });
  EXPECT_EQ(&reference, &there);
}

TEST(RetryTest, MemoryThatWasScarceIsTriedAgain) {
  PassingTime time(1);
  int calls = 0;
  EXPECT_EQ(retry({}, [&] {
    if (++calls == 1) throw std::bad_alloc();
    return calls;
  }), 2);
}

TEST(RetryTest, OptionsThatSayNoPausesAreMisuse) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const RetryOptions wrong[] = {
      {.attempts = 0},
      {.first_pause = -absl::Nanoseconds(1)},
      {.first_pause = absl::InfiniteDuration()},
      {.max_pause = -absl::Nanoseconds(1)},
      {.max_pause = absl::InfiniteDuration()},
      {.factor = 0.99},
      {.factor = std::numeric_limits<double>::infinity()},
      {.factor = kNan},
      {.jitter = -0.01},
      {.jitter = 1.01},
      {.jitter = kNan},
      {.attempt_limit = absl::ZeroDuration()},
  };
  for (const RetryOptions& options : wrong) {
    EXPECT_THROW(retry(options, [] { ADD_FAILURE() << "it was called"; }), Misuse);
  }
  EXPECT_EQ(retry({.factor = 1, .jitter = 1}, [] { return 3; }), 3);
}

}  // namespace
}  // namespace mothreads
