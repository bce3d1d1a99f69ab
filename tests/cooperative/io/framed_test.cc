#include "cooperative/io/framed.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::HasSubstr;

class FramedTest : public testing::IoTest {};

TEST_F(FramedTest, MessagesKeepTheirBounds) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::vector<std::string> messages{"a", "", std::string("\0\n\xff", 3), std::string(100'000, 'x'), "end"};
    auto sender = spawn("sender", [&] {
      for (const auto& message : messages) send_msg(there, message);
    });
    for (const auto& message : messages) {
      const ReceivedText received = recv_msg(here);
      EXPECT_TRUE(received);
      EXPECT_EQ(*received, message);
    }
  });
}

TEST_F(FramedTest, TheLengthComesFirstAndItsMostSignificantByteBeforeAll) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    send_msg(there, std::string(258, 'x'));
    EXPECT_EQ(*here.read_exact(6), std::string("\0\0\1\2xx", 6));
  });
}

TEST_F(FramedTest, AnEmptyMessageTheEndALimitAndAStopAreToldApart) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    send_msg(there, "");
    EXPECT_EQ(recv_msg(here).why(), Why::ready);
    EXPECT_EQ(recv_msg(here, absl::ZeroDuration()).why(), Why::timed_out);
    const Signal stop;
    stop.go();
    EXPECT_EQ(recv_msg(here, stop).why(), Why::stopped);
    there.close();
    EXPECT_EQ(recv_msg(here).why(), Why::closed);
  });
}

TEST_F(FramedTest, AnEndInsideAMessageIsAnErrorThatSaysHowMuchCame) {
  on_thread([] {
    for (const std::size_t size : {1, 3, 4, 5, 13}) {
      auto ends = Socket::pair();
      Socket& here = ends.first;
      Socket& there = ends.second;
      there.write_all(std::string("\0\0\0\x0a" "0123456789", 14).substr(0, size));
      there.close();
      EXPECT_THAT(what_of<CutOff>([&] { static_cast<void>(recv_msg(here)); }),
                  HasSubstr(size < 4 ? "inside the length" : "after " + std::to_string(size - 4) + " of 10 bytes"));
      EXPECT_EQ(here.buffered().size(), size);
    }
  });
}

TEST_F(FramedTest, ALimitInsideAMessageLosesNothing) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    for (const char byte : std::string("\0\0\0\3abc", 7)) {
      auto receiver = spawn("receiver", [&] { return recv_msg(here, absl::Seconds(1)).why(); });
      yield_until_idle();
      clock.advance(absl::Seconds(1));
      EXPECT_EQ(receiver.join(), Why::timed_out);
      there.write_all(std::string(1, byte));
    }
    EXPECT_EQ(*recv_msg(here), "abc");
  });
}

TEST_F(FramedTest, ItsLimitIsTotalAndMayBeTheStreams) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    here.set_timeout(absl::Seconds(10));
    there.write_all(std::string("\0\0\1\0", 4));
    auto feeder = spawn("feeder", [&] {
      while (true) {
        there.write_all("x");
        clock.advance(absl::Seconds(1));
        yield();
      }
    });
    EXPECT_EQ(recv_msg(here).why(), Why::timed_out);
    EXPECT_LE(here.buffered().size(), 4u + 12u);
    feeder.cancel();
  });
}

TEST_F(FramedTest, AMessageMayBeAsLongAsIsSaidAndNoLonger) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const FrameOptions options{.max_message = 5};
    send_msg(there, "12345", options);
    EXPECT_EQ(*recv_msg(here, options), "12345");
    EXPECT_THAT(what_of<TooLong>([&] { send_msg(there, "123456", options); }), HasSubstr("6 bytes"));
    send_msg(there, "123456");
    EXPECT_THAT(what_of<TooLong>([&] { static_cast<void>(recv_msg(here, options)); }), HasSubstr("6 bytes"));
    EXPECT_EQ(*recv_msg(here), "123456");  // nothing was lost
    // By default, too: nobody makes us keep 4 GiB.
    there.write_all("\xff\xff\xff\xff");
    EXPECT_THROW(static_cast<void>(recv_msg(here)), TooLong);
  });
}

TEST_F(FramedTest, ACancelledReceiverTakesNothing) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto receiver = spawn("receiver", [&] { static_cast<void>(recv_msg(here)); });
    there.write_all(std::string("\0\0\0\2a", 5));
    yield_until_idle();
    receiver.cancel();
    yield_until_idle();
    there.write_all("b");
    EXPECT_EQ(*recv_msg(here), "ab");
  });
}

}  // namespace
}  // namespace cooperative
