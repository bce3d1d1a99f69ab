#pragma once

// What the copies of a Signal share. Its waiters, the combinations made of it and its then() functions hang on three
// intrusive lists under one small mutex.
//
// Ownership. A combination keeps its inputs, by a Relay in each input's list, which it takes out when it is dropped. Once
// somebody has given it a then() function it must work without any handle: then the ownership of every relay is turned
// round (keep_for_then) and the inputs keep the combination, until they go or are destroyed themselves. So there is never a
// cycle: a chain that nobody can make go any more is freed. A Till does the same with the timers. When the function is taken back,
// or what it was turned round for has gone, it is turned back (keep_no_more), and the handles count again.

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/then_callback.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait_list.h"

namespace mothreads::inline v0 {
class Executor;
}

namespace mothreads::inline v0::internal {

class SignalState;
class Combination;

// The place of a combination in the list of one of its inputs. Guarded by the input's mutex but for what says otherwise; where
// both are taken, the output's comes first.
struct Relay {
  Combination* output = nullptr;  // constant
  Relay* previous = nullptr;
  Relay* next = nullptr;  // also, once it has left that list, of go()
  bool linked = false;
  bool input_owns_output = false;

  // Guarded by the mutex of the output. An input that the output does not own takes itself out of here before it goes away.
  SignalState* input = nullptr;
  bool output_owns_input = true;

  // For the keep() that turns it round: the input, which it still holds, whether that was turned round, too, and the next.
  SignalState* kept = nullptr;
  bool was_first_to_keep = false;
  Relay* next_kept = nullptr;
};

// Room for something that is made later, or never destroyed.
template <typename T>
union Room {
  constexpr Room() : none{} {}
  template <typename... Args>
  constexpr explicit Room(std::in_place_t, Args... args) : value(args...) {}
  ~Room() {}
  char none;
  T value;
};

class SignalState {
 public:
  static constexpr std::uint32_t kGone = 1;
  static constexpr std::uint32_t kTimed = 2;  // went because a Till expired
  // A test world wants to hear of each test, and of a user's go(); only until it goes. See watch_new().
  static constexpr std::uint32_t kWatched = 4;
  static constexpr std::uint32_t kByUser = 8;  // a flag of go(): a user's

  enum class Immortal : std::uint8_t { done, expired, never };

  static SignalState* make();
  static SignalState* make(std::string_view name);
  // One that only the library lets go: go_by_user() is Misuse, whose text ends with `remedy`, a literal.
  static SignalState* make_owned(std::string_view name, const char* remedy);

  SignalState(const SignalState&) = delete;
  SignalState& operator=(const SignalState&) = delete;

  void ref() noexcept {
    // relaxed: a new reference is made from one that exists.
    if (!immortal_) references_.fetch_add(1, std::memory_order_relaxed);
  }
  void unref() noexcept {
    if (immortal_) return;
    // acquire and release pair the last owner's destruction with what the others did before. The only owner of a state that
    // no list can revive (ref_unless_dying) needs no locked instruction to find that it is alone.
    if ((!revivable_ && references_.load(std::memory_order_acquire) == 1) ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      destroy(this);
    }
  }
  // For lists that do not own: false when the state is being destroyed.
  bool ref_unless_dying() noexcept;

  // acquire pairs with the release in fire().
  bool is_gone() const noexcept { return (word_.load(std::memory_order_acquire) & kGone) != 0; }
  // The same for users, who may learn of it in a test world.
  bool test() const noexcept {
    const std::uint32_t word = word_.load(std::memory_order_acquire);  // as is_gone()
    if (word == 0) return false;
    return (word & kGone) != 0 || test_watched();
  }
  // How it counts as the limit of a wait.
  Why as_limit() const noexcept {
    return (word_.load(std::memory_order_acquire) & kTimed) != 0 ? Why::timed_out : Why::stopped;
  }

  // Who is inside of a function of then() leaves the functions to whoever runs that one: see aftermath.h.
  bool go(std::uint32_t flags = 0);
  bool go_by_user() {
    if (remedy_ != nullptr) [[unlikely]] refuse_go();
    return go(kByUser);
  }
  bool is_owned() const noexcept { return remedy_ != nullptr; }

  // From now on each new Signal is watched, until this has been called as often with false: while test worlds want that. Elsewhere such a
  // Signal does what others do, by a few steps more.
  static void watch_new(bool on) noexcept;
  static bool watches_new() noexcept { return word_of_new_.load(std::memory_order_relaxed) != 0; }

  // False when it has gone: then the node is not linked.
  bool link(WaitNode& node);
  void unlink(WaitNode& node) noexcept;

  CallbackId then(absl::AnyInvocable<void()> function);
  // The function runs where the executor runs functions; what goes only posts it: see then_on.cc.
  CallbackId then_on(const Executor& executor, absl::AnyInvocable<void()> function);
  bool remove_then(const CallbackId& id);

  // Writes at most `size` bytes, terminated; allocates nothing.
  void write_name(char* buffer, std::size_t size) const { write_name(buffer, size, 0); }
  static void write_name_of(const void* state, char* buffer, std::size_t size) { static_cast<const SignalState*>(state)->write_name(buffer, size); }

  // For waits on it: of a combination, whose name is made of others', there is none.
  std::uint32_t kept_name() const noexcept { return kept_name_.number(); }

  static const char kUnnamed[];
  static constexpr std::size_t kMaxName = 100;  // longer names of combinations end in "..."

 protected:
  enum class Revivable : bool { no, yes };
  // relaxed: the flag guards nothing.
  explicit SignalState(Revivable revivable) : word_(word_of_new_.load(std::memory_order_relaxed)), revivable_(revivable == Revivable::yes) {}
  constexpr explicit SignalState(Immortal which)
      : word_(which == Immortal::never ? 0 : which == Immortal::done ? kGone : kGone | kTimed),
        name_(which == Immortal::never ? "NEVER" : "DONE"),
        immortal_(true),
        never_(which == Immortal::never) {}
  virtual ~SignalState();

  // Whoever destroys a state appends the states that it was the last to keep, through next_, so that a chain of any
  // length is destroyed without recursion.
  struct Dying {
    SignalState* first = nullptr;
    void add_if_last(SignalState* state) noexcept;
  };
  virtual void release_sources(Dying& dying) noexcept;

  // `depth` counts combinations of combinations: the name of a long chain is cut.
  virtual void write_name(char* buffer, std::size_t size, int depth) const;

  // Makes what can make this state go keep it, from now on. Called once, without the mutex. What this state kept itself and
  // no longer does is put before `kept`, for the caller to let go. Allocates nothing that it cannot do without.
  virtual void keep_for_then(Relay*& kept) noexcept { static_cast<void>(kept); }

 private:
  friend class Combination;
  friend struct ConstantSignals;
  template <typename T>
  friend union Room;
  friend class TillState;
  friend class Aftermath;
  friend class Poster;
  friend class Delivery;

  // What fire() found.
  struct Fired {
    bool held = false;           // there were functions or relays
    bool has_functions = false;
    Callback* first = nullptr;   // the first function, taken, where the caller runs it at once
  };

  static void destroy(SignalState* state) noexcept;
  void drop_functions() noexcept;  // of one that nobody sees any more
  [[noreturn]] void refuse_go() const;
  [[gnu::cold]] bool go_watched(std::uint32_t flags);
  [[gnu::cold]] bool test_watched() const noexcept;

  // Turns true and releases the waiters; appends the relays to the combinations to look at next, each with a reference to
  // its output. False when it was true already. When there are functions or relays, `held` says that the state now has a
  // reference for its caller, who goes on using it: a waiter that has been released may drop all others.
  bool fire(std::uint32_t flags, Relay**& end, Fired& fired, Context* runner);
  // The next of those relays. True if its output went and is held, for its functions, or for the relays that hang on it: until
  // they have been passed on, too.
  static bool pass_on(Relay& relay, std::uint32_t flags, Relay**& end, Fired& its);
  // After it has fired: takes back what keep_for_then() left with those that could have made it go.
  virtual void leave_sources() noexcept {}
  // Undoes keep_for_then() if no function needs it any more. The caller has a reference.
  virtual void keep_no_more() noexcept {}

  // What a combination does when one of its inputs went: true when it goes itself.
  virtual bool input_went() noexcept { return true; }

  void keep() noexcept;
  bool is_kept_for_nothing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return turned_ && !is_gone() && callbacks_.is_empty() && relays_.is_empty();
  }
  bool turn(Relay*& kept) noexcept;
  void set_turned() noexcept;
  Callback* make_callback(absl::AnyInvocable<void()>&& function, std::uint64_t& number);
  CallbackId run_late(absl::AnyInvocable<void()>&& function);
  static void run_put_off(Callback& callback) noexcept;
  // Of a state that has gone; `first` has been taken already.
  void run_functions(Callback* first) noexcept;
  Callback* take_next(Context& me) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void unlink(Callback& callback) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void let_go(Callback& callback) noexcept;
  Callback* find(const CallbackId& id) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static bool runs_elsewhere(const Callback& callback) noexcept;
  void await_callback(const CallbackId& id);
  void run_one(absl::AnyInvocable<void()>& function) const noexcept;
  void report_failure() const noexcept;

  // Of then_on(): the callback in the list that is to post another one, as it leaves that one.
  struct Posting {
    Callback* callback = nullptr;
    bool was_in_list = false;
  };
  Posting take_posting(Callback& posted) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void let_go(const Posting& posting) noexcept;
  static void run_posted(Callback& posted);
  static void drop_posted(Callback& posted) noexcept;
  void report_refused(const Executor& executor, Why why) const noexcept;

  // For a combination under construction: 0, or the flags of a state that has gone already.
  std::uint32_t link_relay(Relay& relay);
  void unlink_relay(Relay& relay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  static constinit std::atomic<std::uint32_t> word_of_new_;  // kWatched, or none

  std::atomic<std::uint32_t> word_{0};
  std::atomic<std::uint32_t> references_{1};
  mutable TinyMutex mutex_;
  std::atomic<const char*> name_{nullptr};  // owned, but those of the immortal, and kUnnamed
  const char* remedy_ = nullptr;            // constant: what to do instead of go(), where that is the library's
  const bool immortal_ = false;
  const bool never_ = false;
  const bool revivable_ = false;
  bool kept_ ABSL_GUARDED_BY(mutex_) = false;    // keep() has begun with it
  bool turned_ ABSL_GUARDED_BY(mutex_) = false;  // and is done: its sources own it, no longer it them; it may be turned back

  WaitList waiters_ ABSL_GUARDED_BY(mutex_);
  LinkedList<Relay, &Relay::previous, &Relay::next> relays_ ABSL_GUARDED_BY(mutex_);
  LinkedList<Callback, &Callback::previous, &Callback::next> callbacks_ ABSL_GUARDED_BY(mutex_);

  // Most signals have one function at most: it needs no allocation of its own.
  KeptName kept_name_;  // of one that was made with a name
  std::atomic<bool> first_callback_taken_{false};
  Room<Callback> first_callback_;
  std::uint64_t first_number_ ABSL_GUARDED_BY(mutex_) = 0;  // of the function there; 0 before it is in the list

  WaitList removers_ ABSL_GUARDED_BY(mutex_);

  SignalState* next_ = nullptr;  // of those that go() has still to run functions of, and when it is destroyed
};

// The states of DONE, of a Till that was due when it was made, and of NEVER.
struct ConstantSignals {
  static Room<SignalState> done;
  static Room<SignalState> expired;
  static Room<SignalState> never;
};

}  // namespace mothreads::internal
