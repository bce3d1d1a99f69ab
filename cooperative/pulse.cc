#include "cooperative/pulse.h"

namespace cooperative {
namespace {

constexpr const char* kName = "a Pulse";

}  // namespace

using mothreads::Why;
using mothreads::internal::WaitNode;

void Pulse::wait(const mothreads::Until& until) {
  home_.check(kName);
  internal::WaitAtHome wait("waits for a pulse");
  WaitNode node(wait, Why::ready);
  const internal::Linked linked(waiters_, node);
  if (const Why why = wait.park(until); why != Why::ready) internal::throw_timed_out("pulse", why);
}

void Pulse::signal() {
  home_.check(kName);
  while (WaitNode* waiter = waiters_.claim_front_on_host()) waiter->finish_on_host(Why::ready);
}

void Pulse::signal_one() {
  home_.check(kName);
  if (WaitNode* waiter = waiters_.claim_front_on_host()) waiter->finish_on_host(Why::ready);
}

}  // namespace cooperative
