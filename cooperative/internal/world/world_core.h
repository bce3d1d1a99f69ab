#pragma once

// The threads of one test world. Each has a stack, a context and a scheduler of its own; all run on the OS thread that called
// World::run(). Their schedulers never fill a batch, and have a timer always, so that they ask for what comes next: whenever one of their
// fibers gives up its turn, next() asks the WorldOrder which thread goes on, and that one's rounds decide which of its fibers does. Where the
// world watches each operation it asks there, too (docs/decisions/0011-switch-at-every-operation.md).
//
//     who takes turns                        when it can
//     a thread of the world                  what its next round takes is there, or the rest of its round is
//     the timers, on a stack of their own    a Till is due
//     who called World::run()                all threads have ended, or what it waits for has come
//
// When nobody can, time jumps to the first timer of all; without one it is a deadlock.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/internal/scheduler/conductor.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/internal/world/world_clock.h"
#include "cooperative/internal/world/world_nodes.h"
#include "cooperative/internal/world/world_order.h"
#include "cooperative/internal/world/world_trace.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/random_number.h"
#include "mothreads/internal/tree/main_node.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/internal/wait/simulation.h"
#include "mothreads/internal/wait/thread_context.h"

namespace cooperative::inline v0::internal {

// The object that is told when a run cannot go on, before the program ends; the call need not come back.
class WorldWarden {
 public:
  virtual void run_fails(WorldEnd end, std::string_view what) noexcept = 0;

 protected:
  ~WorldWarden() = default;
};

class WorldCore final : public mothreads::internal::Host, public mothreads::internal::Simulation, private mothreads::internal::RandomSource {
 public:
  struct Options {
    std::uint64_t seed = 1;
    bool interrupt_posts = false;
    bool every_operation = false;
    WorldOrderOptions order;
    absl::Time wall_time;            // as it begins
    absl::Duration drain;            // the most that a drain may take; zero for none
    std::uint64_t most_places = 0;  // after which the run is too long; 0 for none
    WorldTrace* trace = nullptr;    // notes the forced switches, if somebody wants to know
    bool describes = false;         // and writes a line about each
    bool lists_others = false;      // and notes those that could have been forced
    WorldWarden* warden = nullptr;
  };
  explicit WorldCore(const Options& options);
  ~WorldCore();
  WorldCore(const WorldCore&) = delete;
  WorldCore& operator=(const WorldCore&) = delete;

  static WorldCore* here() noexcept { return here_; }

  std::uint64_t seed() const noexcept { return options_.seed; }
  // Repeats those switches; before the first run.
  void replay(std::span<const WorldSwitch> switches) { order_.replay(switches); }
  std::uint64_t draw(std::uint64_t below) noexcept;
  std::uint64_t signature() const noexcept { return mix(signature_ ^ order_.hash()); }
  std::int64_t elapsed() const noexcept;
  // Lets other threads run, and none of the caller's fibers.
  void interrupt() noexcept { interrupt(WorldOrder::Kind::hint, {}); }

  // The calling context is in the world from enter() on; leave() runs the world until all its threads have ended.
  void enter();
  void leave() noexcept;

  // Host, of those who are no thread of the world: the timers, and who called run().
  void suspend(mothreads::internal::Context& context) noexcept override;
  void resume(mothreads::internal::Context& context) noexcept override;
  void add_timer(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept override;
  void cancel_timer(mothreads::internal::TimerNode& timer) noexcept override;
  const mothreads::Clock& clock() const noexcept override { return clock_; }
  [[noreturn]] void unwind(mothreads::internal::Context& context) override;
  void end_turn(std::int32_t, Unwinds) noexcept override { acts_left = INT32_MAX; }  // they have no siblings
  Simulation* simulation() noexcept override { return this; }
  // Of its threads.
  void watch(mothreads::internal::Step step, const mothreads::internal::WaitDescription& what) noexcept override;

  mothreads::internal::MainNode& main() noexcept override { return *root_; }
  mothreads::internal::TimerQueue& timers() noexcept override { return clock_.timers(mothreads::internal::kAccess); }
  void check_parent(const mothreads::internal::Node& parent, std::string_view name) const override;
  void start_thread(std::string_view name, void* (*function)(void*), void* argument, std::size_t stack_size) override;
  void begin_thread(mothreads::internal::Context& context) override;

 private:
  class Thread;

  std::uint64_t draw_number() noexcept override;

  // Whose turn it is: world_turns.cc.
  Runnable& next(WorldOrder::Kind kind) noexcept;
  Runnable* choose(WorldOrder::Kind kind) noexcept;
  Runnable* take(WorldId one) noexcept;
  void list_able();
  void note_switch(WorldOrder::Kind kind, WorldId to);
  void note_others(WorldId to) noexcept;
  std::string title_of(WorldId one) const;
  Thread* find(WorldId one) const noexcept;
  void interrupt(WorldOrder::Kind kind, std::string_view what) noexcept;
  void post_may_be_interrupted() noexcept;
  void let_time_pass() noexcept;
  std::int64_t first_time() const noexcept;
  void note_end() const noexcept;
  [[noreturn]] void fail(WorldEnd end, std::string_view what) const noexcept;
  std::string describe_waits() const;

  void switch_to(Runnable& from, Runnable& to) noexcept;
  void announce(Runnable* from, Runnable& to) noexcept;
  void arrive(void* fake_stack) noexcept;
  void prepare(Runnable& runnable, Stack& stack, void (*function)(void*), void* argument) noexcept;
  static void run_timers(void* world) noexcept;
  static void run_thread(void* thread) noexcept;
  Runnable& end_thread(Thread& thread) noexcept;
  void give_back_ended() noexcept;
  void await_threads() noexcept;

  static inline constinit thread_local WorldCore* here_ = nullptr;

  const Options options_;
  std::uint64_t random_;  // for the test; the order has its own
  WorldOrder order_;
  std::uint64_t signature_ = 0;
  std::uint64_t switches_since_jump_ = 0;
  std::uint64_t only_yields_ = 0;  // so many rounds, one after the other, were for nothing else
  WorldClock clock_;
  mothreads::internal::Ref<WorldRoot> root_;  // from enter() to leave()
  EhGlobals* eh_globals_ = nullptr;

  Stacks stacks_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<WorldId> able_;
  WorldId last_ = kWorldCaller;  // whose turn it is
  // Where it describes. Operations that have come, by who is at them; the one at which others may run now; and who ended last.
  std::map<const Runnable*, std::string> operations_;
  std::string_view operation_;
  std::string ended_title_;
  Thread* starting_ = nullptr;  // has its turn, and no context yet
  std::unique_ptr<Thread> ended_;
  WorldId next_number_ = 1;

  mothreads::internal::ThreadContext& timers_context_;
  mothreads::internal::Ref<WorldTimersNode> timers_node_;
  Runnable timers_;
  Stack* timers_stack_ = nullptr;

  // Who called run(), and what it had before.
  std::optional<Runnable> caller_;
  bool caller_is_ready_ = false;
  const void* caller_lowest_ = nullptr;  // for the sanitizers
  std::size_t caller_size_ = 0;
  void* caller_tsan_fiber_ = nullptr;
  SchedulerCore* core_before_ = nullptr;
  mothreads::internal::Host* host_before_ = nullptr;
  mothreads::internal::Node* node_before_ = nullptr;
  mothreads::Clock* clock_before_ = nullptr;
  RandomSource* random_before_ = nullptr;
};

}  // namespace cooperative::internal
