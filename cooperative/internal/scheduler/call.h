#pragma once

// A function that was posted to a scheduler, and the place where it lies. Posting is far quicker than malloc between threads: each
// thread that posts fills one block after the other, and whoever spends the last place of a block gives it back, whole.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace cooperative::inline v0::internal {

class SpentCalls;

struct Call {
  enum class What : bool { run, drop };
  struct Kind {
    // Runs the function, if asked to, destroys it, and gives its place back. Once for each call.
    void (*act)(Call& call, What what, SpentCalls& spent);
    // It is the library's own, waits for nothing, and overtakes those that may wait.
    bool is_errand;
  };

  explicit Call(const Kind& its_kind) : kind(&its_kind) {}

  Call* next = nullptr;
  const Kind* const kind;
};

// The smaller the places, the fewer cache lines go from thread to thread: they have the size of what lies there. The block is found from
// the address of a place.
struct alignas(4096) CallBlock {
  static constexpr std::size_t kHeader = 64;
  static constexpr std::size_t kAlignment = 16;

  static CallBlock& of(const void* place) noexcept {
    return *reinterpret_cast<CallBlock*>(reinterpret_cast<std::uintptr_t>(place) & ~(alignof(CallBlock) - 1));
  }

  // So many of its places will not be used again. From any thread; the block may be gone afterwards.
  void spend(int count) noexcept {
    // acq_rel: whoever fills it next comes after all who were at it.
    if (left.fetch_sub(count, std::memory_order_acq_rel) == count) give_back(*this);
  }
  static void give_back(CallBlock& block) noexcept;

  std::atomic<int> left;  // places that are not spent; as many as there may be, until it is known how many there are
  CallBlock* next;        // while nobody uses it
  alignas(kHeader) std::byte places[4096 - kHeader];
};
static_assert(sizeof(CallBlock) == alignof(CallBlock));

// The calling thread's places.
class CallPlaces {
 public:
  static constexpr std::size_t kMaxSize = 128;

  static void* take(std::size_t size) {
    std::byte* const place = at_;
    if (size > static_cast<std::size_t>(end_ - place)) [[unlikely]] return take_of_another_block(size);
    at_ = place + size;
    ++taken_;
    // A post waits for all that was written: by then the next places are here.
    __builtin_prefetch(place + kAhead, 1);
    return place;
  }

  // How far ahead places are fetched, to be written or to be read.
  static constexpr std::ptrdiff_t kAhead = 256;

 private:
  struct AtThreadEnd;
  static void leave_block() noexcept;
  static void* take_of_another_block(std::size_t size);

  static inline constinit thread_local std::byte* at_ = nullptr;
  static inline constinit thread_local std::byte* end_ = nullptr;
  static inline constinit thread_local int taken_ = 0;  // of the block
  static inline constinit thread_local bool thread_ends_ = false;
};

// Gives places back, those of one block together.
class SpentCalls {
 public:
  SpentCalls() = default;
  ~SpentCalls() { give_back(); }
  SpentCalls(const SpentCalls&) = delete;
  SpentCalls& operator=(const SpentCalls&) = delete;

  void add(const Call& call) noexcept {
    CallBlock* const block = &CallBlock::of(&call);
    if (block != block_) {
      give_back();
      block_ = block;
    }
    ++count_;
  }
  void give_back() noexcept {
    if (block_ != nullptr) block_->spend(std::exchange(count_, 0));
    block_ = nullptr;
  }

 private:
  CallBlock* block_ = nullptr;
  int count_ = 0;
};

enum class Errand : bool { no, yes };

template <typename F, Errand errand>
class alignas(CallBlock::kAlignment) FunctionCall final : public Call {
 public:
  template <typename G>
  explicit FunctionCall(G&& function) : Call(kKind), function_(std::forward<G>(function)) {}

  F& function() noexcept { return function_; }

 private:
  static void act_on(Call& call, What what, SpentCalls& spent) {
    struct AtEnd {
      FunctionCall& self;
      SpentCalls& its_spent;
      ~AtEnd() {
        self.~FunctionCall();
        its_spent.add(self);
      }
    } at_end{static_cast<FunctionCall&>(call), spent};
    if (what == What::run) at_end.self.function_();
  }
  static constexpr Kind kKind{act_on, errand == Errand::yes};

  F function_;
};

// A std::function and its like, or a pointer, without anything to call.
template <typename F>
bool is_empty_function(const F& function) {
  if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F> || requires { function.operator bool(); }) {
    return !static_cast<bool>(function);
  } else {
    return false;
  }
}

// One that is too big for a place.
template <typename F>
struct KeptElsewhere {
  void operator()() { (*function)(); }
  std::unique_ptr<F> function;
};

template <typename F>
inline constexpr bool kFitsInPlace =
    sizeof(FunctionCall<F, Errand::no>) <= CallPlaces::kMaxSize && alignof(FunctionCall<F, Errand::no>) <= CallBlock::kAlignment;

// Who posts it gives it away; who cannot, drops it.
template <Errand errand = Errand::no, typename F>
Call& make_call(F&& function) {
  using Function = std::decay_t<F>;
  using Made = FunctionCall<Function, errand>;
  if constexpr (kFitsInPlace<Function>) {
    void* const place = CallPlaces::take(sizeof(Made));
    if constexpr (std::is_nothrow_constructible_v<Function, F>) {
      return *new (place) Made(std::forward<F>(function));
    } else {
      try {
        return *new (place) Made(std::forward<F>(function));
      } catch (...) {
        CallBlock::of(place).spend(1);
        throw;
      }
    }
  } else {
    return make_call<errand>(KeptElsewhere<Function>{std::make_unique<Function>(std::forward<F>(function))});
  }
}

// What it throws is logged, but for the cancelling of the fiber that runs it.
void run_callback(Call& call, SpentCalls& spent);

inline void drop(Call& call) noexcept {
  SpentCalls spent;
  call.kind->act(call, Call::What::drop, spent);
}

// A user's function as a call, until somebody has taken it. One that nobody takes is dropped, and what was moved into it is again where it
// came from, where that can be done without an exception.
template <typename F>
class CallOnOffer {
  using Function = std::decay_t<F>;

 public:
  explicit CallOnOffer(F&& function) : function_(function), call_(&make_call(std::forward<F>(function))) {}
  ~CallOnOffer() {
    if (call_ == nullptr) return;
    if constexpr (std::is_same_v<F, Function> && std::is_nothrow_move_constructible_v<Function>) give_back();
    drop(*call_);
  }
  CallOnOffer(const CallOnOffer&) = delete;
  CallOnOffer& operator=(const CallOnOffer&) = delete;

  Call& operator*() const noexcept { return *call_; }
  void is_taken() noexcept { call_ = nullptr; }

 private:
  void give_back() noexcept {
    Function& function = made_function();
    if constexpr (std::is_nothrow_move_assignable_v<Function>) {
      function_ = std::move(function);
    } else {
      // A lambda cannot be assigned.
      std::destroy_at(std::addressof(function_));
      std::construct_at(std::addressof(function_), std::move(function));
    }
  }
  Function& made_function() noexcept {
    if constexpr (kFitsInPlace<Function>) {
      return static_cast<FunctionCall<Function, Errand::no>&>(*call_).function();
    } else {
      return *static_cast<FunctionCall<KeptElsewhere<Function>, Errand::no>&>(*call_).function().function;
    }
  }

  std::remove_reference_t<F>& function_;
  Call* call_;
};

// First in, first out.
class Calls {
 public:
  bool is_empty() const noexcept { return first_ == nullptr; }
  void push_front(Call& call) noexcept {
    call.next = first_;
    if (first_ == nullptr) last_ = &call;
    first_ = &call;
  }
  void append(const Calls& more) noexcept {
    if (more.is_empty()) return;
    if (first_ == nullptr) {
      first_ = more.first_;
    } else {
      last_->next = more.first_;
    }
    last_ = more.last_;
  }
  Call* pop_front() noexcept {
    Call* const call = first_;
    if (call != nullptr) first_ = call->next;
    return call;
  }
  // Gives how many those were, but for errands.
  std::size_t drop_all() noexcept {
    std::size_t count = 0;
    SpentCalls spent;
    while (Call* call = pop_front()) {
      if (!call->kind->is_errand) ++count;
      call->kind->act(*call, Call::What::drop, spent);
    }
    return count;
  }

 private:
  Call* first_ = nullptr;
  Call* last_ = nullptr;
};

}  // namespace cooperative::internal
