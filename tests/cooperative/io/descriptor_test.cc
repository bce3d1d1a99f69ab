#include "cooperative/io/descriptor.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/poll.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/wait_for.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DescriptorTest : public testing::IoTest {};
class DescriptorDeathTest : public testing::IoTest {};

// A pipe of which both ends are Descriptors.
struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    out = Descriptor(ends[0]);
    in = Descriptor(ends[1]);
  }
  void put(std::size_t bytes = 1) { EXPECT_EQ(::write(in.native(), std::string(bytes, 'x').data(), bytes), static_cast<ssize_t>(bytes)); }
  ssize_t get(std::size_t bytes = 1) { return ::read(out.native(), std::string(bytes, ' ').data(), bytes); }
  // Until nothing goes in.
  void fill() {
    const std::string much(4096, 'x');
    while (::write(in.native(), much.data(), much.size()) > 0) {
    }
    while (::write(in.native(), much.data(), 1) > 0) {
    }
  }

  Descriptor out;
  Descriptor in;
};

TEST_F(DescriptorTest, MakesItNonBlockingAndClosesIt) {
  int number = -1;
  {
    const Descriptor descriptor(eventfd(0, EFD_CLOEXEC));
    number = descriptor.native();
    EXPECT_TRUE(descriptor.is_open());
    EXPECT_NE(fcntl(number, F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_EQ(fcntl(number, F_GETFL), -1);
}

TEST_F(DescriptorTest, WhatIsNoneIsRefusedByNumber) {
  EXPECT_THAT(what_of<IoError>([] { Descriptor(12345); }), HasSubstr("descriptor 12345"));
  EXPECT_THROW(Descriptor(-1), IoError);
}

TEST_F(DescriptorTest, MovesAndIsClosedOnce) {
  Descriptor a(eventfd(0, 0));
  const int number = a.native();
  Descriptor b = std::move(a);
  EXPECT_FALSE(a.is_open());  // NOLINT: that is the question
  EXPECT_EQ(b.native(), number);
  b = Descriptor(eventfd(0, 0));
  EXPECT_NE(b.native(), number);
  EXPECT_EQ(fcntl(number, F_GETFL), -1);
  b.close();
  b.close();
  EXPECT_FALSE(b.is_open());
  EXPECT_EQ(b.release(), -1);
  on_thread([&] { EXPECT_EQ(b.wait_readable().why(), Why::closed); });
}

TEST_F(DescriptorTest, WaitsUntilItMayBeReadOrWritten) {
  on_thread([] {
    Pipe pipe;
    EXPECT_TRUE(pipe.in.wait_writable());
    auto reader = spawn("reader", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    EXPECT_TRUE(reader.is_alive());
    pipe.put();
    EXPECT_EQ(reader.join(), Why::ready);
    EXPECT_TRUE(pipe.out.wait_readable());  // still
    pipe.fill();
    auto writer = spawn("writer", [&] { return pipe.in.wait_writable().why(); });
    yield_until_idle();
    EXPECT_TRUE(writer.is_alive());
    while (pipe.get(4096) > 0) {
    }
    EXPECT_EQ(writer.join(), Why::ready);
  });
}

TEST_F(DescriptorTest, AHangUpIsReadinessToo) {
  on_thread([] {
    Pipe pipe;
    auto reader = spawn("reader", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    pipe.in.close();
    EXPECT_EQ(reader.join(), Why::ready);
    EXPECT_EQ(pipe.get(), 0);
    Pipe other;
    other.fill();
    auto writer = spawn("writer", [&] { return other.in.wait_writable().why(); });
    yield_until_idle();
    other.out.close();
    EXPECT_EQ(writer.join(), Why::ready);
  });
}

TEST_F(DescriptorTest, AFileIsAlwaysReady) {
  on_thread([] {
    Descriptor file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(file.wait_readable());
    EXPECT_TRUE(file.wait_writable());
    Readable readable(file);
    EXPECT_EQ(wait_for_any(std::tie(readable)).index(), 0u);
  });
}

TEST_F(DescriptorTest, EndsByItsLimits) {
  on_virtual_time([](VirtualClock& clock) {
    Pipe pipe;
    EXPECT_EQ(pipe.out.wait_readable(absl::ZeroDuration()).why(), Why::timed_out);
    const Signal stop;
    auto timed = spawn("timed", [&] { return pipe.out.wait_readable(absl::Seconds(1)).why(); });
    auto stopped = spawn("stopped", [&] { return pipe.out.wait_readable(stop).why(); });
    yield_until_idle();
    stop.go();
    EXPECT_EQ(stopped.join(), Why::stopped);
    EXPECT_TRUE(timed.is_alive());
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(timed.join(), Why::timed_out);
    pipe.put();
    EXPECT_EQ(pipe.out.wait_readable(absl::ZeroDuration()).why(), Why::ready);
  });
}

TEST_F(DescriptorTest, ItsClosingEndsAllWhoWaitAtOnce) {
  on_thread([] {
    Pipe pipe;
    std::vector<Fiber<Why>> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(spawn("reader", [&] { return pipe.out.wait_readable().why(); }));
    waiters.push_back(spawn("writer", [&] { return pipe.out.wait_writable(absl::Hours(1)).why(); }));
    yield_until_idle();
    pipe.out.close();
    yield();
    for (auto& waiter : waiters) {
      EXPECT_FALSE(waiter.is_alive());
      EXPECT_EQ(waiter.join(), Why::closed);
    }
  });
}

TEST_F(DescriptorTest, MayBeDestroyedAsSoonAsItIsClosed) {
  on_virtual_time([](VirtualClock& clock) {
    std::optional<Pipe> pipe(std::in_place);
    Readable readable(pipe->out);
    std::vector<Fiber<Why>> waiters;
    // One is woken by an edge, one by its limit, one by neither, before they go on.
    waiters.push_back(spawn("woken", [&] { return pipe->out.wait_readable().why(); }));
    waiters.push_back(spawn("timed out", [&] { return pipe->out.wait_readable(absl::Seconds(1)).why(); }));
    waiters.push_back(spawn("waiting", [&] { return pipe->out.wait_readable().why(); }));
    auto any = spawn("any", [&] { return wait_for_any(std::tie(readable)).index(); });
    Event<> event;
    auto closer = spawn("closer", [&] {
      event.wait();  // first in its round
      pipe->out.close();
      pipe.reset();
    });
    yield_until_idle();
    pipe->put();
    clock.advance(absl::Seconds(1));
    event.signal();
    closer.join();
    for (auto& waiter : waiters) EXPECT_EQ(waiter.join(), Why::closed);
    EXPECT_EQ(any.join(), 0u);  // its next use says so
  });
}

TEST_F(DescriptorTest, ANumberThatIsUsedAgainIsAnother) {
  on_thread([] {
    Pipe pipe;
    const int number = pipe.out.native();
    auto first = spawn("first", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    pipe.out.close();
    Descriptor again(eventfd(0, EFD_CLOEXEC));
    ASSERT_EQ(again.native(), number);
    auto second = spawn("second", [&] { return again.wait_readable().why(); });
    EXPECT_EQ(first.join(), Why::closed);
    yield_until_idle();
    EXPECT_TRUE(second.is_alive());
    eventfd_write(number, 1);
    EXPECT_EQ(second.join(), Why::ready);
  });
}

TEST_F(DescriptorTest, ACopyThatSomebodyElseKeepsTellsNothingOfOneThatWasClosed) {
  on_thread([] {
    Pipe pipe;
    const int copy = dup(pipe.out.native());
    auto first = spawn("first", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    pipe.out.close();
    EXPECT_EQ(first.join(), Why::closed);
    pipe.put();  // the description lives on, and the kernel's list would, too
    Pipe other;
    EXPECT_EQ(other.out.wait_readable(absl::ZeroDuration()).why(), Why::timed_out);
    Descriptor adopted(copy);
    EXPECT_EQ(adopted.wait_readable().why(), Why::ready);
  });
}

TEST_F(DescriptorTest, ReleasedItMayBeAdoptedElsewhere) {
  Pipe pipe;
  int number = -1;
  on_thread([&] {
    auto waiter = spawn("waiter", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    number = pipe.out.release();
    EXPECT_EQ(waiter.join(), Why::closed);
  });
  EXPECT_FALSE(pipe.out.is_open());
  on_thread([&] {
    Descriptor adopted(number);
    auto waiter = spawn("waiter", [&] { return adopted.wait_readable().why(); });
    yield_until_idle();
    pipe.put();
    EXPECT_EQ(waiter.join(), Why::ready);
  });
}

TEST_F(DescriptorTest, AnotherThreadIsRefusedWhileItBelongsToAScheduler) {
  Pipe pipe;
  on_thread([&] {
    EXPECT_EQ(pipe.out.wait_readable(absl::ZeroDuration()).why(), Why::timed_out);
    std::thread([&] {
      EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(pipe.out.wait_readable()); }), HasSubstr("release()"));
      EXPECT_THROW(pipe.out.close(), Misuse);
      EXPECT_THROW(static_cast<void>(pipe.out.release()), Misuse);
      Readable readable(pipe.out);
      EXPECT_THROW(wait_for_any(std::tie(readable)), Misuse);
    }).join();
    EXPECT_TRUE(pipe.out.is_open());
  });
  std::thread([&] { pipe.out.close(); }).join();  // its scheduler has ended
  EXPECT_FALSE(pipe.out.is_open());
}

TEST_F(DescriptorTest, IsRefusedInAWorld) {
  Pipe pipe;
  pipe.put();
  testing::World world;
  world.run([&] {
    EXPECT_THROW(static_cast<void>(pipe.out.wait_readable()), Misuse);
    Readable readable(pipe.out);
    EXPECT_THROW(wait_for_any(std::tie(readable)), Misuse);
  });
}

TEST_F(DescriptorTest, ACancelledWaiterLeavesNothing) {
  on_thread([] {
    Pipe pipe;
    auto first = spawn("first", [&] { static_cast<void>(pipe.out.wait_readable()); });
    auto second = spawn("second", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    first.cancel();
    EXPECT_THROW(first.join(), WasCancelled);
    pipe.put();
    EXPECT_EQ(second.join(), Why::ready);
  });
}

TEST_F(DescriptorTest, WaitAnyTakesItWithOthers) {
  on_thread([] {
    Pipe pipe;
    Event<int> event;
    Readable readable(pipe.out);
    Writable writable(pipe.in);
    EXPECT_EQ(wait_for_any(std::tie(readable, event, writable)).index(), 2u);
    auto any = spawn("any", [&] { return wait_for_any(std::tie(readable, event)).index(); });
    yield_until_idle();
    event.signal(1);
    EXPECT_EQ(any.join(), 1u);
    auto again = spawn("again", [&] { return wait_for_any(std::tie(readable, event)).index(); });
    yield_until_idle();
    pipe.put();
    EXPECT_EQ(again.join(), 0u);
    wait_for_all(std::tie(readable, writable));
    EXPECT_THAT(what_of<Timedout>([&] { pipe.get(); wait_for_any(std::tie(readable), absl::ZeroDuration()); }), HasSubstr("descriptor"));
  });
}

TEST_F(DescriptorTest, WhoWaitsForMoreKeepsNobodyBehindHimWaiting) {
  on_thread([] {
    Pipe pipe;
    Event<> event;
    Readable readable(pipe.out);
    auto all = spawn("all", [&] { wait_for_all(std::tie(readable, event)); });
    auto other = spawn("other", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    pipe.put();
    EXPECT_EQ(other.join(), Why::ready);
    EXPECT_TRUE(all.is_alive());
    event.signal();
    all.join();
  });
}

TEST_F(DescriptorTest, WhoGivesUpOthersKeepsNobodyBehindHimWaiting) {
  on_virtual_time([](VirtualClock& clock) {
    Pipe pipe;
    Event<> never;
    Readable readable(pipe.out);
    auto all = spawn("all", [&] { wait_for_all(std::tie(readable, never), absl::Seconds(1)); });
    auto other = spawn("other", [&] { return pipe.out.wait_readable().why(); });
    yield_until_idle();
    pipe.put();
    yield();
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(other.join(), Why::ready);
    EXPECT_THROW(all.join(), Timedout);
  });
}

TEST_F(DescriptorDeathTest, DestroyedWhileAFiberWaitsItEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto pipe = std::make_unique<Pipe>();
        auto waiter = spawn("waiter", [&] { static_cast<void>(pipe->out.wait_readable()); });
        yield_until_idle();
        pipe.reset();
      },
      "was destroyed while a fiber waits for it: close\\(\\) it first");
  EXPECT_DEATH(
      {
        auto pipe = std::make_unique<Pipe>();
        auto waiter = spawn("waiter", [&] { static_cast<void>(pipe->out.wait_readable()); });
        Event<> event;
        auto destroyer = spawn("destroyer", [&] {
          event.wait();
          pipe.reset();  // the waiter has been woken, and not gone on
        });
        yield_until_idle();
        pipe->put();
        event.signal();
        destroyer.join();
      },
      "was destroyed while a fiber waits for it: close\\(\\) it first");
}

}  // namespace
}  // namespace cooperative
