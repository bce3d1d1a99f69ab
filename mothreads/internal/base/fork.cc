#include "mothreads/internal/base/fork.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <new>

#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::internal {
namespace {

constinit TinyMutex happening_once;  // before `registering`
constinit TinyMutex registering;
constinit ForkPart* parts = nullptr;  // by rank, the highest first: as prepare() takes them
constinit bool is_registered = false;

// Of the thread that calls fork(). Written and read while `registering` is held, or by the only thread of a child.
constinit sigset_t mask_of_caller{};

// But for those that tell of a fault: one that is blocked ends the process without a word.
void block_signals() noexcept {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_BLOCK, &blocked, &mask_of_caller);
}

constexpr int kRanks = static_cast<int>(ForkPart::Rank::schedulers) + 1;

// Held from prepare() to one of the other two, which the analysis cannot see.
void prepare() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  happening_once.lock();
  registering.lock();
  block_signals();
  for (ForkPart* part = parts; part != nullptr; part = part->next) {
    if (part->prepare != nullptr) part->prepare();
  }
}

void in_parent() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (ForkPart* part = parts; part != nullptr; part = part->next) {
    if (part->in_parent != nullptr) part->in_parent();
  }
  const sigset_t mask = mask_of_caller;  // another fork() may begin at once
  registering.unlock();
  happening_once.unlock();
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

void in_child() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (TinyMutex* held : {&registering, &happening_once}) new (held) TinyMutex;  // who slept on them is not here: nobody is to be woken
  fork_generation.fetch_add(1, std::memory_order_relaxed);
  for (int rank = 0; rank < kRanks; ++rank) {
    for (ForkPart* part = parts; part != nullptr; part = part->next) {
      if (static_cast<int>(part->rank) == rank && part->in_child != nullptr) part->in_child();
    }
  }
  pthread_sigmask(SIG_SETMASK, &mask_of_caller, nullptr);
}

// The first of all handlers comes last before a fork() and first after it: those of others then run while nothing of ours is held.
void register_handlers() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(registering) {
  if (!is_registered) is_registered = pthread_atfork(prepare, in_parent, in_child) == 0;
}

// Before there is a second thread, where it can be: its fork() would not wait.
[[maybe_unused]] const bool registered_early = [] {
  const TinyLock lock(registering);
  register_handlers();
  return true;
}();

}  // namespace

void take_part_in_forks(ForkPart& part) {
  const TinyLock lock(registering);
  ForkPart** place = &parts;
  while (*place != nullptr && (*place)->rank >= part.rank) place = &(*place)->next;
  part.next = *place;
  *place = &part;
  register_handlers();
}

ForkWaits::ForkWaits() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { happening_once.lock(); }
ForkWaits::~ForkWaits() ABSL_NO_THREAD_SAFETY_ANALYSIS { happening_once.unlock(); }

void set_mask_of_child(const sigset_t& mask) noexcept { mask_of_caller = mask; }

void end_forked_process(int status) { std::exit(status); }

}  // namespace mothreads::internal
