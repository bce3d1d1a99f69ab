#include "mothreads/internal/drain.h"

#include <new>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/clock.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/log.h"
#include "mothreads/till.h"

namespace mothreads::inline v0::internal {

namespace {

constinit ForkPart part{.in_child = []() noexcept { Drain::instance().go_on_in_child(); }};

}  // namespace

Drain& Drain::instance() {
  static Drain& drain = *[] {
    auto* const made = new Drain;  // holds may be static objects
    take_part_in_forks(part);
    return made;
  }();
  return drain;
}

Drain& Drain::here() { return main_node().drain(); }

namespace {

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (Drain::instance(), true);

}  // namespace

void Drain::go_on_in_child() noexcept { new (this) Drain; }

void Drain::add(Hold& hold) noexcept {
  TinyLock lock(mutex_);
  list_.push_back(hold);
  ++holds_;
}

void Drain::remove(Hold& hold) {
  if (hold.born.is_left_behind()) return;
  {
    TinyLock lock(mutex_);
    list_.take_out(hold);
  }
  release();
}

void Drain::release() {
  const MainNode* drained = nullptr;
  {
    TinyLock lock(mutex_);
    if (--holds_ == 0) drained = std::exchange(draining_, nullptr);
  }
  // The last hold of a run that has ended says nothing about the next one.
  if (drained != nullptr && drained == &main_node()) request_main_stop();
}

void Drain::set_time(absl::Duration time) {
  TinyLock lock(mutex_);
  time_ = time;
}

void Drain::begin() {
  MainNode& main = main_node();
  absl::Duration time;
  {
    TinyLock lock(mutex_);
    if (draining_ == &main || main.draining()) return;
    time = time_;
    if (time > absl::ZeroDuration()) {
      draining_ = &main;
      ++holds_;  // then() functions of `draining` may make holds, and drop them
    }
  }
  if (time <= absl::ZeroDuration()) {
    request_main_stop();
    return;
  }
  const Born here;
  const absl::Cleanup announced = [this, here] {
    if (!here.is_left_behind()) release();  // a function may have called fork(): the child has no drain
  };
  if (time < absl::InfiniteDuration()) {
    const UseClock use(main.clock());
    // It goes early at the stop, and finds that the drain has ended.
    Till(time).then([this, &main] { time_is_over(main); });
  }
  main.draining().state(kAccess).go();
}

void Drain::stop_begins(const MainNode& main) {
  TinyLock lock(mutex_);
  if (draining_ == &main) draining_ = nullptr;
}

void Drain::time_is_over(const MainNode& main) {
  std::string left;
  {
    TinyLock lock(mutex_);
    if (draining_ != &main) return;
    draining_ = nullptr;
    left = fmt::format("{}; {}", absl::FormatDuration(time_), names());
  }
  if (main.was_told_to_stop()) return;  // while the drain was being announced
  log::warning("the drain was not done in {}.  Stopping...", left);
  request_main_stop();
}

std::string Drain::describe() const {
  TinyLock lock(mutex_);
  return draining_ == nullptr ? "" : "\nthe drain waits for " + names();
}

std::string Drain::names() const {
  constexpr std::size_t kMostNamed = 20;
  std::size_t count = 0;
  std::string text;
  for (const Hold* hold = list_.first(); hold != nullptr; hold = list_.after(*hold)) {
    if (++count > kMostNamed) continue;
    text += fmt::format("{}{}", count == 1 ? "" : ", ", hold->name);
  }
  if (count > kMostNamed) text += fmt::format(" and {} more", count - kMostNamed);
  if (count == 0) return "no holds";
  return fmt::format("{} hold{}: {}", count, count == 1 ? "" : "s", text);
}

}  // namespace mothreads::internal
