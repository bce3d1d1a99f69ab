// Debuggers and unwinders find their way on fibers' stacks: parked ones, from what the switch has left there, and running ones.
#include "cooperative/internal/stack/switch.h"

#define UNW_LOCAL_ONLY
#include <execinfo.h>
#include <libunwind.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0 {
namespace {

using internal::FiberBlock;
using internal::SchedulerCore;
using ::testing::Contains;
using ::testing::HasSubstr;

using Names = std::vector<std::string>;

// The functions of a stack, innermost first. Ends only where the unwinder says that it has ended.
Names walk(unw_context_t& context, int flags) {
  Names names;
  unw_cursor_t cursor;
  EXPECT_EQ(unw_init_local2(&cursor, &context, flags), 0);
  int more = 1;
  for (; more > 0 && names.size() < 200; more = unw_step(&cursor)) {
    std::array<char, 512> name{"?"};
    unw_word_t offset = 0;
    unw_get_proc_name(&cursor, name.data(), name.size(), &offset);
    names.emplace_back(name.data());
  }
  EXPECT_EQ(more, 0) << "the end of the stack was not found";
  return names;
}

Names walk_parked(const void* stack_pointer) {
  const internal::ParkedFrame frame = internal::parked_frame(stack_pointer);
  unw_context_t context{};
  const auto set = [&](int which, const void* value) {
    context.uc_mcontext.gregs[which] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(value));
  };
  set(REG_RIP, frame.instruction);
  set(REG_RSP, frame.stack_pointer);
  set(REG_RBP, frame.frame_pointer);
  return walk(context, UNW_INIT_SIGNAL_FRAME);  // the address is where it goes on, not one behind a call
}

Names walk_running() {
  unw_context_t context;
  unw_getcontext(&context);
  return walk(context, 0);
}

// Those of our functions that are among them.
Names ours(const Names& all) {
  Names found;
  for (const std::string& name : all) {
    for (const char* own : {"innermost", "middle", "outermost", "run_fibers", "mothreads_bottom_of_stack"}) {
      if (name.find(own) != std::string::npos) found.emplace_back(own);
    }
  }
  return found;
}

const FiberBlock* running() { return SchedulerCore::current().running_fiber(); }

// Each has something to do after its call, which is then no jump.
template <typename Action>
[[gnu::noinline]] void innermost(Action&& action) {
  action();
  asm volatile("");
}
template <typename Action>
[[gnu::noinline]] void middle(Action&& action) {
  innermost(action);
  asm volatile("");
}
template <typename Action>
[[gnu::noinline]] void outermost(Action&& action) {
  middle(action);
  asm volatile("");
}

const auto kWholeStack =
    ::testing::ElementsAre("innermost", "middle", "outermost", "run_fibers", "mothreads_bottom_of_stack");

TEST(WalkedStackTest, OfAFiberParkedAtAnEvent) {
  Event<> event;
  const FiberBlock* block = nullptr;
  auto fiber = spawn("parked", [&] {
    block = running();
    outermost([&] { event.wait(); });
  });
  yield();
  const Names names = walk_parked(block->runnable.stack_pointer);
  EXPECT_THAT(ours(names), kWholeStack) << ::testing::PrintToString(names);
  EXPECT_THAT(names, Contains(HasSubstr("wait")));
  EXPECT_EQ(names.back(), "mothreads_bottom_of_stack");
  event.signal();
  fiber.join();
}

TEST(WalkedStackTest, OfAFiberParkedAtASignalWithALimit) {
  const mothreads::Signal signal;
  const FiberBlock* block = nullptr;
  auto fiber = spawn("parked", [&] {
    block = running();
    outermost([&] { static_cast<void>(signal.wait(absl::Hours(1))); });
  });
  yield();
  EXPECT_THAT(ours(walk_parked(block->runnable.stack_pointer)), kWholeStack);
  signal.go();
  fiber.join();
}

// It has the stack of an earlier one, and has been switched away from before.
TEST(WalkedStackTest, OfAFiberThatParksAgain) {
  spawn("earlier", [] {}).join();
  const FiberBlock* block = nullptr;
  Event<> event;
  auto fiber = spawn("parked", [&] {
    block = running();
    for (int i = 0; i < 3; ++i) yield();
    outermost([&] { event.wait(); });
  });
  for (int i = 0; i < 5; ++i) yield();
  EXPECT_THAT(ours(walk_parked(block->runnable.stack_pointer)), kWholeStack);
  event.signal();
  fiber.join();
}

TEST(WalkedStackTest, OfAFiberThatIsAboutToBegin) {
  alignas(16) char room[1024];
  const void* const fresh = internal::prepare_stack(room + sizeof room, [](void*) {}, nullptr);
  EXPECT_THAT(walk_parked(fresh), ::testing::ElementsAre("mothreads_begin_stack"));
}

TEST(WalkedStackTest, OfARunningFiberEndsAtItsBottom) {
  spawn("running", [] {
    Names names;
    outermost([&] { names = walk_running(); });
    EXPECT_THAT(ours(names), kWholeStack) << ::testing::PrintToString(names);
    EXPECT_EQ(names.back(), "mothreads_bottom_of_stack");
  }).join();
}

TEST(WalkedStackTest, TheCLibrarysBacktraceEndsThereToo) {
  spawn("running", [] {
    std::array<void*, 100> frames;
    int count = 0;
    outermost([&] { count = backtrace(frames.data(), static_cast<int>(frames.size())); });
    ASSERT_GT(count, 4);
    ASSERT_LT(count, static_cast<int>(frames.size()));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frames[static_cast<std::size_t>(count) - 1]),
              reinterpret_cast<std::uintptr_t>(&internal::mothreads_bottom_of_stack) + 1);
  }).join();
}

}  // namespace
}  // namespace cooperative
