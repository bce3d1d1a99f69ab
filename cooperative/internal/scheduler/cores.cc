#include "cooperative/internal/scheduler/cores.h"

#include <mutex>
#include <vector>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/forked.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::Context;

namespace {

struct Recycled {
  std::mutex mutex;
  std::vector<SchedulerCore*> cores;
  std::vector<SchedulerCore*> made;  // all there are
};

Recycled& recycled();

constinit mothreads::internal::ForkPart part{
    .rank = mothreads::internal::ForkPart::Rank::schedulers,
    .prepare = []() noexcept { recycled().mutex.lock(); },
    .in_parent = []() noexcept { recycled().mutex.unlock(); },
    .in_child =
        []() noexcept {
          recycled().mutex.unlock();
          for (SchedulerCore* core : recycled().made) leave_if_others(*core);
          go_on_in_child();
        },
};

Recycled& recycled() {
  static Recycled& instance = *[] {
    auto* const made = new Recycled;  // outlives every thread
    mothreads::internal::take_part_in_forks(part);
    return made;
  }();
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (recycled(), true);

// Ends the scheduler of a thread that the shutdown tree does not end: one that the library does not know, or the main thread.
struct AtThreadEnd {
  ~AtThreadEnd() {
    SchedulerCore* core = SchedulerCore::current_or_null();
    // exit() by a fiber: the shutdown tree reports it.
    if (core != nullptr && Context::current().is_root && core->simulation() == nullptr) core->end();
  }
};

}  // namespace

SchedulerCore& Cores::make_for_this_thread() {
  thread_local AtThreadEnd at_end;
  static_cast<void>(at_end);
  Context& root = Context::current();
  if (root.care.has_no_end) {
    throw mothreads::Misuse(fmt::format("\"{}\" cannot have fibers any more: its thread has ended, and nothing would end them; use them before "
                                        "the last destructor of the thread's", root.name));
  }
  if (root.care.must_not_block) throw mothreads::Misuse("a then() function on a thread of the library cannot have fibers: let it start a thread, or post to a scheduler");
  if (root.node->takes_no_more() && !root.node->next_above()->takes_no_more()) {  // else all has ended: see add_node()
    throw mothreads::Misuse(fmt::format("thread \"{}\" has ended, and a function of its end cannot have fibers: let it start a thread, or "
                                        "post to a scheduler", root.name));
  }
  SchedulerCore& core = take();
  try {
    core.begin(nullptr);
  } catch (...) {
    core.retire();
    throw;
  }
  return core;
}

SchedulerCore& Cores::take() {
  std::lock_guard lock(recycled().mutex);
  if (recycled().cores.empty()) return *recycled().made.emplace_back(new SchedulerCore);
  SchedulerCore& core = *recycled().cores.back();
  recycled().cores.pop_back();
  return core;
}

void Cores::give_back(SchedulerCore& core) {
  std::lock_guard lock(recycled().mutex);
  recycled().cores.push_back(&core);
}

}  // namespace cooperative::internal
