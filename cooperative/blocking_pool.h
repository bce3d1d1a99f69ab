#pragma once

// Threads for calls that block: a fiber that makes one waits for it alone, and the others of its thread go on.
//
//     co::BlockingPool files("files", {.threads = 4});
//     std::string text = files.call([&] { return read_file(path); }, absl::Seconds(5));
//
// A thread is started when a call finds none idle, up to the limit; the threads stay until the pool goes. They are a ThreadGroup under
// the thread that made the pool, so the shutdown tree stops them: what runs is let finish, what waits for a thread ends `Closed`.
//
// A function that takes a please_stop (a mothreads::Signal) sees it go when its caller gives up, and when the pool is stopped. Threads
// are never unwound: whoever gives up waits until the function has ended, so it may use what the caller has by reference.
//
// When not to use it: for work that computes, more threads than processors only get in each other's way.
//
// Thread safety: every member may be called from any thread or fiber, but not beside the destructor; a call that waits meanwhile may.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mothreads/signal.h"
#include "mothreads/thread_group.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

struct BlockingPoolOptions {
  std::size_t threads = 4;
  std::size_t max_waiting = 1000;  // calls for which there is no thread yet; further callers wait for room
};

namespace internal {

// One call, on the stack of its caller, who waits until it is out of the way.
class BlockingCall {
 public:
  explicit BlockingCall(bool takes_stop) {
    if (takes_stop) please_stop_.emplace("please_stop for a blocking call");
  }
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;
  virtual ~BlockingCall() = default;

 private:
  friend class BlockingPoolState;
  enum class Phase : std::uint8_t { waiting, begun, closed };

  // On a thread of the pool; `please_stop` is null for a function that takes none.
  virtual void perform(const mothreads::Signal* please_stop) = 0;

  BlockingCall* previous_ = nullptr;
  BlockingCall* next_ = nullptr;
  Phase phase_ = Phase::waiting;
  std::optional<mothreads::Signal> please_stop_;  // of a caller who gives up
  std::exception_ptr failure_;                    // written before `ended_`
  const mothreads::Signal ended_{"the end of a blocking call"};
};

class BlockingPoolState;

}  // namespace internal

class [[nodiscard]] BlockingPool {
 public:
  // Throws mothreads::Misuse when one of the options is zero.
  [[nodiscard]] explicit BlockingPool(std::string_view name, const BlockingPoolOptions& options = {});
  // Stops it and waits for what runs.
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // Calls the function on a thread of the pool, in the order of the calls, waits, and gives its result or throws what it threw. When
  // the limit comes first throws Timedout: a function that has not begun never will, one that has is asked to stop, and awaited, and
  // its result is dropped, its failure logged (see in_parallel.h). Throws Closed when the pool is stopped before its turn. Throws mothreads::Misuse inside
  // a function of the same pool, which could wait for its own thread, and std::system_error when the system refuses the first thread.
  template <typename F>
  auto call(F&& function, const mothreads::Until& until = {});

  // Takes no more calls, withdraws those that wait, and asks those that run to stop. Does not wait.
  BlockingPool& stop();

  const std::string& name() const { return group_.name(); }
  std::size_t threads() const;  // started so far
  std::size_t waiting() const;  // for a thread

 private:
  void perform(internal::BlockingCall& call, const mothreads::Until& until);

  const std::shared_ptr<internal::BlockingPoolState> state_;
  mothreads::ThreadGroup group_;
};

template <typename F>
auto BlockingPool::call(F&& function, const mothreads::Until& until) {
  using Function = std::remove_reference_t<F>;
  constexpr bool takes_stop = std::is_invocable_v<Function&, mothreads::Signal>;
  static_assert(takes_stop || std::is_invocable_v<Function&>,
                "a function for a BlockingPool takes nothing, or a please_stop: capture what it needs");
  constexpr auto invoke = [](Function& f, const mothreads::Signal* please_stop) -> decltype(auto) {
    if constexpr (takes_stop) {
      return std::invoke(f, *please_stop);
    } else {
      return std::invoke(f);
    }
  };
  using R = decltype(invoke(function, nullptr));
  static_assert(!std::is_reference_v<R>, "the result of a blocking call cannot be a reference: return a pointer or std::ref()");
  struct Nothing {};
  struct Job final : internal::BlockingCall {
    explicit Job(Function& its_function) : BlockingCall(takes_stop), function(its_function) {}
    void perform(const mothreads::Signal* please_stop) override {
      if constexpr (std::is_void_v<R>) {
        decltype(invoke){}(function, please_stop);
      } else {
        result.emplace(decltype(invoke){}(function, please_stop));
      }
    }
    Function& function;
    std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> result;
  } call(function);
  perform(call, until);
  if constexpr (!std::is_void_v<R>) return R(*std::move(call.result));
}

}  // namespace cooperative
