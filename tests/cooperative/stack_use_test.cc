#include "cooperative/stack_use.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/stack_marks.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using ::testing::HasSubstr;

constexpr std::size_t kKiB = 1024;

// Uses so much of the stack, every byte. AddressSanitizer would have it elsewhere, ThreadSanitizer calls something at each byte.
template <std::size_t bytes>
[[gnu::noinline, gnu::no_sanitize_address, gnu::no_sanitize_thread]] void use() {
  [[maybe_unused]] volatile char frame[bytes];
  for (std::size_t i = 0; i < bytes; ++i) frame[i] = 1;
}

std::size_t resident_pages() {
  const internal::Stack& stack = *internal::SchedulerCore::current().running_fiber()->runnable.stack;
  std::vector<unsigned char> resident(stack.size / static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(mincore(stack.lowest, stack.size, resident.data()), 0);
  std::size_t pages = 0;
  for (const unsigned char flags : resident) pages += flags & 1;
  return pages;
}

StackMark mark_of(const std::string& name) {
  for (const StackMark& mark : stack_marks()) {
    if (mark.name == name) return mark;
  }
  return {};
}

// Leaves no checks to the next test.
class StackUseTest : public ::testing::Test {
 protected:
  ~StackUseTest() override { set_stack_checks(StackChecks::off); }
};

TEST_F(StackUseTest, OfTheFiberThatRuns) {
  spawn({.name = "asking", .stack_size = 256 * kKiB}, [] {
    const StackUse before = stack_use();
    EXPECT_EQ(before.size, 256 * kKiB);
    EXPECT_GT(before.now, 0u);
    EXPECT_LT(before.now, 16 * kKiB);
    EXPECT_GE(before.most, before.now);
    use<100 * kKiB>();
    const StackUse after = stack_use();
    EXPECT_EQ(after.now, before.now);
    EXPECT_GE(after.most, 100 * kKiB);
    EXPECT_LE(after.most, 120 * kKiB);
  }).join();
}

TEST_F(StackUseTest, BringsNoPageIntoMemory) {
  for (const StackChecks checks : {StackChecks::off, StackChecks::on}) {
    set_stack_checks(checks);
    spawn({.name = "asking", .stack_size = 320 * kKiB}, [] {
      static_cast<void>(stack_use());
      const std::size_t before = resident_pages();
      static_cast<void>(stack_use());
      EXPECT_EQ(resident_pages(), before);
      EXPECT_LT(before, 10u);
    }).join();
  }
}

TEST_F(StackUseTest, OfNoFiberIsMisuse) {
  try {
    stack_use();
    FAIL() << "nothing was thrown";
  } catch (const mothreads::Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("call it on a fiber"));
  }
}

TEST_F(StackUseTest, WithChecksWhatEarlierFibersUsedDoesNotCount) {
  spawn("deep", use<40 * kKiB>).join();
  set_stack_checks(StackChecks::on);
  spawn("deep", use<40 * kKiB>).join();
  spawn("shallow", [] { EXPECT_LT(stack_use().most, 8 * kKiB); }).join();
  EXPECT_GE(mark_of("deep").most, 40 * kKiB);
  EXPECT_LT(mark_of("shallow").most, 8 * kKiB);
}

TEST_F(StackUseTest, MarksAreExact) {
  set_stack_checks(StackChecks::on);
  spawn("base", use<20'000>).join();
  spawn("more", use<20'000 + 512>).join();
  EXPECT_NEAR(static_cast<double>(mark_of("more").most - mark_of("base").most), 512, 64);
  EXPECT_NEAR(static_cast<double>(mark_of("base").most), 20'000, 4 * kKiB);
}

TEST_F(StackUseTest, OfOneNameTheDeepestCounts) {
  set_stack_checks(StackChecks::on);
  spawn({.name = "worker", .stack_size = 32 * kKiB}, use<10 * kKiB>).join();
  spawn({.name = "worker", .stack_size = 128 * kKiB}, use<50 * kKiB>).join();
  spawn("worker", [] {}).join();
  const StackMark mark = mark_of("worker");
  EXPECT_EQ(mark.fibers, 3u);
  EXPECT_EQ(mark.size, 128 * kKiB);
  EXPECT_GE(mark.most, 50 * kKiB);
}

TEST_F(StackUseTest, WhoUsedMostComesFirst) {
  Thread::run("host", [](Signal) {
    set_stack_checks(StackChecks::on);
    spawn("little", use<8 * kKiB>).join();
    spawn("most", use<40 * kKiB>).join();
    spawn("more", use<20 * kKiB>).join();
    std::vector<std::string> names;
    for (const StackMark& mark : stack_marks()) names.push_back(mark.name);
    EXPECT_THAT(names, ::testing::ElementsAre("most", "more", "little"));
  }).join();
}

// One that parks goes deeper than where it parks.
TEST_F(StackUseTest, CountsWhatWasUsedBetweenWaits) {
  set_stack_checks(StackChecks::on);
  Event<> event;
  auto fiber = spawn("parking", [&] {
    event.wait();
    use<30 * kKiB>();
    event.wait();
  });
  yield();
  event.signal();
  yield();
  event.signal();
  fiber.join();
  EXPECT_GE(mark_of("parking").most, 30 * kKiB);
}

TEST_F(StackUseTest, OnlyFibersThatBeganAndEndedWithChecksAreCounted) {
  Event<> event;
  auto early = spawn("early", [&] { event.wait(); });
  yield();
  set_stack_checks(StackChecks::on);
  event.signal();
  early.join();
  auto late = spawn("late", [&] { event.wait(); });
  yield();
  set_stack_checks(StackChecks::off);
  event.signal();
  late.join();
  spawn("after", [] {}).join();
  for (const char* name : {"early", "late", "after"}) EXPECT_EQ(mark_of(name).fibers, 0u) << name;
}

TEST_F(StackUseTest, ACancelledFiberIsCounted) {
  set_stack_checks(StackChecks::on);
  Event<> never;
  auto fiber = spawn("cancelled", [&] { never.wait(); });
  yield();
  EXPECT_THROW(fiber.cancel().join(), WasCancelled);
  EXPECT_EQ(mark_of("cancelled").fibers, 1u);
}

TEST_F(StackUseTest, EachSchedulerHasItsOwn) {
  set_stack_checks(StackChecks::on);
  Thread::run("host", [](Signal) {
    spawn("unchecked", [] {}).join();
    EXPECT_TRUE(stack_marks().empty());
  }).join();
  EXPECT_EQ(mark_of("unchecked").fibers, 0u);
}

TEST_F(StackUseTest, AfterSoManyNamesTheOthersShareOne) {
  Thread::run("host", [](Signal) {
    set_stack_checks(StackChecks::on);
    for (std::size_t i = 0; i <= internal::StackMarks::kMaxNames; ++i) spawn("name " + std::to_string(i), [] {}).join();
    spawn("name 0", [] {}).join();
    EXPECT_EQ(stack_marks().size(), internal::StackMarks::kMaxNames + 1);
    EXPECT_EQ(mark_of("(others)").fibers, 1u);
    EXPECT_EQ(mark_of("name 0").fibers, 2u);
  }).join();
}

}  // namespace
}  // namespace cooperative
