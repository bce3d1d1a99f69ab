#include "mothreads/internal/queue_core.h"

#include <cstdio>
#include <optional>

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"

namespace mothreads::inline v0::internal {
namespace {

// How often a waiting add complains (mo-threads, Queue.add).
constexpr std::chrono::seconds kStallAlert{5};

// Rare looks let the other side go on undisturbed, and so several items come together.
constexpr int kPausesBetweenLooks = 64;

}  // namespace

QueueCore::QueueCore(std::string_view name, const QueueOptions& options)
    : unique_(options.unique),
      silent_(options.silent),
      allow_add_after_close_(options.allow_add_after_close),
      max_(options.max),
      name_(name),
      kept_name_(name) {
  if (name.find('\0') != std::string_view::npos) {
    throw Misuse(fmt::format("\"{}\" cannot be the name of a Queue: it has a zero byte, which would end it in every report", printable(name)));
  }
  adds_quickly_ = pops_quickly_ = !unique_;
  if (options.max == 0) throw Misuse(fmt::format("Queue \"{}\" with max = 0 could never take an item: make max at least 1", name));
}

QueueCore::~QueueCore() {
  if (born_.is_left_behind()) return;  // a thread of the parent may be inside, or wait
  const bool waited_on = [this] {
    Both both(*this);
    return !producers_.is_empty() || !consumers_.is_empty();
  }();
  if (waited_on) {
    fatal_misuse(fmt::format("Queue \"{}\" was destroyed while somebody waits on it: stop and join those threads first", name()));
  }
}

std::size_t QueueCore::size_now() const noexcept {
  constexpr int kTries = 10;
  std::uint64_t popped = popped_.load(std::memory_order_acquire);
  for (int i = 0; i < kTries; ++i) {
    // When popped_ is the same before and after it, both are of the moment of this look. acquire keeps the looks in order.
    const std::uint64_t pushed = pushed_.load(std::memory_order_acquire);
    const std::uint64_t popped_again = popped_.load(std::memory_order_acquire);
    if (popped_again == popped) return static_cast<std::size_t>(pushed - popped);
    popped = popped_again;
  }
  Both both(*this);
  return positions_in_use();
}

std::size_t QueueCore::size_approx() const noexcept {
  // popped_ first: read later it could be ahead of the pushed_ read before.
  const std::uint64_t popped = popped_.load(std::memory_order_acquire);
  const std::uint64_t pushed = pushed_.load(std::memory_order_acquire);
  return pushed > popped ? static_cast<std::size_t>(pushed - popped) : 0;
}

std::size_t QueueCore::positions_in_use() const noexcept {
  // relaxed: both mutexes are held.
  return static_cast<std::size_t>(pushed_.load(std::memory_order_relaxed) - popped_.load(std::memory_order_relaxed));
}

void QueueCore::must_be_ready(Ended ended) const {
  if (!ended) throw QueueClosed(name(), fmt::format("Do not add to closed queue \"{}\"", name()));
}

void QueueCore::fail_not_hashable() const {
  throw Misuse(fmt::format("Queue \"{}\" with unique = true needs items that are copyable and have std::hash and ==", name()));
}

void QueueCore::fail_too_many(std::size_t count) const {
  throw Misuse(fmt::format("Queue \"{}\": push_all of {} items can never fit max = {}; push fewer, or make max larger", name(),
                           count, max_));
}

Why QueueCore::park_producer(Wait& wait, Limit limit) const {
  if (silent_) return wait.park(limit);
  const Clock& clock = Clock::current();
  const Instant since = clock.now();
  for (Instant now = since;; now = clock.now()) {
    if (now != since) {
      log::warning("Queue with name \"{}\" is full with ({} items), thread(s) have been waiting {:.0f} sec", name(), size_now(),
                   std::chrono::duration<double>(now - since).count());
    }
    if (const std::optional<Why> why = wait.park(limit, now + kStallAlert)) return *why;
  }
}

bool QueueCore::spin_for_item() const {
  return Context::current().spin_until([this] { return size_approx() > 0 || is_closed(); }, kPausesBetweenLooks);
}

bool QueueCore::spin_for_room() const {
  return Context::current().spin_until([this] { return size_approx() < max_ || is_closed(); }, kPausesBetweenLooks);
}

const Signal& QueueCore::closed_signal() const { return made(closed_signal_, "queue {} closed", "call close() on the queue", &QueueCore::is_closed); }

const Signal& QueueCore::drained_signal() const {
  return made(drained_, "queue {} closed and empty", "call close() on the queue, and pop() what it holds", &QueueCore::is_drained);
}

bool QueueCore::is_drained() const noexcept { return is_closed() && positions_in_use() == 0; }

const Signal& QueueCore::made(Signal& signal, const char* what, const char* remedy, bool (QueueCore::*has_gone)() const noexcept) const {
  {
    Both both(*this);
    if (signal != NEVER) return signal;
  }
  const Signal fresh(SignalState::make_owned(fmt::format(fmt::runtime(what), name()), remedy), kAccess);  // not under the mutexes: it allocates
  Both both(*this);
  if (signal != NEVER) return signal;
  if ((this->*has_gone)()) fresh.state(kAccess).go();  // nobody has it yet
  signal = fresh;
  return signal;
}

void QueueCore::write_shared_name(const void* name, char* buffer, std::size_t size) {
  const std::string_view text = static_cast<const SharedName*>(name)->view();
  std::snprintf(buffer, size, "%.*s", static_cast<int>(text.size()), text.data());
}

void QueueCore::write_queue_name(const void* core, char* buffer, std::size_t size) {
  write_shared_name(&static_cast<const QueueCore*>(core)->name_, buffer, size);
}

}  // namespace mothreads::internal
