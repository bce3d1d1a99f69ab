#pragma once

// One thread of a test world: what its scheduler would do next, and what the world says to it. See world_core.h.

#include <cstdint>
#include <string>
#include <string_view>

#include "cooperative/internal/scheduler/conductor.h"
#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/internal/world/world_core.h"
#include "cooperative/internal/world/world_trace.h"
#include "mothreads/internal/base/fifo.h"
#include "mothreads/internal/wait/simulation.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace cooperative::inline v0::internal {

class WorldCore::Thread final : public Conductor {
 public:
  Thread(WorldCore& its_world, std::string_view its_name, void* (*its_function)(void*), void* its_argument, Stack& its_stack);

  // Whether it has anything to run.
  bool is_able() const noexcept;
  // Whether its next round is for those alone who gave up their turn for nothing.
  bool only_yields() const noexcept;
  // Of its timers on the world's clock.
  std::int64_t first_time() const noexcept;

  // Makes it the current one; null when there was nothing to run after all.
  Runnable* take() noexcept;

  // The number of the fiber among those of this thread.
  std::uint64_t number_of(const Runnable& runnable) const noexcept;
  // As `writer (id 3)`.
  std::string title() const;
  // The same, with the fiber that runs.
  std::string title_of_running() const;
  void describe_waits(std::string& text) const;

  // --- Conductor

  Runnable& next() noexcept override { return world.next(WorldOrder::Kind::wait); }
  void check_caller(const char* what) const override;
  void check_waker() const noexcept override;
  void may_interrupt() noexcept override;
  void watch(mothreads::internal::Step step, const mothreads::internal::WaitDescription& what) noexcept override {
    if (here_ == &world) world.watch(step, what);
  }
  bool watches() const noexcept override { return world.options_.every_operation; }
  mothreads::internal::Simulation& simulation() noexcept override { return world; }

  WorldCore& world;
  const WorldId number;
  const std::string name;
  void* (*const function)(void*);
  void* const argument;
  Stack& stack;
  Runnable beginning;
  SchedulerCore* core = nullptr;
  std::uint64_t first_fiber = 0;
  mothreads::internal::Fifo<Runnable> rest;              // of its round
  Runnable* interrupted = nullptr;  // goes on before the rest
  mothreads::internal::TimerNode never;  // with a timer its scheduler looks before it goes on by itself
};

}  // namespace cooperative::internal
