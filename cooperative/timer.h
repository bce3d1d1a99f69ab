#pragma once

// A function that is called when a time has come, in a fiber of its own.
//
//     co::Timer once(absl::Seconds(5), [] { alarm(); });
//     co::Timer each(absl::Milliseconds(100), [] { sample(); }, {.repeat = co::Repeat::at_fixed_rate});
//
// The function may wait as long as it likes. What it throws is logged, and the timer lives on. The destructor cancels the timer and
// waits for a call that is under way, but for one that destroys it itself. Used on one scheduler's thread alone.

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"

namespace cooperative {

enum class Repeat : std::uint8_t {
  no,
  after_each_call,  // the next time counts from the end of the call: cothread's retrigger
  at_fixed_rate,    // from the time before: times that passed during a call are left out
};

struct TimerOptions {
  Repeat repeat = Repeat::no;
  bool reuse = false;           // one that does not repeat can be set again after it has gone
  std::size_t stack_size = 0;  // as FiberOptions'
};

class Timer {
 public:
  // With absl::InfiniteDuration() it sleeps until reset(). A repeating one uses the same duration each time; it must be more than zero,
  // else throws mothreads::Misuse.
  Timer(absl::Duration timeout, absl::AnyInvocable<void()> function, const TimerOptions& options = {});
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Sets it anew, from now: a time that has come but was not acted upon is forgotten; absl::InfiniteDuration() for none. Throws
  // mothreads::Misuse after cancel(), and after the end of one that neither repeats nor is for reuse.
  void reset(absl::Duration timeout);
  void reset(absl::Duration timeout, Repeat repeat);

  // It will never call again. A call that is under way goes on. Once more changes nothing.
  void cancel();

 private:
  struct State;

  std::shared_ptr<State> state_;
  Fiber<void> fiber_;
};

}  // namespace cooperative
