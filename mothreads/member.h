#pragma once

// A reference to anything in the shutdown tree: a thread, a group, a fiber.
//
//     ThreadGroup cameras("cameras");
//     auto reader = Thread::run({.name = "reader", .parent = cameras}, read_camera);   // a typed handle, in the group's tree
//     Member member = reader;
//     log::info("{} {} under {}", to_string(member.kind()), member.name(), member.parent()->name());
//
// Every handle converts to it. It is a cheap value, thread-safe, and keeps nothing running; what it refers to can be asked for its name, and
// for how it ended, for as long as the Member exists. An empty one, as the default of an option is, refers to nothing: all but its copies and
// is_empty() are Misuse.

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mothreads/end_record.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/base/ref.h"
#include "mothreads/internal/tree/tree_member.h"
#include "mothreads/signal.h"
#include "mothreads/wait_report.h"

namespace mothreads::inline v0 {

class Member {
 public:
  Member() = default;  // empty
  // As parent() gives it; empty where that is none.
  template <typename T>
    requires std::convertible_to<const T&, Member>
  Member(const std::optional<T>& member) : Member(member ? static_cast<Member>(*member) : Member()) {}
  bool is_empty() const { return !member_; }

  const std::string& name() const { return get().name(); }
  std::uint64_t id() const { return get().id(); }  // unique among those of its kind
  MemberKind kind() const { return get().kind(); }
  // Throws Misuse for a fiber whose function takes none.
  Signal please_stop() const { return get().please_stop(); }
  Signal stopped() const { return get().stopped(); }
  bool is_alive() const { return !get().stopped(); }

  // Asks what is below it, then itself, to stop; does not block. Chain: member.stop().stopped().wait(). Of a fiber of another thread: that
  // thread does it, soon.
  const Member& stop() const {
    get().ask_to_stop();
    return *this;
  }

  // The wait of the member at the moment; none where it runs, or is ready to. Nothing is asked of the member: neither is it stopped, nor does a system call of its
  // thread end because of this. A group waits on nothing.
  std::optional<WaitReport> waits_on() const { return get().waits_on(); }

  // How it ended. None while it runs; `lost` for one that was marked lost and has not ended since.
  std::optional<EndRecord> end() const { return get().end(); }

  // None for the main thread, and for one that has left the tree.
  std::optional<Member> parent() const;
  // In the order they were made, without those that have left. A thread's fibers are not among them. The fibers under a fiber, or in a
  // FiberGroup, are their thread's own: throws Misuse on another thread.
  std::vector<Member> children() const;

  friend bool operator==(const Member& a, const Member& b) { return a.member_.get() == b.member_.get(); }

  // For the library.
  Member(internal::Ref<internal::TreeMember> member, internal::Access) : member_(std::move(member)) {}
  internal::TreeMember& get(internal::Access) const { return get(); }

 private:
  internal::TreeMember& get() const {
    if (!member_) refuse_empty();
    return *member_;
  }
  [[noreturn]] static void refuse_empty();

  internal::Ref<internal::TreeMember> member_;
};

}  // namespace mothreads
