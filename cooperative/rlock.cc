#include "cooperative/rlock.h"

#include <fmt/core.h>

#include "mothreads/misuse.h"

namespace cooperative {
namespace {

constexpr const char* kName = "RLock";

}  // namespace

using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::WaitNode;

struct RLock::Waiter : WaitNode {
  Waiter(const mothreads::internal::Wait& wait) : WaitNode(wait, Why::ready), context(wait.context()) {}
  Context& context;
};

RLock::~RLock() {
  internal::check_nobody_waits(waiters_, kName);
  if (owner_ != nullptr) {
    mothreads::internal::fatal_misuse(fmt::format("an RLock was destroyed while \"{}\" holds it: let it outlive who holds it", owner_->name));
  }
}

void RLock::acquire(const mothreads::Until& until) {
  home_.check(kName);
  Context& me = Context::current();
  if (owner_ == nullptr) owner_ = &me;
  if (owner_ == &me) {
    ++depth_;
    return;
  }
  internal::WaitAtHome wait("waits for an RLock");
  Waiter waiter(wait);
  const internal::Linked linked(waiters_, waiter);
  if (const Why why = wait.park(until); why != Why::ready) internal::throw_timed_out("RLock", why);
}

void RLock::release() {
  home_.check(kName);
  if (owner_ != &Context::current()) {
    throw mothreads::Misuse(fmt::format("\"{}\" releases an RLock that {}: acquire it first", Context::current().name,
                                        owner_ == nullptr ? std::string("nobody holds") : fmt::format("\"{}\" holds", owner_->name)));
  }
  if (--depth_ > 0) return;
  owner_ = nullptr;
  if (auto* next = static_cast<Waiter*>(waiters_.claim_front_on_host())) {
    owner_ = &next->context;
    depth_ = 1;
    next->finish_on_host(Why::ready);
  }
}

}  // namespace cooperative
