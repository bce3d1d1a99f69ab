#pragma once

// The threads of one test world. Each has a stack, a context and a scheduler of its own; all run on the OS thread that called
// World::run(). Their schedulers never fill a batch, and have a timer always, so that they ask for what comes next: whenever one of their
// fibers gives up its turn, next() draws by the seed which thread goes on, and that one's rounds decide which of its fibers does.
//
//     who takes turns                        when it can
//     a thread of the world                  what its next round takes is there, or the rest of its round is
//     the timers, on a stack of their own    a Till is due
//     who called World::run()                all threads have ended, or what it waits for has come
//
// When nobody can, time jumps to the first timer of all; without one it is a deadlock.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/internal/conductor.h"
#include "cooperative/internal/fifo.h"
#include "cooperative/internal/runnable.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/internal/stacks.h"
#include "cooperative/internal/world_clock.h"
#include "cooperative/internal/world_nodes.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/host.h"
#include "mothreads/contexts/node.h"
#include "mothreads/contexts/random_number.h"
#include "mothreads/contexts/simulation.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/instant.h"

namespace cooperative::internal {

class WorldCore final : public mothreads::internal::Host, public mothreads::internal::Simulation, private mothreads::internal::RandomSource {
 public:
  struct Options {
    std::uint64_t seed;
    bool interrupt_posts;
  };
  explicit WorldCore(const Options& options);
  ~WorldCore();
  WorldCore(const WorldCore&) = delete;
  WorldCore& operator=(const WorldCore&) = delete;

  static WorldCore* here() noexcept { return here_; }

  std::uint64_t seed() const noexcept { return seed_; }
  std::uint64_t draw(std::uint64_t below) noexcept;
  std::uint64_t signature() const noexcept { return signature_; }
  std::int64_t elapsed() const noexcept;
  // Lets other threads run, and none of the caller's fibers.
  void interrupt() noexcept;

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

  void check_parent(const mothreads::internal::Node& parent, std::string_view name) const override;
  void start_thread(void* (*function)(void*), void* argument, std::size_t stack_size) override;
  void begin_thread(mothreads::internal::Context& context) override;

 private:
  class Thread;

  std::uint64_t draw_number() noexcept override;

  Runnable& next() noexcept;
  Runnable* draw_one() noexcept;
  void let_time_pass() noexcept;
  std::int64_t first_time() const noexcept;
  [[noreturn]] void fail_deadlock() const noexcept;
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

  const std::uint64_t seed_;
  const bool interrupt_posts_;
  std::uint64_t random_;
  std::uint64_t stay_;  // of eight draws, so many leave the turn with the thread that has it
  std::uint64_t signature_ = 0;
  std::uint64_t switches_since_jump_ = 0;
  std::uint64_t only_yields_ = 0;  // so many rounds, one after the other, were for nothing else
  WorldClock clock_;
  mothreads::internal::Ref<WorldRoot> root_;
  EhGlobals* eh_globals_ = nullptr;

  Stacks stacks_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Thread*> able_;
  Thread* last_ = nullptr;      // whose turn it is
  Thread* starting_ = nullptr;  // has its turn, and no context yet
  std::unique_ptr<Thread> ended_;
  std::uint64_t next_number_ = 1;

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
