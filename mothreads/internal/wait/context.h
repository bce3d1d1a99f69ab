#pragma once

// An execution context: what can wait. An OS thread is one; a fiber is another. Every blocking call of the library parks the
// current context through a Wait (wait.h) on the word kept here. Where several contexts share an OS thread they have a Host
// (host.h), which switches between them.
//
// The word holds the number of the wait (its generation) and flags:
//
//     armed       the context waits but still runs (it may be spinning)
//     SLEEPING    it has been suspended: who finishes the wait must call resume()
//     ON_HOST     together with SLEEPING: who finishes the wait must call its host's resume(), and it does not go on before
//     CLAIMED     one waker, and no other, has won the wait and decides its outcome
//     DONE        the outcome is there; the context goes on
//
// A waker claims by generation, so a late wake of an earlier wait fails. Between CLAIMED and DONE the waiter does not
// return: its stack, and thus its wait node, stays valid for the waker, which may move an item there.
// Context objects are type-stable: they are recycled, never freed, so a waker may touch the word after the waiter left.

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/wait_report.h"

namespace mothreads::inline v0 {
class Clock;
}

namespace mothreads::inline v0::internal {

class Aftermath;
class Host;
class Node;
class Simulation;

// Pairs of names and values: log::Extras.
using LogExtras = std::vector<std::pair<std::string, std::string>>;

// Writes at most `size` bytes, terminated, and allocates nothing.
using WriteName = void (*)(const void* object, char* buffer, std::size_t size);

// The reason of a context's wait, for reports.
struct WaitDescription {
  const char* verb;  // a literal
  const void* object = nullptr;
  WriteName write_name = nullptr;  // null where the KeptName is all that is known of it
  std::uint32_t kept_name = 0;     // the object's KeptName, where it has one: what threads may read that do not know whether it is still there

  // The object's name, or nothing: to be called while it is there, unless write_name is null.
  void write_object(char* buffer, std::size_t size) const noexcept;
};

// A description of a wait that only code of its host ends: no more than other threads may read.
struct HostedWait {
  constexpr HostedWait(const char* its_verb, std::uint32_t its_kept_name = 0) : verb(its_verb), kept_name(its_kept_name) {}
  const char* verb;
  std::uint32_t kept_name;
};

using mothreads::WaitReport;  // a copy of the above, for reports

// A part of what a context runs that a limit may unwind without the rest. On the context's stack, each inside its outer one.
struct UnwindScope {
  UnwindScope* outer = nullptr;
  int deferred = 0;       // NoUnwind scopes around it: those inside put it off
  int uncaught = 0;       // exceptions that were on their way as it began
  bool has_come = false;  // the limit
  bool was_thrown = false;
};

// What a host lets those verbs see that may wait.
struct HostTurn {
  std::int32_t acts_left = 0;    // so many the running context has in this turn
  bool is_watched = false;       // in a test world: it wants to hear of each operation, and gives no acts
  bool is_left_behind = false;   // in a child of fork(): its thread is not there, and nobody wakes its contexts
  std::uint64_t wait_stamp = 0;  // when a wait that begins now did so: in Context::kStampUnit of the host's clock, by its last look there
};

// The verbs of waits for a lock that another context is inside of, whose name the lock's KeptName then knows. By their addresses.
struct EnteringVerb {
  static constexpr char lock[] = "enters lock";
  static constexpr char rlock[] = "waits for RLock";
  static bool is_one(const char* verb) noexcept { return verb == lock || verb == rlock; }
};

// A context on a host, as another thread sees it.
struct ContextLook {
  bool waits = false;           // else it runs, or is ready to run
  const char* verb = nullptr;   // of the wait; null for one that has not begun
  std::uint32_t kept_name = 0;  // of what it waits on
  Instant since;                // when the wait began, by the host's last look at its clock before that

  // The KeptName of the lock that it waits to enter, for KeptName::read_holder(); 0 for all other waits.
  std::uint32_t lock() const noexcept { return waits && EnteringVerb::is_one(verb) ? kept_name : 0; }
};

// When a test world hears of an operation: other threads may run before and after it, and not where it is only told what comes.
enum class Step : std::uint8_t { before, comes, after };

class Context {
 public:
  // The context that runs this code. A thread that the library did not make gets one at its first call, see alien.h.
  static Context& current() {
    Context* context = current_;
    return context != nullptr ? *context : adopt_alien();
  }
  static Context* current_or_null() noexcept { return current_; }
  static void set_current(Context* context) noexcept { current_ = context; }
  // That of the host of all who run on this thread; null where none does.
  static void set_turn_here(HostTurn* turn) noexcept { turn_here_ = turn; }

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Who may end a wait: code on any thread, or only code of the waiter's own host. The latter needs no atomic step.
  enum class Reach : bool { everywhere, host };

  // Starts a wait and returns its generation.
  std::uint64_t begin_wait(Reach reach = Reach::everywhere) noexcept {
    const std::uint64_t generation = (word_.load(std::memory_order_relaxed) >> kGenerationShift) + 1;
    // relaxed: wakers learn of this wait through a node that is published under its source's mutex.
    word_.store(generation << kGenerationShift, std::memory_order_relaxed);
    reach_ = reach;
    return generation;
  }

  // Starts a wait that only code of its host ends, as one that sleeps already: the host must go on with another context at once.
  // `stamp` is the host's. Returns its generation.
  std::uint64_t begin_sleep_on_host(HostedWait what, std::uint64_t stamp) noexcept {
    constexpr std::uint64_t kFlags = (std::uint64_t{1} << kGenerationShift) - 1;
    const std::uint64_t word = (word_.load(std::memory_order_relaxed) | kFlags) + 1 + (kSleeping | kOnHost);  // of the next generation
    tell(what.verb, stamp, what.kept_name);
    word_.store(word, std::memory_order_release);  // pairs with look()
    reach_ = Reach::host;
    return word >> kGenerationShift;
  }

  // From now on any thread may end it. Called before the first node of the wait is linked where other threads look.
  void open_wait() noexcept { reach_ = Reach::everywhere; }

  // True for the one caller who wins wait `generation`; it must call finish() soon, whatever happens.
  bool claim(std::uint64_t generation) noexcept;

  // Whether that is the last wait that it has begun. Its host may be one that fork() has left behind all the same.
  bool is_in_wait(std::uint64_t generation) const noexcept {
    return word_.load(std::memory_order_relaxed) >> kGenerationShift == generation;
  }

  // Lets the claimed wait end with `why`. Everything the caller did before is seen by the waiter.
  void finish(Why why) noexcept;

  // The same two for code that runs on the waiter's own host.
  bool claim_on_host(std::uint64_t generation) noexcept {
    if (reach_ == Reach::everywhere) [[unlikely]] return claim(generation);
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if (word >> kGenerationShift != generation || (word & kClaimed) != 0) return false;
    word_.store(word | kClaimed, std::memory_order_relaxed);  // nobody else writes it
    return true;
  }
  // Whether a claim would win by now. Another thread may come before it.
  bool is_claimable(std::uint64_t generation) const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    return word >> kGenerationShift == generation && (word & kClaimed) == 0;
  }
  void finish_on_host(Why why) noexcept {
    if (reach_ == Reach::everywhere) {
      finish(why);
    } else if (end_on_host(why)) {
      resume_on_host();
    }
  }
  // Without the resume(): true when it is the caller, the host itself, who is to let the context go on.
  bool finish_by_host(Why why) noexcept {
    if (reach_ == Reach::host) [[likely]] return end_on_host(why);
    finish(why);
    return false;
  }

  // Ends the wait that it is in, if it is in one and nobody has won it, as if its limit had come. On its host.
  void interrupt_on_host() noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if ((word & kSleeping) != 0 && claim_on_host(word >> kGenerationShift)) finish_on_host(Why::stopped);
  }

  // Makes it go on from its sleep without an end of its wait, which a waker may still end. The caller keeps the waiter from leaving the
  // wait until this returns.
  void nudge() noexcept;

  // Waits until finish(), the deadline or a nudge(); true when finished. Only the context itself calls it. One with a host has no
  // deadlines here, but timers.
  bool await_finish(const std::optional<Instant>& deadline, const WaitDescription& what, bool may_spin);

  // The same for one with a host.
  bool await_finish_on_host(const WaitDescription& what) noexcept;

  // Busy-waits a little, if that pays for this kind of context, with so many pauses between two looks. True when `condition` came.
  virtual bool spin_until(absl::FunctionRef<bool()> condition, int pauses) noexcept = 0;

  // Waits for a finish() that is under way: the wait was claimed by somebody else.
  void await_claimed() noexcept;

  // Whether a wait is to unwind it now: not while an exception unwinds it already. On its own stack.
  bool must_unwind() const noexcept { return care.unwind_wanted && may_unwind(std::uncaught_exceptions()); }
  // Whether what wants that may do so here, with so many exceptions on their way.
  bool may_unwind(int uncaught) const noexcept;

  // Contexts are recycled: a number that the thread or fiber that it is now has for itself, among all that this context ever is. 0 once
  // that has ended. Any thread may ask; who keeps a pointer to a context keeps this beside it, and compares both.
  std::uint64_t life() const noexcept { return life_.load(std::memory_order_acquire); }  // pairs with set_life()
  void set_life(std::uint64_t number) noexcept { life_.store(number, std::memory_order_release); }

  // In the child of a fork(), for a context that does not exist there: its wait is over, and no waker of it succeeds any more.
  void leave_behind() noexcept {
    const std::uint64_t generation = (word_.load(std::memory_order_relaxed) >> kGenerationShift) + 1;
    word_.store(generation << kGenerationShift | kDone, std::memory_order_relaxed);
    reach_ = Reach::everywhere;
    care = {};
    unwind_deferred = 0;
    aftermath = nullptr;
    is_cancelled = false;
    unwind_scope = nullptr;
    waits_for_ = nullptr;
    set_life(0);
  }

  // Whether there is more to a wait than to sleep: a check, or an exception.
  bool needs_care() const noexcept { return std::bit_cast<std::uint64_t>(care) != 0; }

  // What each verb that may wait does first, before it looks whether it has to, so that nothing is lost: where several contexts share an OS
  // thread it is an act, and one that has had many of them without a wait lets the others have a turn. One that has been cancelled is
  // unwound here, whatever is ready. A thread that has no host pays one comparison.
  //
  // The arguments say for a test world what the verb does, to what: as a WaitDescription. It is true when that world watches, which lets
  // other threads run first; a verb that gives others something then calls watch(Step::after) when it has done so.
  static bool spend_act(const char* verb = nullptr, const void* object = nullptr, WriteName write_name = nullptr) {
    if (HostTurn* const turn = turn_here_; turn != nullptr && --turn->acts_left < 0) [[unlikely]] {
      return end_turn_here(/*unwinds=*/true, verb, object, write_name);
    }
    return false;
  }
  // The same for a verb that is no wait when it finds what it needs: it gives turns, and never unwinds.
  static bool spend_turn(const char* verb = nullptr, const void* object = nullptr, WriteName write_name = nullptr) {
    if (HostTurn* const turn = turn_here_; turn != nullptr && --turn->acts_left < 0) [[unlikely]] {
      return end_turn_here(/*unwinds=*/false, verb, object, write_name);
    }
    return false;
  }
  // For a verb that is no act: true when a test world watches. Others may run in it, so no mutex is held, but where the step only comes.
  static bool watch(Step step, const char* verb = nullptr, const void* object = nullptr, WriteName write_name = nullptr) noexcept {
    if (HostTurn* const turn = turn_here_; turn != nullptr && turn->is_watched) [[unlikely]] {
      return watch_here(step, verb, object, write_name);
    }
    return false;
  }

  // Whether the wait has been finished already, and how.
  bool is_finished() const noexcept { return is_done(); }
  Why outcome() const noexcept { return outcome_; }

  // What stands in for the operating system under it; null where nothing does. Only the context itself asks.
  Simulation* simulation() const noexcept;

  // Gives a thread its name, which the caller keeps alive. Only the thread itself calls it.
  virtual void set_name(const char* its_name) noexcept { name = its_name; }
  // A share of its name, for others that wait for the lock that it is inside of; none where it has none. From any thread.
  virtual KeptName name_for_others() const noexcept { return {}; }

  // Shows any thread a context on a host, without a step on its own. Calls `read`, which may look at more that belongs to the context;
  // false when it has changed meanwhile, and nothing counts.
  template <typename Read>
  bool look(Read&& read) const {
    const std::uint64_t word = word_.load(std::memory_order_acquire);  // pairs with the setting of SLEEPING
    ContextLook look;
    look.waits = (word & (kOnHost | kDone)) == kOnHost;
    look.verb = verb_.load(std::memory_order_acquire);  // pairs with tell(), which comes behind the end of the wait before
    const std::uint64_t told = told_.load(std::memory_order_acquire);
    look.kept_name = static_cast<std::uint32_t>(told) & kNameMask;
    look.since = Instant(std::chrono::nanoseconds(static_cast<std::int64_t>(told >> kNameBits) * kStampUnit));
    read(look);
    // relaxed: it comes behind the loads above, which acquire.
    return word_.load(std::memory_order_relaxed) == word;
  }
  static constexpr std::int64_t kStampUnit = std::int64_t{1} << 20;  // nanoseconds
  static constexpr int kNameBits = 22;
  // In 64 bits a name's number has 22, of which there are no more, and a stamp the upper 42: 146 years in units of 1.05 ms.
  static constexpr std::uint64_t stamp_of(std::int64_t nanoseconds) noexcept { return static_cast<std::uint64_t>(nanoseconds / kStampUnit) << kNameBits; }

  // For one that has not waited yet: `what` is a literal, or null.
  void tell_kind(const char* what) noexcept { verb_.store(what, std::memory_order_relaxed); }

  // What it sleeps on, if it does. Any thread may ask. A context with a host says only the verb: it has no time for more.
  virtual std::optional<WaitReport> waits_on() const;

  // The same for one with a host, and the name of what it waits on where it says that: only on its host's OS thread, also in a signal
  // handler there, because that is on the waiter's stack. False when it does not wait.
  bool write_wait_on_host(char* buffer, std::size_t size) const noexcept;

  // Added to care.callbacks_running while it has an Aftermath.
  static constexpr int kHasAftermath = 1 << 16;
  bool is_in_function() const noexcept { return care.callbacks_running % kHasAftermath > 0; }

  // These, which waits do not touch, fill a line of the cache with what is before them; the others, with the private ones, the next.
  Clock* clock;                             // time for its waits and Tills; inherited by the children it makes
  Node* node = nullptr;                     // its place in the shutdown tree
  const char* name = "unknown";             // for the log, on its own thread; of a thread set_name() sets it
  std::shared_ptr<const LogExtras> log_extras;  // what its log lines carry
  Aftermath* aftermath = nullptr;           // what the functions that it is inside have put off
  UnwindScope* unwind_scope = nullptr;      // the innermost part that may be unwound without the rest

  Host* host = nullptr;                     // who runs it and others on one OS thread; none where it has a thread to itself
  // The flags that each wait looks at, as one word.
  struct alignas(std::uint64_t) Care {
    int callbacks_running = 0;    // it is inside so many Signal::then functions; and kHasAftermath
    bool unwind_wanted = false;   // its waits end by an exception that unwinds it, or a part: see Host::unwind()
    bool must_not_block = false;  // the library's timer and signal threads: see Wait::park
    bool has_no_end = false;      // its thread has come past its last destructor: nothing would end what it makes
    bool unused = false;
  };
  Care care;
  int unwind_deferred = 0;                  // it is inside so many NoUnwind scopes
  bool is_cancelled = false;                // all of it is to be unwound
  bool is_root = true;                      // a thread's own, not a fiber's

 private:
  Reach reach_ = Reach::everywhere;  // of the wait; only its own thread looks
  Why outcome_ = Why::ready;         // written between CLAIMED and DONE by the claimer, read after DONE by the waiter

 protected:
  Context();
  ~Context() = default;

  // For reports, around a sleep.
  virtual void describe(const WaitDescription& what) noexcept { static_cast<void>(what); }
  virtual void undescribe() noexcept {}

  // Gives up the processor until resume() or the deadline; may return early. Called with SLEEPING set.
  virtual void suspend(const std::optional<Instant>& deadline) noexcept = 0;

  bool is_done() const noexcept { return (word_.load(std::memory_order_acquire) & kDone) != 0; }
  const std::atomic<std::uint32_t>* futex_word() const noexcept;
  std::uint32_t low_word() const noexcept { return static_cast<std::uint32_t>(word_.load(std::memory_order_acquire)); }

 private:
  static constexpr std::uint64_t kSleeping = 1;
  static constexpr std::uint64_t kClaimed = 2;
  static constexpr std::uint64_t kDone = 4;
  static constexpr std::uint64_t kOnHost = 8;
  static constexpr int kGenerationShift = 4;
  static constexpr std::uint32_t kNameMask = (1U << kNameBits) - 1;

  static Context& adopt_alien();

  bool end_on_host(Why why) noexcept {
    outcome_ = why;
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    word_.store(word | kDone, std::memory_order_relaxed);
    return (word & kOnHost) != 0;
  }

  // Makes a suspended context run again. Called once per finish() that found it SLEEPING, from any thread.
  virtual void resume() noexcept = 0;

  static inline constinit thread_local Context* current_ = nullptr;
  static inline constinit thread_local HostTurn* turn_here_ = nullptr;

  void resume_on_host() noexcept;
  [[gnu::cold]] static bool end_turn_here(bool unwinds, const char* verb, const void* object, WriteName write_name);
  [[gnu::cold]] static bool watch_here(Step step, const char* verb, const void* object, WriteName write_name) noexcept;

  // Before the word says that it sleeps, and after it has said that the wait before was over. release pairs with look().
  void tell(const char* verb, std::uint64_t stamp, std::uint32_t kept_name) noexcept {
    verb_.store(verb, std::memory_order_release);
    told_.store(stamp | kept_name, std::memory_order_release);
  }

  std::atomic<std::uint64_t> word_{kDone};
  std::atomic<std::uint64_t> life_{0};
  std::atomic<const char*> verb_{nullptr};  // of the wait on a host that the word tells of
  std::atomic<std::uint64_t> told_{0};      // of the same: the host's stamp, and the number of a KeptName
  const WaitDescription* waits_for_ = nullptr;  // the same with its object, where the wait has said it
};

// In this scope no wait of the current context unwinds it, as destructors need: a cancellation comes after it.
class NoUnwind {
 public:
  NoUnwind() : context_(Context::current()) { ++context_.unwind_deferred; }
  ~NoUnwind() { --context_.unwind_deferred; }
  NoUnwind(const NoUnwind&) = delete;
  NoUnwind& operator=(const NoUnwind&) = delete;

 private:
  Context& context_;
};

}  // namespace mothreads::internal
