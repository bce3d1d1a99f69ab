#pragma once

// A context that runs on the test's own thread. Instead of sleeping it runs the next step of a script, in which the test acts
// for the rest of the world, as the context that called run(). So every interleaving of a waiter with its wakers can be
// written down, and happens the same way each time.
//
//     ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
//     waiter.script({[&] { clock.advance(absl::Seconds(1)); queue.add(7); }});     // the time comes before the item
//     waiter.run([&] { why = queue.pop(absl::Seconds(1)).why(); });

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "mothreads/clock.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0::testing {

class ScriptedContext final : public internal::Context {
 public:
  // Lives as long as the program, as contexts do.
  static ScriptedContext& make(std::string name, Clock& clock = Clock::steady());

  // One of a thread of the library, on which nobody may wait.
  static ScriptedContext& make_library_thread();

  // What happens at each sleep, in order. A sleep without a step is fatal.
  void script(std::vector<std::function<void()>> steps);

  // Runs `f` as this context.
  void run(const std::function<void()>& f);

  // Called when a waker makes the context run again, in the waker's place.
  std::function<void()> on_resume;

  // Marks it as asleep in the wait that it has begun, so that its waker calls on_resume.
  void fall_asleep();

  bool spin_until(absl::FunctionRef<bool()> condition, int) noexcept override { return condition(); }

  int sleeps() const { return sleeps_; }
  int resumes() const { return resumes_; }

 private:
  explicit ScriptedContext(std::string its_name) : name_(std::move(its_name)) { name = name_.c_str(); }

  void suspend(const std::optional<Instant>& deadline) noexcept override;
  void resume() noexcept override;

  const std::string name_;
  Context* outer_ = nullptr;
  std::deque<std::function<void()>> steps_;
  bool falling_asleep_ = false;
  int sleeps_ = 0;
  int resumes_ = 0;
};

}  // namespace mothreads::testing
