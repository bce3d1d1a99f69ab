#pragma once

// How much of its stack a fiber uses, to choose FiberOptions::stack_size by.
//
//     co::set_stack_checks(co::StackChecks::on);
//     run_for_a_while();
//     for (const co::StackMark& mark : co::stack_marks()) print(mark.name, mark.most, mark.size);
//
// Who uses more than all of it touches the guard below it: the program says "fiber "x" overflowed its 64 KiB stack" on stderr and dies by
// SIGSEGV, or does what a handler of it does that was there before the first fiber. One that is installed later must call the one that it
// replaces, else nobody names the fiber; and it must have SA_ONSTACK, else it has no room to run in, and the program dies without a word.
// A function with a frame of more than 16 KiB may step over the guard: compile such code with -fstack-clash-protection.
//
// Each function is about the calling thread's scheduler.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cooperative::inline v0 {

struct StackUse {
  std::size_t now;   // bytes in use at the call
  std::size_t most;  // so far; without stack checks in whole pages, and what an earlier fiber of the same stack touched may count
  std::size_t size;
};

// Of the fiber that runs. Throws mothreads::Misuse where none does.
StackUse stack_use();

enum class StackChecks : bool { off, on };

// Whether fibers that begin from now on start with a clean stack, and are counted by stack_marks() when they end. Costs each fiber some
// microseconds. Default off.
void set_stack_checks(StackChecks checks);

struct StackMark {
  std::string name;      // of the fibers
  std::size_t most;      // bytes that one of them has used
  std::size_t size;      // of the stack of that one
  std::uint64_t fibers;  // so many have ended
};

// One for each name of fibers that began and ended while stack checks were on, who used most first. After the first 1000 names, those
// that are new share the name "(others)".
std::vector<StackMark> stack_marks();

}  // namespace cooperative
