#include "cooperative/io/poll.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/poller.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {

// For the messages of the tests below.
static void PrintTo(const PollItem& item, std::ostream* out) { *out << item.descriptor << ":" << to_string(item.ready); }

namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MATCHER_P2(IsItem, descriptor, ready, "") { return arg.descriptor == descriptor && arg.ready == ready; }
auto Is(int descriptor, Ready ready) { return IsItem(descriptor, ready); }

class PollTest : public testing::IoTest {};

// A descriptor of somebody else's.
class Lent {
 public:
  explicit Lent(int number) : number_(number) {}
  ~Lent() { close(); }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }
  int release() { return std::exchange(number_, -1); }
  operator int() const { return number_; }

 private:
  int number_;
};

struct Pipe {
  explicit Pipe(const std::array<int, 2>& ends = made()) : out(ends[0]), in(ends[1]) {}
  static std::array<int, 2> made() {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    return ends;
  }
  void put() { EXPECT_EQ(::write(in, "x", 1), 1); }
  void get() {
    char byte = 0;
    EXPECT_EQ(::read(out, &byte, 1), 1);
  }

  Lent out;
  Lent in;
};

TEST_F(PollTest, GivesThoseThatAreReadyInTheOrderGivenAndEachOnce) {
  on_thread([] {
    Pipe a;
    Pipe b;
    b.put();
    EXPECT_THAT(poll_list({{b.out, Ready::in}, {a.out, Ready::in}, {a.in, Ready::out}}), ElementsAre(Is(b.out, Ready::in), Is(a.in, Ready::out)));
    // Asked twice of one: once, together.
    const Lent event(eventfd(1, EFD_CLOEXEC));
    EXPECT_THAT(poll_list({{event, Ready::in}, {a.out, Ready::in}, {event, Ready::out}}), ElementsAre(Is(event, Ready::in | Ready::out)));
  });
}

TEST_F(PollTest, WaitsForTheFirstOfThem) {
  on_thread([] {
    Pipe a;
    Pipe b;
    auto poller = spawn("poller", [&] { return poll_list({{a.out, Ready::in}, {b.out, Ready::in}}); });
    yield_until_idle();
    EXPECT_TRUE(poller.is_alive());
    b.put();
    EXPECT_THAT(poller.join(), ElementsAre(Is(b.out, Ready::in)));
  });
}

TEST_F(PollTest, NothingWhenTheLimitComesFirst) {
  on_virtual_time([](VirtualClock& clock) {
    Pipe pipe;
    const Signal stop;
    EXPECT_THAT(poll_list({{pipe.out, Ready::in}}, absl::ZeroDuration()), IsEmpty());
    auto timed = spawn("timed", [&] { return poll_list({{pipe.out, Ready::in}}, absl::Seconds(1)); });
    auto stopped = spawn("stopped", [&] { return poll_list({{pipe.out, Ready::in}}, stop); });
    yield_until_idle();
    stop.go();
    EXPECT_THAT(stopped.join(), IsEmpty());
    clock.advance(absl::Seconds(1));
    EXPECT_THAT(timed.join(), IsEmpty());
  });
}

TEST_F(PollTest, OfNothingIsASleep) {
  on_virtual_time([](VirtualClock& clock) {
    auto sleeper = spawn("sleeper", [] { return poll_list({}, absl::Seconds(1)); });
    yield_until_idle();
    EXPECT_TRUE(sleeper.is_alive());
    clock.advance(absl::Seconds(1));
    EXPECT_THAT(sleeper.join(), IsEmpty());
    auto endless = spawn("endless", [] { poll_list({}); });
    yield_until_idle();
    EXPECT_TRUE(endless.is_alive());
  });
}

TEST_F(PollTest, HangUpsErrorsAndBadOnesAreToldUnasked) {
  on_thread([] {
    Pipe reader;
    auto waiter = spawn("waiter", [&] { return poll_list({{reader.out, Ready::in}}); });
    yield_until_idle();
    reader.in.close();
    EXPECT_THAT(waiter.join(), ElementsAre(Is(reader.out, Ready::hup)));
    EXPECT_THAT(poll_list({{reader.out, Ready{}}}), ElementsAre(Is(reader.out, Ready::hup)));

    Pipe writer;
    auto other = spawn("other", [&] { return poll_list({{writer.in, Ready{}}}); });
    yield_until_idle();
    writer.out.close();
    EXPECT_THAT(other.join(), ElementsAre(Is(writer.in, Ready::err)));

    EXPECT_THAT(poll_list({{-1, Ready::in}, {12345, Ready::out}}), ElementsAre(Is(-1, Ready::nval), Is(12345, Ready::nval)));
  });
}

TEST_F(PollTest, OneBadDescriptorHurtsOnlyWhoAskedForIt) {
  on_thread([] {
    Pipe pipe;
    auto good = spawn("good", [&] { return poll_list({{pipe.out, Ready::in}}); });
    auto bad = spawn("bad", [] { return poll_list({{-1, Ready::in}}); });
    EXPECT_THAT(bad.join(), ElementsAre(Is(-1, Ready::nval)));
    sleep(absl::ZeroDuration());
    EXPECT_TRUE(good.is_alive());
    pipe.put();
    EXPECT_THAT(good.join(), ElementsAre(Is(pipe.out, Ready::in)));
  });
}

TEST_F(PollTest, AFileIsAlwaysReady) {
  on_thread([] {
    const Lent file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    EXPECT_THAT(poll_list({{file, Ready::in}}), ElementsAre(Is(file, Ready::in)));
    const Pipe pipe;
    EXPECT_THAT(poll_list({{pipe.out, Ready::in}, {file, Ready::in}}), ElementsAre(Is(file, Ready::in)));
  });
}

TEST_F(PollTest, WhatComesGoesToTheFirstWhoWantsIt) {
  on_thread([] {
    Pipe pipe;
    std::vector<int> order;
    std::vector<Fiber<void>> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.push_back(spawn("waiter", [&, i] {
        poll_list({{pipe.out, Ready::in}});
        pipe.get();
        order.push_back(i);
      }));
    }
    yield_until_idle();
    pipe.put();
    yield_until_idle();
    EXPECT_THAT(order, ElementsAre(0));
    pipe.put();
    pipe.put();
    for (auto& waiter : waiters) waiter.join();
    EXPECT_THAT(order, ElementsAre(0, 1, 2));
  });
}

TEST_F(PollTest, OfTwoKindsOfReadinessEachGoesToWhoWantsIt) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { return poll_list({{here.native(), Ready::in}}); });
    auto writer = spawn("writer", [&] { return poll_list({{here.native(), Ready::out}}); });
    EXPECT_THAT(writer.join(), ElementsAre(Is(here.native(), Ready::out)));
    there.write_all("x");
    EXPECT_THAT(reader.join(), ElementsAre(Is(here.native(), Ready::in)));
  });
}

TEST_F(PollTest, WhoIsToldAndLeavesItThereKeepsItFromNobody) {
  on_thread([] {
    Pipe pipe;
    auto first = spawn("first", [&] { return poll_list({{pipe.out, Ready::in}}); });
    auto second = spawn("second", [&] { return poll_list({{pipe.out, Ready::in}}); });
    yield_until_idle();
    pipe.put();
    EXPECT_THAT(first.join(), ElementsAre(Is(pipe.out, Ready::in)));
    EXPECT_THAT(second.join(), ElementsAre(Is(pipe.out, Ready::in)));
  });
}

TEST_F(PollTest, AHangUpIsToldToAll) {
  on_thread([] {
    Pipe pipe;
    std::vector<Fiber<std::vector<PollItem>>> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(spawn("waiter", [&] { return poll_list({{pipe.out, Ready::in}}); }));
    yield_until_idle();
    pipe.in.close();
    for (auto& waiter : waiters) EXPECT_THAT(waiter.join(), ElementsAre(Is(pipe.out, Ready::hup)));
  });
}

TEST_F(PollTest, ClosingEndsAllWhoWaitAndNobodyElse) {
  on_thread([] {
    Pipe a;
    Pipe b;
    std::vector<Fiber<void>> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(spawn("waiter", [&] { poll_list({{b.out, Ready::in}, {a.out, Ready::in}}, absl::Hours(1)); }));
    auto other = spawn("other", [&] { return poll_list({{b.out, Ready::in}}); });
    yield_until_idle();
    const int number = a.out;
    close_descriptor(a.out.release());
    for (auto& waiter : waiters) {
      EXPECT_THAT(what_of<Closed>([&] { waiter.join(); }), HasSubstr("descriptor " + std::to_string(number) + " was closed"));
    }
    EXPECT_TRUE(other.is_alive());
    b.put();
    EXPECT_THAT(other.join(), ElementsAre(Is(b.out, Ready::in)));
    EXPECT_THAT(what_of<IoError>([] { close_descriptor(12345); }), HasSubstr("descriptor 12345"));
  });
}

TEST_F(PollTest, ASocketThatIsClosedTellsThoseWhoPollIt) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    auto waiter = spawn("waiter", [&, number = here.native()] { poll_list({{number, Ready::in}}); });
    yield_until_idle();
    here.close();
    EXPECT_THROW(waiter.join(), Closed);
  });
}

// Whichever of the two has its turn first.
TEST_F(PollTest, ClosedAfterTheWakeAndBeforeTheTurnIsClosed) {
  on_thread([] {
    for (const bool kernel_is_asked_first : {false, true}) {
      Pipe pipe;
      Event<> event;
      auto waiter = spawn("waiter", [&] { poll_list({{pipe.out, Ready::in}}); });
      auto closer = spawn("closer", [&] {
        event.wait();
        if (kernel_is_asked_first) internal::SchedulerCore::current().poller().poll(absl::ZeroDuration());  // ends the other's wait
        close_descriptor(pipe.out.release());
      });
      yield_until_idle();
      pipe.put();
      event.signal();
      EXPECT_THROW(waiter.join(), Closed);
    }
  });
}

TEST_F(PollTest, ANumberThatIsUsedAgainAtOnceIsTheNewOnes) {
  on_thread([] {
    Pipe pipe;
    const int number = pipe.out;
    auto first = spawn("first", [&] { poll_list({{number, Ready::in}}); });
    yield_until_idle();
    close_descriptor(pipe.out.release());
    const Lent again(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    ASSERT_EQ(again, number);
    auto second = spawn("second", [&] { return poll_list({{number, Ready::in}}); });
    EXPECT_THROW(first.join(), Closed);
    yield_until_idle();
    EXPECT_TRUE(second.is_alive());
    eventfd_write(number, 1);
    EXPECT_THAT(second.join(), ElementsAre(Is(number, Ready::in)));
  });
}

TEST_F(PollTest, WhatWasClosedBehindOurBackHidesNotTheNewOneOfItsNumber) {
  on_thread([] {
    Pipe pipe;
    const int number = pipe.out;
    auto first = spawn("first", [&] { poll_list({{number, Ready::in}}); });
    yield_until_idle();
    pipe.out.close();
    const Lent again(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    ASSERT_EQ(again, number);
    auto second = spawn("second", [&] { return poll_list({{number, Ready::in}}); });
    yield_until_idle();
    eventfd_write(number, 1);
    first.join();  // the number is all that it asked for
    EXPECT_THAT(second.join(), ElementsAre(Is(number, Ready::in)));
  });
}

TEST_F(PollTest, TheLibrarysOwnAndPollMayWaitForTheSame) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto reader = spawn("reader", [&] { return testing::take(here, 9); });
    auto poller = spawn("poller", [&] { return poll_list({{here.native(), Ready::in}}); });
    yield_until_idle();
    there.write_all("x");
    EXPECT_EQ(reader.join(), "x");
    there.write_all("y");
    EXPECT_THAT(poller.join(), ElementsAre(Is(here.native(), Ready::in)));
  });
}

TEST_F(PollTest, ACancelledWaiterLeavesNothing) {
  on_thread([] {
    Pipe pipe;
    auto first = spawn("first", [&] { poll_list({{pipe.out, Ready::in}}); });
    auto second = spawn("second", [&] { return poll_list({{pipe.out, Ready::in}}); });
    yield_until_idle();
    first.cancel();
    EXPECT_THROW(first.join(), WasCancelled);
    pipe.put();
    EXPECT_THAT(second.join(), ElementsAre(Is(pipe.out, Ready::in)));
  });
}

TEST_F(PollTest, IsRefusedInAWorld) {
  const Pipe pipe;
  testing::World world;
  world.run([&] { EXPECT_THROW(poll_list({{pipe.in, Ready::out}}), Misuse); });
}

TEST_F(PollTest, ManyMoreThanOneCallTells) {
  on_thread([] {
    std::vector<int> events;
    std::vector<Fiber<void>> waiters;
    for (int i = 0; i < 200; ++i) events.push_back(eventfd(0, EFD_CLOEXEC));
    for (const int event : events) {
      waiters.push_back(spawn("waiter", [event] {
        poll_list({{event, Ready::in}});
        close_descriptor(event);
      }));
    }
    yield_until_idle();
    for (const int event : events) eventfd_write(event, 1);
    for (auto& waiter : waiters) waiter.join();
  });
}

// --- the same in other forms -------------------------------------------------------------------------------------------------

TEST_F(PollTest, AListMayBeKept) {
  on_thread([] {
    Pipe pipe;
    Poll poll;
    EXPECT_THAT(poll.poll(absl::ZeroDuration()), IsEmpty());
    poll.add(pipe.out);
    poll.add(pipe.in);
    EXPECT_THAT(poll.poll(), ElementsAre(Is(pipe.in, Ready::out)));
    poll.modify(pipe.in, Ready::pri);
    EXPECT_THAT(poll.poll(absl::ZeroDuration()), IsEmpty());
    pipe.put();
    EXPECT_THAT(poll.poll(), ElementsAre(Is(pipe.out, Ready::in)));
    poll.remove(pipe.out);
    EXPECT_THAT(poll.poll(absl::ZeroDuration()), IsEmpty());
    EXPECT_THROW(poll.remove(pipe.out), std::out_of_range);
    EXPECT_THROW(poll.modify(pipe.out, Ready::in), std::out_of_range);
  });
}

TEST_F(PollTest, SelectGivesThemInTheOrderGiven) {
  on_thread([] {
    Pipe a;
    Pipe b;
    a.put();
    b.put();
    const std::array<int, 2> to_read{b.out, a.out};
    const std::array<int, 2> to_write{b.in, a.in};
    const Selected selected = select(to_read, to_write, {});
    EXPECT_TRUE(selected);
    EXPECT_THAT(selected.readable, ElementsAre(+b.out, +a.out));
    EXPECT_THAT(selected.writable, ElementsAre(+b.in, +a.in));
    EXPECT_THAT(selected.exceptional, IsEmpty());
    a.get();
    b.get();
    EXPECT_FALSE(select(to_read, {}, to_read, absl::ZeroDuration()));
  });
}

TEST_F(PollTest, SelectTakesTheEndOfAPipeAsReadableAndRefusesBadOnes) {
  on_thread([] {
    Pipe pipe;
    pipe.in.close();
    const std::array<int, 1> to_read{pipe.out};
    EXPECT_THAT(select(to_read, {}, {}).readable, ElementsAre(+pipe.out));
    const std::array<int, 2> bad{pipe.out, 12345};
    try {
      select(bad, {}, {});
      ADD_FAILURE() << "12345 was taken";
    } catch (const SelectError& error) {
      EXPECT_EQ(error.descriptor(), 12345);
      EXPECT_EQ(error.ready(), Ready::nval);
      EXPECT_THAT(error.what(), HasSubstr("descriptor 12345 has nval"));
    }
    Pipe other;
    other.out.close();
    const std::array<int, 1> to_write{other.in};
    EXPECT_THROW(select({}, to_write, {}), SelectError);
  });
}

TEST_F(PollTest, UrgentDataIsExceptional) {
  on_thread([] {
    auto ends = testing::tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    static_cast<void>(there.send("!", MSG_OOB));
    const std::array<int, 1> asked{here.native()};
    EXPECT_THAT(select({}, {}, asked).exceptional, ElementsAre(here.native()));
  });
}

TEST_F(PollTest, NamesOfReadiness) {
  EXPECT_EQ(to_string(Ready::in | Ready::hup), "in|hup");
  EXPECT_EQ(to_string(Ready::pri | Ready::out | Ready::err | Ready::nval), "pri|out|err|nval");
  EXPECT_EQ(to_string(Ready{}), "");
}

}  // namespace
}  // namespace cooperative
