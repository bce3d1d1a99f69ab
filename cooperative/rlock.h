#pragma once

// A lock among the fibers of one scheduler, for a section that waits. Its holder may enter it again; leaving it as often hands it to
// the first who waits, so nobody barges in. Without a wait inside, fibers need no lock.
//
// Of one that has a name, those who wait for it tell others the name of its holder: see FiberLook::owner. A holder that ended without leaving is not told.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class RLock {
 public:
  RLock() = default;
  explicit RLock(std::string_view name) : label_("an RLock", name) {}  // for reports
  ~RLock();
  RLock(const RLock&) = delete;
  RLock& operator=(const RLock&) = delete;

  // Waits until it is free, or this fiber's already. When the limit comes first throws Timedout.
  void acquire(const mothreads::Until& until = {});
  // Throws mothreads::Misuse for who does not hold it.
  void release();

  // For a scope.
  class [[nodiscard]] Guard {
   public:
    [[nodiscard]] explicit Guard(RLock& lock) : lock_(lock) {}
    ~Guard() { lock_.release(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    RLock& lock_;
  };
  Guard enter(const mothreads::Until& until = {}) {
    acquire(until);
    return Guard(*this);
  }

 private:
  struct Waiter;

  void wait(mothreads::internal::Context& me, std::uint64_t id, const mothreads::Until& until);
  [[noreturn]] void refuse_release() const;
  std::string_view holder() const;
  bool has_holder_ended() const noexcept;
  void tell_holder() const noexcept;

  internal::Home home_;
  const internal::Label label_{};
  const mothreads::internal::Born born_;  // in a child of fork() the parent's holder may be left behind
  mothreads::internal::Context* owner_ = nullptr;
  std::uint64_t owner_id_ = 0;
  std::size_t depth_ = 0;
  mothreads::internal::WaitList waiters_;
};

}  // namespace cooperative
