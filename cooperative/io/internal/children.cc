#include "cooperative/io/internal/children.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mothreads/internal/base/sudden_end.h"

namespace cooperative::inline v0::internal::io {

// Never freed, but used again: a signal's handler may be at any.
struct Child::Slot {
  std::atomic<bool> is_taken{true};
  std::atomic<int> pidfd{-1};
  std::atomic<bool> is_starting{false};
  std::atomic<pid_t> group{0};
  std::atomic<pid_t> parent{0};  // not a child that was forked, which has a copy
  Slot* next = nullptr;
};

constinit std::atomic<Child::Slot*> Child::first_{nullptr};
constinit std::atomic<pid_t> Child::ending_process_{0};  // not a child of it that was forked meanwhile, which has a copy

Child::Child() : slot_(take_slot()) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask_of_caller_);
  slot_.parent.store(getpid(), std::memory_order_relaxed);
  // release: pairs with the acquire in end_suddenly().
  mothreads::internal::at_sudden_end.store(&kill_all, std::memory_order_release);
  slot_.is_starting.store(true, std::memory_order_relaxed);
  // Pairs with the fence in kill_all(): either this start sees the end, or the end sees this start.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (ending_process_.load(std::memory_order_relaxed) != getpid()) return;
  end_start();
  while (true) pause();
}

void Child::has_begun(int pidfd, pid_t group) noexcept {
  slot_.group.store(group, std::memory_order_relaxed);
  // release: pairs with the acquire in kill_all().
  slot_.pidfd.store(pidfd, std::memory_order_release);
  end_start();
}

void Child::end_start() noexcept {
  is_starting_ = false;
  // release: pairs with await_start(), which then sees the descriptor.
  slot_.is_starting.store(false, std::memory_order_release);
  pthread_sigmask(SIG_SETMASK, &mask_of_caller_, nullptr);
}

// Before the descriptor is closed. kill_all() might have read it just before, and find another under its number: nearly always one that cannot be
// sent signals, or that of another child, which is to be killed then, too.
Child::~Child() {
  slot_.pidfd.store(-1, std::memory_order_relaxed);
  if (is_starting_) end_start();  // the process could not be started
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

// A start lasts 60 to 170 us (exec of a small program). One that does not end, on a dead network file system for example, is not waited for long.
void Child::await_start(const Slot& slot) noexcept {
  constexpr int kMostLooks = 2000;
  for (int looks = 0; looks < kMostLooks; ++looks) {
    // acquire: pairs with end_start().
    if (!slot.is_starting.load(std::memory_order_acquire)) return;
    const timespec millisecond{.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&millisecond, nullptr);
  }
}

void Child::kill_all() noexcept {
  ending_process_.store(getpid(), std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with that in Child()
  for (const Slot* slot = first_.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    if (slot->parent.load(std::memory_order_relaxed) == getpid()) await_start(*slot);
  }
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
