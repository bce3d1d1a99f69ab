#pragma once

// One wait of the current context; wait_list.h has the nodes by which wakers find it. This is the library's only way to block.
//
//     Wait wait({"pops from", this, write_name});
//     WaitNode node(wait, Why::ready);
//     list.push_back(node)                        under the source's mutex
//     Why why = wait.park(limit);                 blocks; a waker does take_claimed() / finish()
//     remove the node, if it is still linked      under the source's mutex
//
// Everything lives on the waiter's stack; nothing is allocated.

#include <cstdint>
#include <optional>

#include "mothreads/ended.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait_list.h"
#include "mothreads/limit.h"

namespace mothreads::inline v0::internal {

class Wait {
 public:
  // `what` must stay valid while the wait lasts. Throws Misuse when this context must not block: it runs a Signal::then()
  // function on a thread of the library. Inside such a function elsewhere, what the function has set off so far is done first:
  // here, or where only code of the host can end the wait in park().
  // Who has spun already, on a condition of its own, does not spin again.
  enum class Spin : bool { no, yes };
  explicit Wait(const WaitDescription& what, Spin spin = Spin::yes, Context::Reach reach = Context::Reach::everywhere)
      : context_(Context::current()), what_(what), reach_(reach), may_spin_(spin == Spin::yes) {
    if (context_.care.callbacks_running > 0 || context_.care.must_not_block) [[unlikely]] check_may_block();
    generation_ = context_.begin_wait(reach);
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  // Blocks until a waker finishes the wait, or the limit comes first. Throws what unwinds a context that has been
  // cancelled; then the wait is over, and has taken nothing.
  Why park(Limit limit) { return *park(limit, std::nullopt); }

  // The same, but comes back with nothing at `pause`: the wait goes on, wakers may end it, and the caller parks again.
  std::optional<Why> park(Limit limit, const std::optional<Instant>& pause);

  // The same for a context with a host, and no limit.
  Why park_on_host_for_ever();

  // Ends the wait from the waiter's own side; false when a waker was first, whose outcome then counts.
  bool claim_self() noexcept { return context_.claim(generation_); }

  Context& context() const noexcept { return context_; }
  std::uint64_t generation() const noexcept { return generation_; }

 private:
  void check_may_block() const;
  void finish_aftermath() const;
  // Once it hangs on the Signals of its limit, one of which may have gone: then `come` says how. Nothing when it pauses.
  std::optional<Why> park_until(std::optional<Instant> deadline, const std::optional<Instant>& pause, std::optional<Why> come);
  std::optional<Why> park_on_thread(const std::optional<Instant>& wake, bool pauses);
  std::optional<Why> park_on_host(const std::optional<Instant>& wake, bool pauses, const std::optional<Why>& come);
  std::optional<Why> end_on_host(bool is_over);

  Context& context_;
  WaitDescription what_;
  std::uint64_t generation_ = 0;
  Context::Reach reach_;
  bool may_spin_;
};

inline WaitNode::WaitNode(const Wait& wait, Why why) noexcept { arm(wait, why); }
inline void WaitNode::arm(const Wait& wait, Why why) noexcept { arm(wait.context(), wait.generation(), why); }

}  // namespace mothreads::internal
