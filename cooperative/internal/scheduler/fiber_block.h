#pragma once

// A fiber: its context, its function and result, its place among the others. Blocks are recycled, never freed: wakers may look at
// the word of a context that has gone on. Only code on its scheduler's thread uses one, but for what Context allows.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/switch.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal {

struct GroupPlace;
class FiberMember;
class FiberWatch;

class FiberBlock;

// A block of which one knows that it is still in use for the same, by its number. Without a block it is the maker, or the root.
struct ParentRef {
  static constexpr std::uint64_t kRoot = std::numeric_limits<std::uint64_t>::max();

  FiberBlock* block = nullptr;
  std::uint64_t id = 0;

  bool is_root() const noexcept { return block == nullptr && id == kRoot; }
};

class FiberBlock final : public mothreads::internal::Context {
 public:
  // `returned`: what the function captured is destroyed. `ending`: its children are told to stop, and awaited. `leaving`: its result, where
  // nobody takes it, is destroyed. `ended`: the functions of its `stopped` may still run, on it.
  enum class State : std::uint8_t { fresh, begun, returned, ending, leaving, ended };
  // `killed` is set when the deadline of its stop has come, and stays if that unwinds it. `left_behind`: in a child of fork().
  enum class Outcome : std::uint8_t { none, returned, threw, cancelled, killed, left_behind };

  FiberBlock() : runnable(*this) {
    is_root = false;
    runnable.is_fiber = true;
  }

  // What a fiber does, and the result that it leaves, for templates to implement.
  struct Job {
    void (*call)(void* self);                    // runs the function, keeps the result
    void (*drop_function)(void* self) noexcept;  // and its arguments; null when that is nothing
    void (*destroy)(void* self) noexcept;        // with the result; likewise
    void (*free)(void* self) noexcept;           // null when it lives in `room`
  };
  static constexpr std::size_t kRoom = 96;  // bytes for a job that needs no allocation

  static constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();

  Runnable runnable;  // behind two lines of Context

  // Side by side in this order, so that recycle() clears them by two stores.
  State state = State::fresh;
  Outcome outcome = Outcome::none;
  bool has_handle = false;    // somebody will take the result
  bool takes_stop = false;    // its function has a please_stop
  bool told_to_stop = false;
  bool stays_with_parent = false;  // also when it is released: its parent was chosen
  bool may_be_late = false;        // its parent may have told its children to stop before it came
  enum class StackOption : std::uint8_t { of_fiber, of_parallel, of_timer, of_callbacks, of_callback_queue, of_server };
  StackOption stack_option = StackOption::of_fiber;  // what gives such a fiber a larger stack
  bool has_untold = false;     // it was told, and some have come below it since
  bool is_being_told = false;  // a walk is among those below it
  bool has_stopped_signal = false;  // somebody has asked for `stopped`
  mothreads::internal::KeptName kept_name;  // for looks from other threads; of own_name
  std::int64_t stop_deadline = kNoDeadline;  // of its stop, or that of one it runs under; nanoseconds of the scheduler's clock
  FiberWatch* watch = nullptr;               // over that deadline, where nobody above has one
  std::size_t stack_size = 0;
  std::uint64_t id = 0;
  mothreads::internal::WaitList joiners;
  const Job* job = nullptr;

  void* job_self = nullptr;
  SchedulerCore* core = nullptr;
  std::uint64_t core_life = 0;  // SchedulerCore::life(), of the thread that it is for
  // The tree of fibers of one scheduler; children are a circular list, the newest first.
  FiberBlock* parent = nullptr;  // null for a child of the root
  GroupPlace* group = nullptr;   // of a block that never runs: the place of a FiberGroup
  FiberBlock* newest_child = nullptr;
  FiberBlock* older = nullptr;
  FiberBlock* newer = nullptr;

  std::string own_name;
  FloatingPoint floating_point;  // with which it begins
  std::exception_ptr failure;
  mothreads::Signal stopped{mothreads::NEVER};  // once somebody has asked for it
  FiberMember* member = nullptr;                // likewise, with `stopped`; a counted reference

  mothreads::Signal please_stop{mothreads::NEVER};  // when its function takes one
  std::weak_ptr<GroupPlace> failed_in;  // who gets the failure when the handle does not take it; only with one
  const ParentRef* left = nullptr;  // of one that has ended: where its parent was, while finish() runs functions of users in its place

  FiberBlock*& next_free() noexcept { return older; }  // of one that is not in use
  mothreads::internal::KeptName name_for_others() const noexcept override { return mothreads::internal::KeptName::share_of(kept_name); }

  alignas(std::max_align_t) std::byte room[kRoom];

 private:
  bool spin_until(absl::FunctionRef<bool()> condition, int) noexcept override { return condition(); }
  // With a host these are never called.
  void suspend(const std::optional<mothreads::Instant>&) noexcept override {}
  void resume() noexcept override {}
};

// A wait touches two neighbouring cache lines of a fiber: the second half of its Context, and its Runnable. Making and
// ending one touch three more: what it is and who waits for it, its place in the tree, its name.
static_assert(sizeof(mothreads::internal::Context) == 128);
static_assert(sizeof(FiberBlock) <= 512);

}  // namespace cooperative::internal
