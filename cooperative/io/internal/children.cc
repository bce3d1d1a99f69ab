#include "cooperative/io/internal/children.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mothreads/internal/base/sudden_end.h"

namespace cooperative::inline v0::internal::io {

// Never freed, but used again: a signal's handler may be at any.
struct Child::Slot {
  std::atomic<bool> is_taken{true};
  std::atomic<int> pidfd{-1};
  std::atomic<pid_t> group{0};
  std::atomic<pid_t> parent{0};  // not a child that was forked, which has a copy
  Slot* next = nullptr;
};

constinit std::atomic<Child::Slot*> Child::first_{nullptr};

Child::Child(int pidfd, pid_t group) : slot_(take_slot()) {
  slot_.group.store(group, std::memory_order_relaxed);
  slot_.parent.store(getpid(), std::memory_order_relaxed);
  // release: pairs with the acquire in kill_all().
  slot_.pidfd.store(pidfd, std::memory_order_release);
  mothreads::internal::at_sudden_end.store(&kill_all, std::memory_order_release);
}

// Before the descriptor is closed. kill_all() might have read it just before, and find another under its number: nearly always one that cannot be
// sent signals, or that of another child, which is to be killed then, too.
Child::~Child() {
  slot_.pidfd.store(-1, std::memory_order_relaxed);
  // release: pairs with the acquire in take_slot().
  slot_.is_taken.store(false, std::memory_order_release);
}

Child::Slot& Child::take_slot() {
  for (Slot* slot = first_.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool is_taken = false;
    if (slot->is_taken.compare_exchange_strong(is_taken, true, std::memory_order_acquire, std::memory_order_relaxed)) return *slot;
  }
  auto* const slot = new Slot;
  slot->next = first_.load(std::memory_order_relaxed);
  // release: pairs with the acquires of who goes along the list.
  while (!first_.compare_exchange_weak(slot->next, slot, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return *slot;
}

void Child::kill_all() noexcept {
  for (const Slot* slot = first_.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const int pidfd = slot->pidfd.load(std::memory_order_acquire);
    if (pidfd < 0 || slot->parent.load(std::memory_order_relaxed) != getpid()) continue;
    // Only while nobody has taken its end is its number its own, and so that of its group.
    const bool was_there = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0;
    const pid_t group = slot->group.load(std::memory_order_relaxed);
    if (was_there && group != 0) ::kill(-group, SIGKILL);
  }
}

}  // namespace cooperative::internal::io
