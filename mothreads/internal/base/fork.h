#pragma once

// fork(), for the whole library: docs/process_edges.md says what a child may do.
//
// In a child only the thread that called fork() exists. The library then starts anew there: whatever it keeps for the process is a ForkPart,
// which is told before and after each fork(). What users own (a handle of a thread, a pool, a Process) has a Born: in a child the object is
// left behind, its verbs refuse or do nothing, and nothing that the kernel shares between the two processes is touched.
//
// A part either takes its mutex before the fork() and gives it back in both processes, or makes the mutex anew in the child. The first is for
// what goes on in the child and is guarded by short sections in which no foreign code runs; the second for everything else.

#include <signal.h>

#include <atomic>
#include <cstdint>

namespace mothreads::inline v0::internal {

// So many fork()s lie between the program's start and this process. Written only in a child that has no second thread yet.
inline constinit std::atomic<std::uint32_t> fork_generation{0};

// In which process an object was made.
class Born {
 public:
  Born() noexcept {}  // written out, so that a constant member may be one

  // True in a child, for what was made before the fork().
  bool is_left_behind() const noexcept { return generation_ != fork_generation.load(std::memory_order_relaxed); }

 private:
  std::uint32_t generation_ = fork_generation.load(std::memory_order_relaxed);
};

struct ForkPart {
  // The order of their turns in the child; before the fork() it is the other way round.
  enum class Rank : std::uint8_t { leaf, contexts, tree, schedulers };

  Rank rank = Rank::leaf;
  void (*prepare)() noexcept = nullptr;
  void (*in_parent)() noexcept = nullptr;
  void (*in_child)() noexcept = nullptr;
  ForkPart* next = nullptr;
};

// `part` lives for ever. Called while static objects are made, or at the first use of what the part keeps.
void take_part_in_forks(ForkPart& part);

// As long as one lives a fork() of another thread waits: for what happens once in a process, and must not be half done in a child. One at a time in a
// process: another thread waits for it, and the same one would do so for ever.
class ForkWaits {
 public:
  ForkWaits() noexcept;
  ~ForkWaits();
  ForkWaits(const ForkWaits&) = delete;
  ForkWaits& operator=(const ForkWaits&) = delete;
};

// From before the first part is told until after the last, the calling thread blocks all signals: a handler of the library that ran in the child
// earlier would tell the parent. This is the mask that the child's thread has then, instead of the one that it had. For in_child() only.
void set_mask_of_child(const sigset_t& mask) noexcept;

// In a child: what called fork() has returned to the library, which ends the process in order. `status` as for exit().
[[noreturn]] void end_forked_process(int status = 0);

}  // namespace mothreads::internal
