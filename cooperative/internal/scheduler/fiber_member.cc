#include "cooperative/internal/scheduler/fiber_member.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/fiber_ends.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/group_place.h"
#include "cooperative/internal/scheduler/look.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::EndRecord;
using mothreads::How;
using mothreads::MemberKind;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::internal::Node;
using mothreads::internal::TinyLock;
using mothreads::internal::TreeMember;

namespace {

std::optional<Signal> please_stop_of_block(const FiberBlock& block) {
  if (block.group != nullptr) return block.group->please_stop;
  return block.takes_stop ? std::optional<Signal>(block.please_stop) : std::nullopt;
}

mothreads::internal::Ref<Node> thread_of(const FiberBlock& block) {
  SchedulerNode& node = *block.core->rooms().node;
  mothreads::internal::Ref<Node> thread = node.parent();
  return thread ? thread : mothreads::internal::Ref<Node>(node);
}

How how_of(const FiberBlock& block) {
  switch (block.outcome) {
    case FiberBlock::Outcome::threw: return How::threw;
    case FiberBlock::Outcome::cancelled: return How::cancelled;
    case FiberBlock::Outcome::killed: return How::killed;
    default: return How::returned;
  }
}

}  // namespace

FiberMember::FiberMember(FiberBlock& block)
    : kind_(block.group != nullptr ? MemberKind::fiber_group : MemberKind::fiber),
      name_(block.own_name),
      id_(block.id),
      block_(block),
      core_life_(block.core_life),
      core_(*block.core),
      mailbox_(core_.rooms().callbacks.mailbox()),
      thread_(thread_of(block)),
      please_stop_(please_stop_of_block(block)),
      stopped_(stopped_signal(block)),
      began_(core_.clock().now()) {
  if (block.state != FiberBlock::State::ended) return;
  const TinyLock lock(mutex_);
  end_ = EndRecord{.how = how_of(block), .kind = kind_, .name = name_, .id = id_, .under = {}, .exception = block.failure, .began = began_, .ended = began_};
}

// Those above it first, in a loop: the tree may be deeper than the stack.
FiberMember::Ref<FiberMember> FiberMember::of(FiberBlock& block) {
  std::vector<FiberBlock*> without;
  for (FiberBlock* at = &block; at != nullptr && at->member == nullptr; at = at->parent) without.push_back(at);
  for (auto at = without.rbegin(); at != without.rend(); ++at) {
    FiberBlock& made = **at;
    made.member = new FiberMember(made);
    if (made.state != FiberBlock::State::ended) {
      made.member->note_parent(made);
    } else if (!std::exchange(made.has_stopped_signal, true)) {
      made.stopped = mothreads::DONE;
    }
  }
  return Ref<FiberMember>(*block.member);
}

FiberMember::Ref<TreeMember> FiberMember::parent_of(const FiberBlock& block) {
  if (block.parent == nullptr) return thread_of(block);
  return of(*block.parent);
}

void FiberMember::note_parent(const FiberBlock& block) {
  Ref<TreeMember> above = parent_of(block);
  const TinyLock lock(mutex_);
  std::swap(above_, above);
}

void FiberMember::publish_end(const EndRecord& end) {
  Ref<TreeMember> above;  // what is replaced goes without the mutex
  const TinyLock lock(mutex_);
  std::swap(above_, above);
  end_ = end;
}

const Signal& FiberMember::please_stop() const {
  if (!please_stop_) throw Misuse(fmt::format("fiber \"{}\" has no please_stop, because its function takes none", name_));
  return *please_stop_;
}

FiberBlock* FiberMember::block() const noexcept {
  if (born_.is_left_behind() || !SchedulerCore::is_current(core_life_) || block_.id != id_ || block_.state == FiberBlock::State::ended) return nullptr;
  return &block_;
}

void FiberMember::stop_here() {
  if (FiberBlock* const mine = block()) core_.stopping().stop(*mine);
}

// In a fiber of its own, because then() functions of the signals that go belong on no stack of somebody who waits.
void FiberMember::start_stopping() noexcept {
  static constexpr FiberBlock::Job kStop{
      .call =
          [](void* self) {
            const mothreads::internal::NoUnwind whole;
            static_cast<FiberMember*>(self)->stop_here();
          },
      .drop_function = nullptr,
      .destroy = [](void* self) noexcept { static_cast<FiberMember*>(self)->unref(); },
      .free = nullptr,
  };
  if (block() == nullptr) return;
  ref();
  start_helper(make_helper(core_, "stop of a member", nullptr), kStop, this);
}

void FiberMember::ask_to_stop() {
  if (stopped()) return;
  if (SchedulerCore::is_current(core_life_)) return stop_here();
  check_caller(*mailbox_, "Member::stop()");
  // A scheduler that takes no more calls is stopping its fibers.
  static_cast<void>(post(core_, *mailbox_, make_call<Errand::yes>([self = Ref<FiberMember>(*this)] { self->start_stopping(); })));
  may_be_interrupted(*mailbox_);
}

std::optional<mothreads::WaitReport> FiberMember::waits_on() const {
  std::optional<mothreads::WaitReport> report;
  if (born_.is_left_behind()) return report;
  look_at_fiber(block_, id_, [&](const FiberLook& fiber) {
    if (!fiber.since) return;
    std::string what(fiber.wait);
    if (!fiber.object.empty()) what.append(" ").append(fiber.object);
    report = mothreads::WaitReport{.what = std::move(what), .since = fiber.since, .owner = std::string(fiber.owner)};
  });
  return report;
}

std::optional<EndRecord> FiberMember::end() const {
  if (born_.is_left_behind()) return std::nullopt;
  const TinyLock lock(mutex_);
  return end_;
}

FiberMember::Ref<TreeMember> FiberMember::above() const {
  if (born_.is_left_behind()) return {};
  const TinyLock lock(mutex_);
  return above_;
}

std::vector<FiberMember::Ref<TreeMember>> FiberMember::below() const {
  std::vector<Ref<TreeMember>> members;
  if (stopped()) return members;
  if (!SchedulerCore::is_current(core_life_)) {
    throw Misuse(fmt::format("the fibers under \"{}\" were asked for on another thread than theirs: post a callback to their scheduler", name_));
  }
  const FiberBlock* const mine = block();
  if (mine == nullptr || mine->newest_child == nullptr) return members;
  FiberBlock* child = mine->newest_child;
  do {
    members.emplace_back(of(*child));
    child = child->older;
  } while (child != mine->newest_child);
  std::reverse(members.begin(), members.end());
  return members;
}

EndRecord end_record_of(const FiberBlock& block) {
  const mothreads::Instant now = block.core->clock().now();
  return {.how = how_of(block),
          .kind = block.group != nullptr ? MemberKind::fiber_group : MemberKind::fiber,
          .name = block.own_name,
          .id = block.id,
          .under = block.parent != nullptr ? block.parent->own_name : thread_of(block)->name(),
          .exception = block.failure,
          .began = block.member != nullptr ? block.member->began() : now,
          .ended = now};
}

void drop_member(FiberBlock& block) noexcept {
  if (FiberMember* const member = std::exchange(block.member, nullptr)) member->unref();
}

ParentRef fiber_parent_of(const TreeMember& member) {
  const auto* const fiber = dynamic_cast<const FiberMember*>(&member);
  if (fiber == nullptr) {
    throw Misuse(fmt::format("{} \"{}\" cannot be the parent of a fiber, which is a fiber or a FiberGroup: make the fiber on that thread",
                             to_string(member.kind()), member.name()));
  }
  FiberBlock* const block = fiber->block();
  if (block == nullptr) {
    throw Misuse(fmt::format("\"{}\" cannot be the parent of a fiber here, because it has ended or is another thread's: make the fiber under "
                             "one that still runs, on its own thread", member.name()));
  }
  return {block, block->id};
}

}  // namespace cooperative::internal
