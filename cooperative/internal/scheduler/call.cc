#include "cooperative/internal/scheduler/call.h"

#include <cxxabi.h>

#include <exception>
#include <new>

#include "absl/base/thread_annotations.h"
#include "cooperative/errors.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::internal {
namespace {

// Blocks that nobody uses; more than 16 MiB of them goes back to malloc.
class Spares {
 public:
  CallBlock* take() noexcept {
    const mothreads::internal::TinyLock lock(mutex_);
    CallBlock* const block = first_;
    if (block != nullptr) {
      first_ = block->next;
      --count_;
    }
    return block;
  }
  bool put(CallBlock& block) noexcept {
    const mothreads::internal::TinyLock lock(mutex_);
    if (count_ == kMax) return false;
    block.next = first_;
    first_ = &block;
    ++count_;
    return true;
  }

  // Around a fork().
  void hold() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void leave() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }
  void make_anew() noexcept { new (&mutex_) mothreads::internal::TinyMutex; }

 private:
  static constexpr int kMax = 4096;

  mothreads::internal::TinyMutex mutex_;
  CallBlock* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

constinit Spares spares;
constinit mothreads::internal::ForkPart part{
    .prepare = []() noexcept { spares.hold(); },
    .in_parent = []() noexcept { spares.leave(); },
    .in_child = []() noexcept { spares.make_anew(); },
};
[[maybe_unused]] const bool takes_part = (mothreads::internal::take_part_in_forks(part), true);

}  // namespace

void CallBlock::give_back(CallBlock& block) noexcept {
  if (!spares.put(block)) delete &block;
}

__attribute__((no_sanitize("null"))) void run_callback(Call& call, SpentCalls& spent) {
  try {
    call.kind->act(call, Call::What::run, spent);
  } catch (const FiberCancelled&) {
    throw;
  } catch (abi::__forced_unwind&) {
    throw;  // pthread_exit()
  } catch (...) {
    mothreads::log::error("Asynchronous callback raised uncaught exception: {}", mothreads::log::describe(std::current_exception()));
  }
}

namespace {

constexpr int kUnknown = 1 << 30;  // more places than a block has

}  // namespace

// All its places are known now: those that were taken.
void CallPlaces::leave_block() noexcept {
  if (end_ == nullptr) return;
  CallBlock& block = CallBlock::of(end_ - 1);
  at_ = end_ = nullptr;
  block.spend(kUnknown - std::exchange(taken_, 0));
}

struct CallPlaces::AtThreadEnd {
  ~AtThreadEnd() {
    thread_ends_ = true;
    leave_block();
  }
};

void* CallPlaces::take_of_another_block(std::size_t size) {
  CallBlock* block = spares.take();
  if (block == nullptr) block = new CallBlock;
  if (thread_ends_) {
    // Nothing will look after a block of this thread any more.
    block->left.store(1, std::memory_order_relaxed);
    return block->places;
  }
  thread_local AtThreadEnd at_end;
  static_cast<void>(at_end);
  leave_block();
  block->left.store(kUnknown, std::memory_order_relaxed);
  at_ = block->places + size;
  end_ = block->places + sizeof block->places;
  taken_ = 1;
  return block->places;
}

}  // namespace cooperative::internal
