#include "cooperative/pulse.h"

namespace cooperative::inline v0 {
namespace {

constexpr const char* kName = "a Pulse";

}  // namespace

using mothreads::Why;
using mothreads::internal::WaitNode;

void Pulse::wait(const mothreads::Until& until) {
  home_.check(kName);
  WaitNode node;
  const Why why = home_.core().wait(waiters_, node, label_.waits("waits for pulse"), until);
  if (why != Why::ready) internal::throw_wait_ended(label_, "pulse", why);
}

void Pulse::signal() {
  home_.check(kName);
  while (WaitNode* waiter = waiters_.claim_front_on_host()) home_.core().end_wait(*waiter, Why::ready);
}

void Pulse::signal_one() {
  home_.check(kName);
  if (WaitNode* waiter = waiters_.claim_front_on_host()) home_.core().end_wait(*waiter, Why::ready);
}

}  // namespace cooperative
