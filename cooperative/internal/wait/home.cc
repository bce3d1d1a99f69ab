#include "cooperative/internal/wait/home.h"

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

void Home::refuse(const char* what) const {
  if (has_ended()) {
    throw mothreads::Misuse(fmt::format("{} was used after the end of the thread that it belongs to, on whose scheduler it was made: make "
                                        "it on a thread that outlives its use", what));
  }
  throw mothreads::Misuse(fmt::format("{} was used on another thread than its own, where only its fibers may: post a callback to its "
                                      "scheduler, or use a mothreads::Signal or Queue", what));
}

void throw_wait_ended(std::string_view object, mothreads::Why why, std::string_view details) {
  mothreads::throw_ended_early(why, object,
                               fmt::format("{} waiting for {}{}", why == mothreads::Why::stopped ? "Stopped" : "Timed out", object, details));
}

void throw_wait_ended(const Label& label, const char* kind, mothreads::Why why) { throw_wait_ended(label.object(kind), why); }

void check_nobody_waits(const mothreads::internal::WaitList& waiters, const char* what, const Label& label) noexcept {
  bool has_waiter = false;
  for (const mothreads::internal::WaitNode* node = waiters.front(); node != nullptr && !has_waiter; node = waiters.after(*node)) {
    has_waiter = node->is_of_this_process();
  }
  if (!has_waiter) return;
  mothreads::internal::fatal_misuse(fmt::format("{} was destroyed while a fiber waits for it: let it outlive who waits", label.object(what)));
}

}  // namespace cooperative::internal
