#pragma once

// The main thread: the root of everything that can be told to stop.
//
//     int main() {
//       return MainThread::run([](Signal please_stop) {       // SIGINT and SIGTERM make please_stop go
//         ...
//         return 0;
//       });
//     }
//
// run() takes SIGINT and SIGTERM on a thread of the library's own, also where the program was started with them blocked. An ignored SIGTERM
// is taken; a SIGINT that is ignored at the start (nohup, `sh -c 'program &'`) stays ignored, as it is meant for others then. The first
// signal asks for the orderly stop, the second prints who has not stopped yet, the third ends the process at once with 128 + its number.
// When the function has ended, its children are told to stop, newest first, and waited for; then the timers and the log end. After a clean
// stop, also by a signal, the function's own value is the exit code. What a child of fork(), or a module of dlopen(), may do:
// docs/process_edges.md.
//
// A service can ask for time between "no new work" and "stop", by MainOptions::drain:
//
//     running --drain(), first signal--> draining() has gone --> please_stop has gone --> stopped
//
// please_stop follows when no DrainHold is left (drain_hold.h), when the drain's time is over, or by stop(). Before that nothing is
// cancelled, no Till goes early, and the time of stop_deadline has not begun. The second signal prints the report during the drain, too,
// with what holds it, and does not shorten it; the third ends the process at once. Without a drain both Signals go at the same moment,
// draining() first, so a library may always use draining(). When the function returns during the drain, the stop follows at once.
//
// In a test world (cooperative/testing/world.h) stop(), drain(), draining(), please_stop() and thread() are about what that world runs, which is
// no concern of the program; take_signals() does nothing there, run() and wait_for_shutdown_signal() throw Misuse.
//
// Without run() the same happens at exit(), but nobody takes the signals: see take_signals() and wait_for_shutdown_signal().

#include <concepts>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0 {

struct MainOptions {
  absl::Duration drain = absl::ZeroDuration();          // the most that a drain may take; zero for none, infinite for no limit
  absl::Duration stop_deadline = kDefaultStopDeadline;  // as set_stop_deadline()
  bool take_signals = true;                             // SIGINT and SIGTERM
};

class MainThread {
 public:
  // Calls function(please_stop) as the main thread's function and ends everything after it. Returns what it returned (0 for
  // void); 1 when it threw, which is logged; kExitUnclaimedFailure instead of 0 when a thread failed and nobody joined it.
  // Throws Misuse when the calling thread is not the program's own, or inside another run().
  template <typename F>
  static int run(F&& function, const MainOptions& options = {}) {
    static_assert(std::is_invocable_v<F, Signal>, "the main function must take please_stop: add a `Signal please_stop` parameter");
    using R = std::invoke_result_t<F, Signal>;
    static_assert(std::is_void_v<R> || std::convertible_to<R, int>, "the main function must return an exit code, or nothing");
    return run_function(
        [&function](Signal please_stop) -> int {
          if constexpr (std::is_void_v<R>) {
            std::invoke(std::forward<F>(function), std::move(please_stop));
            return 0;
          } else {
            return std::invoke(std::forward<F>(function), std::move(please_stop));
          }
        },
        options);
  }

  // Announces the stop, as the first signal does; does not block. Any thread may call it, once more changes nothing. Without
  // MainOptions::drain it is stop(). then() functions of draining() run in the caller.
  static void drain();

  // Goes when the stop has been announced: take no new work. At the latest just before please_stop.
  static Signal draining();

  // Asks everything to stop, from any thread; does not block. Children are told newest first, Tills that exist go early. During a drain
  // it ends the drain.
  static void stop();

  // Goes when somebody asked, with run()'s function and afterwards.
  static Signal please_stop();

  // For a program without run(): SIGINT and SIGTERM ask for the stop from now on, until the program ends. Nothing inside run(), whose
  // options have said. Throws std::system_error.
  static void take_signals();

  // SIGINT or SIGTERM, when one of them asked for the stop, or began the drain; else 0.
  static int stop_signal();

  // The main thread's place in the tree, to be the parent of what should outlive its maker.
  static Thread thread();

 private:
  static int run_function(absl::AnyInvocable<int(Signal)> function, const MainOptions& options);
};

struct ShutdownOptions {
  std::optional<Signal> please_stop = std::nullopt;  // made one with the main thread's: either makes the other go
  bool allow_exit = false;                           // a line "exit" on standard input stops, too
  bool wait_forever = true;                          // false: also stop when all children there are at the call have stopped
};

// Blocks the main thread until it is asked to stop, by SIGINT or SIGTERM or as the options say; then stops its children and
// waits for them. Throws ThreadsFailed when some that nobody joined have failed; Misuse on another thread.
void wait_for_shutdown_signal(const ShutdownOptions& options = {});

}  // namespace mothreads
