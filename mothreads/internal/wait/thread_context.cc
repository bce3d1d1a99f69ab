#include "mothreads/internal/wait/thread_context.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <new>
#include <utility>

#include "mothreads/clock.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/futex.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/base/spin.h"
#include "mothreads/internal/library_thread.h"

namespace mothreads::inline v0::internal {
namespace {

// A sleep costs the waker about 15 µs and the sleeper about 50 µs on a virtual machine (facts of docs/performance.md), so
// a spin as long as that at worst doubles the cost of a wait. It shrinks while it does not pay and grows while it does.
constexpr std::uint32_t kMaxSpin = 50'000;
constexpr std::uint32_t kMinSpin = 1'000;
// Every so many waits the full length is tried again, to learn when wakes have become quick.
constexpr std::uint32_t kProbeEvery = 32;

// As many may spin at a time as there are processors: two threads that wait for each other in turn both spin for a moment. On
// one processor it is pointless, since the waker needs it.
constinit Known<int> allowed_spinners{-1};
int max_spinners() {
  return allowed_spinners.get([] {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
    const int processors = CPU_COUNT(&allowed);
    return processors > 1 ? processors : 0;
  });
}

constinit std::atomic<int> spinners{0};

}  // namespace

// All there are. Goes on in the child of a fork(), where the contexts of the other threads stay behind: they are not used again.
struct ThreadContexts {
  std::mutex mutex;
  ThreadContext* free = nullptr;
  ThreadContext* made = nullptr;  // all
  static ForkPart part;
};

namespace {

ThreadContexts& pool() {
  static ThreadContexts& instance = *[] {
    auto* const made = new ThreadContexts;  // outlives every thread
    take_part_in_forks(ThreadContexts::part);
    return made;
  }();
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (pool(), true);

}  // namespace

constinit ForkPart ThreadContexts::part{
    .rank = ForkPart::Rank::contexts,
    .prepare = []() noexcept { pool().mutex.lock(); },
    .in_parent = []() noexcept { pool().mutex.unlock(); },
    .in_child =
        []() noexcept {
          pool().mutex.unlock();
          ThreadContext::go_on_in_child();
        },
};

void ThreadContext::go_on_in_child() noexcept {
  Context* const here = Context::current_or_null();
  for (ThreadContext* context = pool().made; context != nullptr; context = context->next_made_) {
    new (&context->description_mutex_) TinyMutex;  // another thread may have been at it
    context->foreign_.leave_behind();
    if (context != here) context->leave_behind();
  }
  spinners.store(0, std::memory_order_relaxed);
  // The thread is the child's main thread now, also when it was one of the library's. That of the log has no context.
  if (const sigset_t* const mask = std::exchange(makers_mask, nullptr)) set_mask_of_child(*mask);
  if (here == nullptr) return;
  here->care.must_not_block = false;
  if (ThreadContext* const thread = of(*here); thread != nullptr && thread->os_thread_id() != 0) {
    thread->os_thread_id_.store(static_cast<std::uint64_t>(syscall(SYS_gettid)), std::memory_order_relaxed);
  }
}

ThreadContext& ThreadContext::acquire() {
  ThreadContext* context = nullptr;
  {
    std::lock_guard lock(pool().mutex);
    context = pool().free;
    if (context != nullptr) pool().free = context->next_free_;
  }
  if (context == nullptr) {
    context = new ThreadContext;
    std::lock_guard lock(pool().mutex);
    context->next_made_ = std::exchange(pool().made, context);
  }
  context->os_thread_id_.store(static_cast<std::uint64_t>(syscall(SYS_gettid)), std::memory_order_relaxed);
  context->spin_nanoseconds_ = kMaxSpin / 2;
  context->set_life(++context->lives_);
  return *context;
}

void ThreadContext::release(ThreadContext& context) noexcept {
  context.clock = &Clock::steady();
  context.node = nullptr;
  context.name = "unknown";
  context.kept_name_ = KeptName();
  context.registered_name_ = KeptName();
  context.log_extras.reset();
  context.host = nullptr;
  context.care = {};
  context.unwind_scope = nullptr;
  context.set_life(0);
  context.node_of_alien_ = nullptr;
  context.foreign_.clear();
  context.os_thread_id_.store(0, std::memory_order_relaxed);
  std::lock_guard lock(pool().mutex);
  context.next_free_ = pool().free;
  pool().free = &context;
}

std::vector<ThreadContext::ForeignThreadInfo> ThreadContext::foreign_threads() {
  std::vector<ForeignThreadInfo> found;
  std::lock_guard lock(pool().mutex);  // no thread ends meanwhile
  for (const ThreadContext* context = pool().made; context != nullptr; context = context->next_made_) {
    ForeignSlot::Name name;
    if (context->foreign_.read(name)) found.push_back({.name = name.data(), .waits_on = context->waits_on()});
  }
  return found;
}

void ThreadContext::set_name(const char* its_name) noexcept {
  name = its_name;
  kept_name_ = KeptName(its_name);
  registered_name_ = KeptName();
}

void ThreadContext::set_registered_name(std::string_view its_name) noexcept {
  registered_name_ = its_name.empty() ? KeptName() : KeptName(its_name);
}

// A thread that is in the scope of a RegisterThread enters none of a ForeignThread. The name of a ForeignThread becomes a KeptName here, so
// that its scopes, which are many, need not make one.
KeptName ThreadContext::name_for_others() const noexcept {
  KeptName registered = KeptName::share_of(registered_name_);
  if (registered.number() != 0) return registered;
  ForeignSlot::Name name_of_scope;
  return foreign_.read(name_of_scope) ? KeptName(name_of_scope.data()) : KeptName::share_of(kept_name_);
}

void ThreadContext::describe(const WaitDescription& what) noexcept {
  TinyLock lock(description_mutex_);
  const int written = std::snprintf(description_, sizeof description_, "%s", what.verb);
  const auto used = static_cast<std::size_t>(written);
  if ((what.write_name != nullptr || what.kept_name != 0) && used + 2 < sizeof description_) {
    description_[used] = ' ';
    what.write_object(description_ + used + 1, sizeof description_ - used - 1);
  }
  described_since_ = std::chrono::steady_clock::now();
  described_lock_ = EnteringVerb::is_one(what.verb) ? what.kept_name : 0;
}

void ThreadContext::undescribe() noexcept {
  TinyLock lock(description_mutex_);
  description_[0] = '\0';
}

std::optional<WaitReport> ThreadContext::waits_on() const {
  if (std::optional<WaitReport> on_host = Context::waits_on()) {
    // A simulated thread does not run while another asks: what it waits on can be looked at.
    char what[128];
    if (os_thread_id() == 0 && write_wait_on_host(what, sizeof what)) on_host->what = what;
    return on_host;
  }
  TinyLock lock(description_mutex_);
  if (description_[0] == '\0') return std::nullopt;
  // The thread does not come back from that wait meanwhile, and so the lock is there.
  KeptName::Copy owner;
  KeptName::read_holder(described_lock_, owner);
  return WaitReport{description_, described_since_, std::string(owner.view())};
}

void ThreadContext::suspend(const std::optional<Instant>& deadline) noexcept {
  const std::uint32_t seen = low_word();
  if (is_done()) return;
  futex_wait(futex_word(), seen, deadline);
}

void ThreadContext::resume() noexcept { futex_wake(futex_word(), 1); }

bool ThreadContext::spin_until(absl::FunctionRef<bool()> condition, int pauses) noexcept {
  return host != nullptr ? condition() : spin(condition, pauses);  // others of the host may be what it waits for
}

bool ThreadContext::spin(absl::FunctionRef<bool()> condition, int pauses) noexcept {
  if (max_spinners() <= 0) return condition();
  bool done = false;
  const bool probe = ++waits_ % kProbeEvery == 0;
  const std::uint32_t budget = probe ? kMaxSpin : spin_nanoseconds_;
  // relaxed: a count that only limits waste.
  if (spinners.fetch_add(1, std::memory_order_relaxed) < max_spinners()) {
    const auto start = std::chrono::steady_clock::now();
    do {
      for (int i = 0; i < 16 && !done; i += pauses) {
        for (int pause = 0; pause < pauses; ++pause) spin_pause();
        done = condition();
      }
    } while (!done && std::chrono::steady_clock::now() - start < std::chrono::nanoseconds(budget));
    if (done) {
      spin_nanoseconds_ = std::min(kMaxSpin, spin_nanoseconds_ + spin_nanoseconds_ / 2);
    } else {
      spin_nanoseconds_ = std::max(kMinSpin, spin_nanoseconds_ / 2);
    }
  }
  spinners.fetch_sub(1, std::memory_order_relaxed);
  return done;
}

}  // namespace mothreads::internal
