#include "mothreads/foreign_thread.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/internal/aliens.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/allocations.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/nothing_left.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::LogLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::vector<std::string> foreign_names() {
  std::vector<std::string> names;
  for (const auto& thread : internal::ThreadContext::foreign_threads()) names.push_back(thread.name);
  return names;
}

// On a thread that the library does not know.
template <typename F>
void on_foreign_thread(F f) {
  std::thread(f).join();
}

class ForeignThreadTest : public testing::NothingLeft {
 protected:
  void TearDown() override {
    EXPECT_THAT(foreign_names(), IsEmpty());
    NothingLeft::TearDown();
  }
};

// --- what the scope does -------------------------------------------------------------------------------------------------

TEST_F(ForeignThreadTest, TheThreadHasItsNameInTheScope) {
  LogLines log;
  on_foreign_thread([] {
    {
      const ForeignThread here("camera driver");
      EXPECT_THAT(foreign_names(), ElementsAre("camera driver"));
      log::info("hello");
    }
    EXPECT_THAT(foreign_names(), IsEmpty());
    log::info("goodbye");
  });
  EXPECT_EQ(log.with("hello").at(0).context, "camera driver");
  EXPECT_THAT(log.with("goodbye").at(0).context, StartsWith("Unknown Thread "));
}

TEST_F(ForeignThreadTest, ScopesNest) {
  LogLines log;
  on_foreign_thread([] {
    const ForeignThread outer("outer");
    for (const char* name : {"inner", "the second inner, which is longer"}) {
      const ForeignThread inner(name);
      EXPECT_THAT(foreign_names(), ElementsAre(name));
      const ForeignThread innermost("");
      EXPECT_THAT(foreign_names(), ElementsAre(""));
    }
    EXPECT_THAT(foreign_names(), ElementsAre("outer"));
    log::info("hello");
  });
  EXPECT_EQ(log.with("hello").at(0).context, "outer");
}

TEST_F(ForeignThreadTest, ManyThreadsMayBeInAScope) {
  Queue<int> may_end("may end");
  Queue<int> inside("inside");
  std::vector<std::jthread> threads;
  for (const char* name : {"a", "b", "c"}) {
    threads.emplace_back([&, name] {
      const ForeignThread here(name);
      inside.add(1);
      static_cast<void>(may_end.pop());
    });
  }
  for (int i = 0; i < 3; ++i) static_cast<void>(inside.pop());
  EXPECT_THAT(foreign_names(), UnorderedElementsAre("a", "b", "c"));
  may_end.close();
  threads.clear();
  EXPECT_THAT(foreign_names(), IsEmpty());
}

// Read while it is entered and left again and again, a name is always a whole one.
TEST_F(ForeignThreadTest, ANameIsReadAsAWhole) {
  const std::string a(60, 'a');
  const std::string b(63, 'b');
  std::jthread foreign([&](const std::stop_token& ends) {
    while (!ends.stop_requested()) {
      const ForeignThread outer(a);
      const ForeignThread inner(b);
    }
  });
  int seen = 0;
  testing::await([&] {
    for (const std::string& name : foreign_names()) {
      EXPECT_THAT(name, ::testing::AnyOf(a, b));
      ++seen;
    }
    return seen >= 1000;
  });
  foreign = {};
}

TEST_F(ForeignThreadTest, WhatItWaitsOnCanBeRead) {
  const Signal frame("the next frame");
  std::thread foreign([&] {
    const ForeignThread here("camera driver");
    frame.wait();
  });
  std::vector<internal::ThreadContext::ForeignThreadInfo> seen;
  testing::await([&] {
    seen = internal::ThreadContext::foreign_threads();
    return !seen.empty() && seen[0].waits_on.has_value();
  });
  EXPECT_EQ(seen[0].waits_on->what, "waits for signal the next frame");
  frame.go();
  foreign.join();
}

// As on every thread that the library does not know, but that nobody asks for a name.
TEST_F(ForeignThreadTest, TheTreeDoesNotKnowIt) {
  LogLines log;
  on_foreign_thread([&] {
    const ForeignThread here("camera driver");
    EXPECT_EQ(Thread::current().parent(), std::nullopt);
    EXPECT_THAT(MainThread::thread().children(), IsEmpty());
    EXPECT_THAT(log.with("is not known"), IsEmpty());
    auto child = Thread::run("child", [](Signal please_stop) { please_stop.wait(); });
    EXPECT_EQ(child.thread().parent(), MainThread::thread());
    child.stop().join();
  });
}

TEST_F(ForeignThreadTest, TheStopDoesNotWaitForItAndEndsItsWaitsByTheirLimit) {
  std::optional<Why> why;
  std::thread foreign;
  const Signal may_leave;
  EXPECT_EQ(MainThread::run([&](const Signal& please_stop) {
    const Signal inside;
    foreign = std::thread([&, inside, please_stop] {
      const ForeignThread here("camera driver");
      inside.go();
      why = Signal().wait(please_stop).why();
      may_leave.wait();
    });
    inside.wait();
    return 4;
  }), 4);
  EXPECT_THAT(foreign_names(), ElementsAre("camera driver"));
  may_leave.go();
  foreign.join();
  EXPECT_EQ(why, Why::stopped);
}

// --- names ---------------------------------------------------------------------------------------------------------------

std::string name_in_scope_of(std::string_view name) {
  std::string seen;
  on_foreign_thread([&] {
    const ForeignThread here(name);
    seen = foreign_names().at(0);
  });
  return seen;
}

TEST_F(ForeignThreadTest, ALongNameIsCutBetweenCharacters) {
  const std::string full(63, 'n');
  EXPECT_EQ(name_in_scope_of(full), full);
  EXPECT_EQ(name_in_scope_of(full + "o"), full);
  for (const std::string character : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {  // é, €, a face
    for (std::size_t before = 55; before <= 63; ++before) {
      const std::string start(before, 'n');
      const std::string expected = before + character.size() <= 63 ? start + character : start;
      EXPECT_EQ(name_in_scope_of(start + character), expected);
      EXPECT_THAT(name_in_scope_of(start + character + character + character), StartsWith(expected));
    }
  }
  EXPECT_THAT(name_in_scope_of(std::string(100, '\x80')), SizeIs(59));  // no UTF-8: it is cut somewhere
}

TEST_F(ForeignThreadTest, ANameEndsAtAZeroByteAndNeedNotBeTerminated) {
  EXPECT_EQ(name_in_scope_of(std::string_view("camera\0driver", 13)), "camera");
  EXPECT_EQ(name_in_scope_of(std::string_view("camera driver").substr(0, 6)), "camera");
  EXPECT_EQ(name_in_scope_of({}), "");
}

TEST_F(ForeignThreadTest, TheNameIsCopied) {
  on_foreign_thread([] {
    std::string name = "camera driver";
    const ForeignThread here(name);
    name.assign(name.size(), 'x');
    EXPECT_THAT(foreign_names(), ElementsAre("camera driver"));
  });
}

// --- threads that are known ----------------------------------------------------------------------------------------------

void expect_no_change(const std::string& name) {
  const ForeignThread here("camera driver");
  {
    const ForeignThread inner("nested");
    EXPECT_THAT(foreign_names(), IsEmpty());
  }
  EXPECT_EQ(Thread::current().name(), name);
  EXPECT_EQ(internal::Context::current().name, name);
}

TEST_F(ForeignThreadTest, OnAThreadThatIsKnownItChangesNothing) {
  expect_no_change(Thread::current().name());  // main
  Thread::run("ours", [](Signal) { expect_no_change("ours"); }).join();
  on_foreign_thread([] {
    const RegisterThread registered("solver");
    expect_no_change("solver");
  });
}

TEST_F(ForeignThreadTest, AndOneOfRegisterThreadMayBeInside) {
  on_foreign_thread([] {
    const ForeignThread here("camera driver");
    {
      const RegisterThread registered("solver");
      const ForeignThread inner("nested");
      EXPECT_EQ(Thread::current().name(), "solver");
      EXPECT_THAT(foreign_names(), ElementsAre("camera driver"));  // around it
    }
    EXPECT_STREQ(internal::Context::current().name, "camera driver");
  });
}

TEST_F(ForeignThreadTest, OnAThreadOfTheLibraryItChangesNothing) {
  on_foreign_thread([] {
    const internal::LibraryThread serves("timers");
    expect_no_change(Thread::current().name());
  });
}

// --- cost ----------------------------------------------------------------------------------------------------------------

TEST_F(ForeignThreadTest, AHundredThousandEntriesAllocateNothing) {
  on_foreign_thread([] {
    { const ForeignThread first("camera driver"); }
    const auto before = testing::allocations_here();
    for (int i = 0; i < 100'000; ++i) {
      const ForeignThread here("camera driver");
      const ForeignThread nested("a name that is longer than any string that is kept in place");
    }
    EXPECT_EQ(testing::allocations_here(), before);
  });
}

// A first entry needs memory. Without it the thread stays as it was, and may try again.
TEST_F(ForeignThreadTest, WithoutMemoryItChangesNothing) {
  std::uint64_t made = 0;
  for (std::uint64_t number = 0, failed = 1; failed != 0; ++number) {
    on_foreign_thread([&] {
      {
        testing::FailAllocation failure(number);
        const ForeignThread here("camera driver");
        failed = failure.has_failed() ? 1 : 0;
      }
      made = number;
      EXPECT_THAT(foreign_names(), IsEmpty());
      const ForeignThread here("camera driver");
      EXPECT_THAT(foreign_names(), ElementsAre("camera driver"));
      EXPECT_EQ(Signal().wait(absl::Nanoseconds(1)).why(), Why::timed_out);
    });
  }
  EXPECT_GT(made, 1U);
}

// --- ends ----------------------------------------------------------------------------------------------------------------

// Its memory outlives the thread, and it is never destroyed there.
union Leaked {
  Leaked() {}
  ~Leaked() {}
  ForeignThread scope;
};

TEST_F(ForeignThreadTest, AThreadMayEndInTheScope) {
  for (int i = 0; i < 3; ++i) {
    Leaked leaked;
    on_foreign_thread([&] { new (&leaked.scope) ForeignThread("camera driver"); });
    EXPECT_THAT(foreign_names(), IsEmpty());
    // Another has its context now; the end of the old scope is not its.
    on_foreign_thread([&] {
      const ForeignThread here("audio driver");
      leaked.scope.~ForeignThread();
      EXPECT_THAT(foreign_names(), ElementsAre("audio driver"));
      EXPECT_STREQ(internal::Context::current().name, "audio driver");
    });
  }
}

TEST_F(ForeignThreadTest, PthreadExitLeavesTheScope) {
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, nullptr, [](void*) -> void* {
    const ForeignThread here("camera driver");
    pthread_exit(nullptr);
  }, nullptr), 0);
  pthread_join(thread, nullptr);
  EXPECT_THAT(foreign_names(), IsEmpty());
}

struct EntersAtItsEnd {
  ~EntersAtItsEnd() {
    const ForeignThread here("in a destructor");
    if (seen != nullptr) *seen = foreign_names();
  }
  std::vector<std::string>* seen = nullptr;
};

TEST_F(ForeignThreadTest, ADestructorOfAThreadLocalObjectMayEnter) {
  std::vector<std::string> seen;
  on_foreign_thread([&] {
    thread_local EntersAtItsEnd at_end;
    at_end.seen = &seen;
  });
  EXPECT_THAT(seen, ElementsAre("in a destructor"));
}

// They are called beside the library's own, in some order and in four rounds at most. The library's own comes once more after the last entry, and
// ThreadSanitizer needs the last round for itself.
TEST_F(ForeignThreadTest, ADestructorOfAThreadsKeyMayEnter) {
  static constexpr int kRounds = testing::kSanitized ? 2 : 3;
  static int rounds = 0;
  static pthread_key_t key{};
  ASSERT_EQ(pthread_key_create(&key, [](void* pointer) {
    const ForeignThread here("in a key's destructor");
    const ForeignThread nested("nested");
    if (++rounds < kRounds) pthread_setspecific(key, pointer);
  }), 0);
  on_foreign_thread([] {
    const ForeignThread here("camera driver");
    pthread_setspecific(key, &rounds);
  });
  EXPECT_EQ(rounds, kRounds);
  pthread_key_delete(key);
}

// Before main() and after it, on a thread of its own.
struct EntersOutsideOfMain {
  EntersOutsideOfMain() { enter(); }
  ~EntersOutsideOfMain() { enter(); }
  static void enter() {
    std::vector<std::string> seen;
    on_foreign_thread([&] {
      const ForeignThread here("static");
      seen = foreign_names();
    });
    if (seen != std::vector<std::string>{"static"}) std::abort();
  }
};
const EntersOutsideOfMain outside_of_main;

}  // namespace
}  // namespace mothreads
