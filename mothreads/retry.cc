#include "mothreads/retry.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/ended_early.h"
#include "mothreads/internal/base/random_number.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0::internal {
namespace {

void check(const RetryOptions& options) {
  const auto refuse = [&](const char* what) { throw Misuse(fmt::format("retry \"{}\": {}", options.name, what)); };
  // Written so that a NaN is refused, too.
  if (options.attempts == 0) refuse("attempts = 0 would never call the function: allow at least one");
  if (!(options.factor >= 1 && options.factor <= std::numeric_limits<double>::max())) refuse("factor must be a number of at least 1");
  if (!(options.jitter >= 0 && options.jitter <= 1)) refuse("jitter must be from 0 to 1: it is a part of the pause");
  for (const absl::Duration pause : {options.first_pause, options.max_pause}) {
    if (pause < absl::ZeroDuration()) refuse("a pause must not be negative");
    if (pause == absl::InfiniteDuration()) refuse("a pause without an end would never make the next attempt");
  }
  if (options.attempt_limit <= absl::ZeroDuration()) refuse("attempt_limit must be more than zero");
}

std::string in_words(absl::Duration duration) { return absl::FormatDuration(absl::Trunc(duration, absl::Microseconds(1))); }
std::string number_of(std::size_t attempts) { return fmt::format("{} attempt{}", attempts, attempts == 1 ? "" : "s"); }

}  // namespace

Retrying::Retrying(const RetryOptions& options, const Until& until)
    : options_(options),
      limit_(until),
      began_(Clock::current().now()),
      pause_(std::min(options.first_pause, options.max_pause)) {
  check(options);
}

Until Retrying::attempt_limit() const {
  // From now: a function may wait several times.
  return (limit_ | options_.attempt_limit).from_now();
}

bool Retrying::is_worth_another(const std::exception& failure) const {
  if (dynamic_cast<const Misuse*>(&failure) != nullptr) return false;
  if (const auto* early = dynamic_cast<const EndedEarly*>(&failure); early != nullptr && early->why() == Why::stopped) return false;
  if (options_.try_again_if) return options_.try_again_if(failure);
  return dynamic_cast<const std::logic_error*>(&failure) == nullptr;
}

void Retrying::attempt_failed(const std::exception& failure) {
  if (attempts_ < RetryOptions::kAnyNumber - 1) ++attempts_;
  if (!is_worth_another(failure)) throw;
  failure_ = std::current_exception();
  if (attempts_ == options_.attempts) give_up("", failure_);
  check_limit(failure_);
}

void Retrying::pause() {
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  const absl::Duration pause = next_pause();
  log::info("{}: attempt {} failed, the next follows in {}: {}", options_.name, attempts_, in_words(pause), log::describe(failure));
  const Signal next("the next attempt of " + options_.name);  // for reports of who waits
  static_cast<void>(next.wait(limit_ | pause));
  check_limit(failure);
}

absl::Duration Retrying::next_pause() {
  const absl::Duration pause = pause_;
  pause_ = std::min(pause_ * options_.factor, options_.max_pause);  // which is finite; the product may be infinite
  if (options_.jitter == 0) return pause;
  return pause * (1 - options_.jitter * random_part());
}

void Retrying::check_limit(const std::exception_ptr& failure) const {
  const std::optional<Why> come = limit_.has_come();
  if (!come) return;
  if (*come == Why::timed_out) give_up(", since the time of the limit is over", failure);
  throw_ended_early(*come, options_.name, fmt::format("{}: was stopped after {} that failed, the last of them by: {}", options_.name,
                                                      number_of(attempts_), log::describe(failure)));
}

void Retrying::give_up(const char* why, const std::exception_ptr& failure) const {
  log::warning("{}: gave up after {} in {}{}: {}", options_.name, number_of(attempts_),
               in_words(absl::FromChrono(Clock::current().now() - began_)), why, log::describe(failure));
  std::rethrow_exception(failure);
}

}  // namespace mothreads::internal
