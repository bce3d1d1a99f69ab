#include "cooperative/rlock.h"

#include <string>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {
namespace {

constexpr const char* kName = "an RLock";

// Contexts are recycled: who holds is known by the number as well.
std::uint64_t current_id(const internal::Home& home) {
  const internal::FiberBlock* fiber = home.core().running_fiber();
  return fiber == nullptr ? 0 : fiber->id;
}

}  // namespace

using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::WaitNode;

struct RLock::Waiter : WaitNode {
  Waiter(Context& its_context, std::uint64_t its_id) : context(its_context), id(its_id) {}
  Context& context;
  const std::uint64_t id;
};

std::string_view RLock::holder() const {
  if (owner_id_ == 0) return owner_->name;
  const auto& fiber = static_cast<const internal::FiberBlock&>(*owner_);
  return has_holder_ended() ? "a fiber that has ended" : std::string_view(fiber.own_name);
}

bool RLock::has_holder_ended() const noexcept { return owner_id_ != 0 && static_cast<const internal::FiberBlock&>(*owner_).id != owner_id_; }

// Its name has a holder only while somebody waits: to enter it when it is free, and to leave it then, costs nothing more.
void RLock::tell_holder() const noexcept {
  if (label_.number() != 0 && !has_holder_ended()) label_.name().tell_holder(owner_->name_for_others());
}

RLock::~RLock() {
  internal::check_nobody_waits(waiters_, kName, label_);
  if (owner_ != nullptr && !born_.is_left_behind()) {
    mothreads::internal::fatal_misuse(
        fmt::format("{} was destroyed while \"{}\" holds it: let it outlive who holds it", label_.object(kName), holder()));
  }
}

void RLock::acquire(const mothreads::Until& until) {
  home_.check(kName);
  if (owner_ == nullptr) home_.core().spend_act();  // to enter it again is no wait, and any other wait begins a new turn
  Context& me = Context::current();
  const std::uint64_t id = current_id(home_);
  if (owner_ == nullptr) {
    owner_ = &me;
    owner_id_ = id;
    depth_ = 1;
    return;
  }
  if (owner_ == &me && owner_id_ == id) {
    ++depth_;
    return;
  }
  wait(me, id, until);
}

void RLock::wait(Context& me, std::uint64_t id, const mothreads::Until& until) {
  Waiter waiter(me, id);
  if (!label_.name().has_holder()) tell_holder();
  const absl::Cleanup last_forgets = [this] {
    if (waiters_.is_empty()) label_.name().forget_holder();
  };
  const Why why = home_.core().wait(waiters_, waiter, label_.waits(mothreads::internal::EnteringVerb::rlock), until);
  if (why != Why::ready) internal::throw_wait_ended(label_, "RLock", why);
}

void RLock::refuse_release() const {
  throw mothreads::Misuse(fmt::format("\"{}\" releases {} that {}: acquire it first", Context::current().name, label_.object(kName),
                                      owner_ == nullptr ? std::string("nobody holds") : fmt::format("\"{}\" holds", holder())));
}

void RLock::release() {
  home_.check(kName);
  if (owner_ != &Context::current() || owner_id_ != current_id(home_)) [[unlikely]] refuse_release();
  if (--depth_ > 0) return;
  owner_ = nullptr;
  if (auto* next = static_cast<Waiter*>(waiters_.claim_front_on_host())) {
    owner_ = &next->context;
    owner_id_ = next->id;
    depth_ = 1;
    label_.name().forget_holder();
    if (!waiters_.is_empty()) {
      tell_holder();
    }
    home_.core().end_wait(*next, Why::ready);
  }
}

}  // namespace cooperative
