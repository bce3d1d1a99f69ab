#pragma once

// Threads and fibers of a test, interleaved by a seed, on a clock of their own: the same seed gives the same run.
//
//     TEST(Poller, AsksEveryTenSeconds) {
//       co::testing::World world({.seed = 42});
//       world.run([] {
//         Poller p(absl::Seconds(10));
//         co::sleep(absl::Minutes(60) + absl::Seconds(5));           // takes no time
//         EXPECT_EQ(p.attempts(), 360);
//       });
//     }
//
//     co::testing::for_each_seed(500, [](co::testing::World& world) { world.run(test_it); });
//
// Inside run() all is as outside, but for this: a mothreads::Thread has no OS thread of its own. It has a stack and a scheduler, and
// whenever one of its fibers waits, the seed decides which thread goes on; in which order its own fibers do is decided by their
// scheduler, as always. Time stands still while anybody can run, and jumps when all sleep, or have long done nothing but yield. All waits of the library work: Signal,
// Till, Lock, Queue, joins, and those of fibers.
//
// With SwitchAt::every_operation the seed decides also before and after each operation on a Lock, Queue or Signal, so that a lost wake-up or a stale
// check shows without a hint in the code; and with WorldOptions::shrink a failure is repeated with fewer and fewer switches.
//
// A failure names the seed: an exception that leaves run(), a GoogleTest failure inside, a stop that misses its deadline, and a
// deadlock, which ends the program and says who waits and for what.
//
// MainThread is the world's there: stop(), drain() and their Signals are about what run() calls, which is told to stop, and about DrainHolds that were
// made inside.
//
// Refused inside, with mothreads::Misuse or the end of the program: whatever is real. Threads from outside that wake those inside, or
// post to them; descriptors; MainThread::run; another World. When not to use it: for tests of the order that one scheduler
// promises, which no seed changes, and for code that blocks the OS thread by other means than the library's.
//
// Thread safety: used by one thread; inside run() by all that run in it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace cooperative::inline v0 {

namespace internal {
class WorldCore;
struct WorldSetup;
}

namespace testing {

// Where another thread may go on.
enum class SwitchAt : std::uint8_t {
  waits,            // at every wait, and where the test says interrupt()
  every_operation,  // also at every operation on a Lock, Queue, Signal, Till or ThreadedEventQueue, at posts to a scheduler, and behind the start
                    // of a thread; not for code that does such a thing while it holds a std::mutex, for which others would block all
};

// The thread that goes on.
enum class Order : std::uint8_t {
  uniform,           // by chance; how often a thread just goes on depends on the seed
  priority_changes,  // the one with the highest priority, which the seed gives; at `depth` - 1 places it loses that (PCT, Burckhardt et al. 2010)
};

struct WorldOptions {
  std::uint64_t seed = 1;

  SwitchAt switch_at = SwitchAt::waits;
  Order order = Order::uniform;
  unsigned depth = 3;           // priority_changes: so many steps in a certain order make the fault
  std::uint64_t steps = 0;      // priority_changes: so many steps a run takes, about; 0 for a number between 16 and 1024, from the seed
  absl::Time wall_time = absl::FromUnixSeconds(1'767'225'600);  // the civil time as it begins, which passes with the rest: Clock::wall_now()
  absl::Duration drain = absl::ZeroDuration();                  // as MainOptions::drain
  std::uint64_t step_limit = 0;  // a run that takes more has failed, since it would never end; 0 for none

  // for_each_seed() and find_failure(): a run that has failed is repeated with fewer switches between threads, in processes of their own, for
  // the shortest list that still fails.
  bool shrink = false;

  // Other threads may run also inside of what posts to a scheduler (callback() and callback_result(), also of a CallbackQueue,
  // HandlerCallback::post()), and right after it, as they may where they are real. Not for code that posts while it holds a std::mutex,
  // for which others would block all, nor for handlers of signals.
  bool interrupt_posts = false;
};

class World {
 public:
  explicit World(const WorldOptions& options = {});
  World(const WorldOptions& options, const internal::WorldSetup& setup);  // for for_each_seed()
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Calls `function`, which may take a please_stop, in a thread "main" of the world, and gives or throws what it does; returns when
  // all threads of the world have ended, and all Tills have gone. May be called again: time and the draws go on. Throws
  // mothreads::Misuse inside a World.
  template <typename F>
  auto run(F&& function);

  std::uint64_t seed() const;

  // From the seed: less than `below`.
  std::uint64_t random(std::uint64_t below);

  // Inside run(): other threads may run now, and none of the caller's own fibers. A test puts it where real threads would be
  // interrupted.
  void interrupt();

  // Calls `function` when so much time has passed in it, on its timers, as a Till does; it must not block. Not any more once the
  // function that run() calls has returned. Before run(), or inside.
  void at(absl::Duration elapsed, absl::AnyInvocable<void()> function);

  // How much time has passed in it.
  absl::Duration elapsed() const;

  // Of the order in which everything ran: equal for equal runs.
  std::uint64_t signature() const;

 private:
  struct Appointment {
    absl::Duration elapsed;
    absl::AnyInvocable<void()> function;
  };
  class Plan;
  // The stop of the thread "main", and the calls that at() has planned for it.
  const mothreads::Signal& please_stop() const;
  std::unique_ptr<Plan, void (*)(Plan*)> carry_out_plan();

  // The caller is in the world meanwhile.
  class Visit {
   public:
    explicit Visit(World& world);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    World& world_;
    const int exceptions_;
  };

  const std::unique_ptr<internal::WorldCore> core_;
  std::vector<Appointment> appointments_;
  Plan* plan_ = nullptr;  // while the thread "main" carries it out
};

// Calls f(world) for `count` seeds from 1 on, until one fails by an exception, which is passed on, or by a GoogleTest failure. In the
// environment WORLD_SEED=42 runs that seed alone, and WORLD_SEEDS=10000 so many. With WORLD_SEED also WORLD_SWITCHES=3.17:4 repeats a run that
// a report of WorldOptions::shrink names.
void for_each_seed(std::size_t count, absl::FunctionRef<void(World& world)> f, const WorldOptions& options = {});

// --- implementation --------------------------------------------------------------------------------------------------------------

template <typename F>
auto World::run(F&& function) {
  const Visit visit(*this);
  return mothreads::Thread::run({.name = "main", .please_stop = please_stop()}, [&](mothreads::Signal please_stop) {
    const auto plan = carry_out_plan();
    if constexpr (std::is_invocable_v<F&, mothreads::Signal>) {
      return std::invoke(function, std::move(please_stop));
    } else {
      return std::invoke(function);
    }
  }).join();
}

}  // namespace testing
}  // namespace cooperative
