#pragma once

// The timers of one scheduler's life, and its clock. On the scheduler's thread alone. A timer may go a little late, never early.

#include <cstdint>
#include <optional>

#include "cooperative/internal/scheduler/near_clock.h"
#include "cooperative/internal/scheduler/pacing.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/timer_wheel.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

// The limit of a wait that is nothing but a time, the usual one; Timers::set_limit() says whether it is, and makes it.
struct TimeLimit : mothreads::internal::TimerNode {
  explicit TimeLimit(mothreads::internal::WaitNode& its_node) : TimerNode(kOps), node(its_node) {}
  static const mothreads::internal::TimerOps kOps;
  mothreads::internal::WaitNode& node;
};
union RoomForLimit {
  RoomForLimit() {}
  TimeLimit limit;
};

class Timers {
 public:
  explicit Timers(mothreads::Clock& clock) : wheel_(clock.now().time_since_epoch().count()), clock_(&clock) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;
  // Those that are left outlive their scheduler.
  ~Timers() { drop_all(); }

  mothreads::Clock& clock() const noexcept { return *clock_; }
  // The time of its clock, or a little later.
  mothreads::Instant not_before_now() noexcept { return near_clock_.not_before_now(*clock_); }
  // From where a limit, or a timer, of so many nanoseconds counts. What is due at its call counts from a time that has come already. What is
  // due soon counts from the clock itself: the near clock may be late by more than that.
  mothreads::Instant now_for(std::int64_t nanoseconds) noexcept {
    if (nanoseconds <= 0) return near_clock_.not_after_now(*clock_);
    if (nanoseconds >= Pacing::kSoon) [[likely]] return not_before_now();
    const mothreads::Instant now = clock_->now();
    not_before_now();  // add_near() compares with the latest of these
    return now;
  }

  void add(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept {
    not_before_now();
    add_near(timer, when);
  }
  // The same for a time that was counted from not_before_now() just now.
  void add_near(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept {
    wheel_.add(timer, when);
    // By then no usual look may have come.
    if (when < near_clock_.latest().time_since_epoch().count() + Pacing::kSoon) [[unlikely]] pacing_.expect_soon(when);
  }
  // For one that does not wait for the scheduler's next look: kNever in a test world.
  void add_unpaced(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept { wheel_.add(timer, when); }
  void remove(mothreads::internal::TimerNode& timer) noexcept { wheel_.remove(timer); }
  void drop_all() noexcept {
    wheel_.for_each([this](mothreads::internal::TimerNode& timer) { wheel_.remove(timer); });
  }
  // The limit of a verb of a context with that clock that begins now.
  mothreads::Limit start(const mothreads::Until& until, const mothreads::Clock& of_context) noexcept;
  // Makes the limit of a wait by a context with that clock. False when the limit is another than the usual one: nothing was made. One that starts with the wait
  // need not be made a Limit before.
  bool set_limit(RoomForLimit& room, mothreads::internal::WaitNode& node, mothreads::Limit limit, const mothreads::Clock* of_context) noexcept;
  bool set_limit(RoomForLimit& room, mothreads::internal::WaitNode& node, const mothreads::Until& until, const mothreads::Clock* of_context) noexcept;

  bool is_empty() const noexcept { return wheel_.is_empty(); }
  // Exactly; TimerWheel::kNever when there is none.
  std::int64_t first_time() const noexcept { return wheel_.first_time(); }
  bool has_due() const noexcept { return first_time() <= nanoseconds(); }
  // When a look may find something; nothing while there is no timer.
  std::optional<mothreads::Instant> next_wake() noexcept;

  // --- when waits begin, as others see it: at the last look at the clock, since a look at each wait would cost as much as the wait -------

  // Whether a new stamp is due in that round; and whether one may be due, which a round asks that has nothing else to look after.
  static constexpr std::uint64_t kRoundsPerStamp = 512;
  static bool may_lack_stamp(std::uint64_t round) noexcept { return round % kRoundsPerStamp == 0; }
  bool lacks_stamp(std::uint64_t round) const noexcept { return round / kRoundsPerStamp != stamped_in_round_ / kRoundsPerStamp; }
  void outlive_stamp(std::uint64_t round) noexcept { stamped_in_round_ = round - kRoundsPerStamp; }
  // The stamp of that time, in nanoseconds of the clock; and the stamp of now.
  std::uint64_t stamp(std::uint64_t round, std::int64_t now) noexcept {
    stamped_in_round_ = round;
    return mothreads::internal::Context::stamp_of(now);
  }
  std::uint64_t stamp(std::uint64_t round) noexcept { return stamp(round, nanoseconds()); }

  // --- when the scheduler looks -------------------------------------------------------------------------------------------

  bool skips_question() noexcept { return pacing_.skips_question(); }
  bool look_is_due(bool has_ready) noexcept { return pacing_.look_is_due(has_ready, *clock_, near_clock_); }
  // A look begins: gives the time, when a timer wants to know it.
  std::int64_t begin_look() noexcept;
  // Fires the timers that are due at that time, in the order of their times.
  void fire_due(std::int64_t now) noexcept;

  // In the child of a fork(): what was set is the parent's.
  void leave_behind() noexcept {
    drop_all();
    pacing_ = {};
  }

 private:
  inline bool start_usual(const mothreads::Until& until, const mothreads::Clock* of_context, std::int64_t& when) noexcept;
  std::int64_t nanoseconds() const noexcept { return clock_->now().time_since_epoch().count(); }

  Pacing pacing_;
  std::uint64_t stamped_in_round_ = 0;
  mothreads::internal::TimerWheel wheel_;
  mothreads::Clock* clock_;
  NearClock near_clock_;
};

}  // namespace cooperative::internal
