// TLS across limits and cancellations: nothing is lost, and no record is mixed.

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/cooperative/io/tls_peers.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::NothingLeft;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::Connected;
using testing::connected;
using testing::connected_over;
using testing::Gate;
using testing::Gated;
using testing::gated;
using testing::on_host;
using testing::settle;
using testing::text_of;
using ::testing::HasSubstr;

constexpr absl::Duration kNow = absl::ZeroDuration();

class TlsLimitTest : public NothingLeft {};

// --- limits --------------------------------------------------------------------------------------------------------------------

TEST_F(TlsLimitTest, AReadThatWasCutShortLosesNothing) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    both.server.write_all("a line\nand ");
    gate->allow_reading(10);  // less than a record
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    gate->allow_reading(1);
    Signal enough;
    auto reader = spawn("reader", [&] { return both.client.read_line(enough).why(); });
    settle();
    enough.go();
    EXPECT_EQ(reader.join(), Why::stopped);
    gate->allow_reading(Gate::kAll);
    EXPECT_EQ(*both.client.read_line(), "a line");
    both.server.write_all("more\n");
    EXPECT_EQ(*both.client.read_line(), "and more");
  });
}

TEST_F(TlsLimitTest, AReaderThatIsCancelledTakesNothingWithIt) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    both.server.write_all("a line\n");
    gate->allow_reading(10);
    auto first = spawn("first", [&] { return both.client.read_line(); });
    auto second = spawn("second", [&] { return both.client.read_line(); });
    auto third = spawn("third", [&] { return both.client.read_line(); });
    settle();
    EXPECT_THROW(static_cast<void>(first.cancel().join()), WasCancelled);
    EXPECT_THROW(static_cast<void>(second.cancel().join()), WasCancelled);
    gate->allow_reading(Gate::kAll);
    EXPECT_EQ(*third.join(), "a line");
  });
}

TEST_F(TlsLimitTest, AWriteThatWasCutShortGoesOn) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    const std::string text = text_of(50'000);
    std::size_t written = 0;
    // Wherever that is: in a record, before one, behind one.
    for (const std::size_t allowance : {1, 100, 16406, 16406, 10'000}) {
      gate->allow_writing(allowance);
      try {
        both.client.write_all(std::string_view(text).substr(written), kNow);
        FAIL();
      } catch (const WriteTimedout& error) {
        EXPECT_THAT(error.what(), HasSubstr("timed out after"));
        written += error.written();
      }
      EXPECT_EQ(gate->writable(), 0U) << "what fits, goes";
    }
    EXPECT_LT(written, text.size());
    gate->allow_writing(Gate::kAll);
    auto writer = spawn("writer", [&] { both.client.write_all(std::string_view(text).substr(written)); });
    EXPECT_TRUE(*both.server.read_exact(text.size()) == text);
    writer.join();
  });
}

TEST_F(TlsLimitTest, AWriteThatCannotBeginTakesNothing) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    const Sent first = both.client.write_some("first ", kNow);
    EXPECT_EQ(first.why(), Why::timed_out);
    EXPECT_EQ(first.size(), 6U) << "in a record that goes out first the next time";
    const Sent second = both.client.write_some("second", kNow);
    EXPECT_EQ(second.why(), Why::timed_out);
    EXPECT_EQ(second.size(), 0U) << "no more is taken before that is out";
    gate->allow_writing(Gate::kAll);
    both.client.write_all("last\n");
    EXPECT_EQ(*both.server.read_line(), "first last");
  });
}

TEST_F(TlsLimitTest, AllTakenIsNotAllOut) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    try {
      both.client.write_all("a line\n", kNow);
      FAIL() << "a close() now would cut it off";
    } catch (const WriteTimedout& error) {
      EXPECT_EQ(error.written(), 7U);
    }
  });
}

TEST_F(TlsLimitTest, AWriterThatIsCancelledLeavesWholeRecords) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    auto first = spawn("first", [&] {
      both.client.write_all("first\n");  // is taken, before the cancellation comes
      yield();
    });
    auto second = spawn("second", [&] { both.client.write_all("second\n"); });
    auto third = spawn("third", [&] { both.client.write_all("third\n"); });
    settle();
    EXPECT_THROW(first.cancel().join(), WasCancelled);  // in the middle of its record
    EXPECT_THROW(second.cancel().join(), WasCancelled);  // waiting for its turn
    gate->allow_writing(Gate::kAll);
    third.join();
    EXPECT_EQ(*both.server.read_line(), "first");
    EXPECT_EQ(*both.server.read_line(), "third");
  });
}

TEST_F(TlsLimitTest, WhatACancelledFlushHasTakenIsNotSentAgain) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(5);
    const std::string text = text_of(20'000);
    auto writer = spawn("writer", [&] {
      both.client.write_later(text);
      both.client.flush();
    });
    settle();
    EXPECT_THROW(writer.cancel().join(), WasCancelled);  // after one record, before the next
    gate->allow_writing(Gate::kAll);
    both.client.write_all("\n");
    both.client.shut_down_writing();
    EXPECT_TRUE(*both.server.read_all(1 << 20) == text + "\n");
  });
}

TEST_F(TlsLimitTest, ACancelledWriterLeavesWholeRecordsInEachLayer) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected both = connected_over(
        {std::make_unique<TlsStream>(std::move(sides.both.client)), std::make_unique<TlsStream>(std::move(sides.both.server))});
    const std::string text = text_of(30'000);
    // Wherever that is, in the inner records or in the outer ones.
    std::string expected;
    for (const std::size_t allowance : {1, 16'000, 16'500, 20'000, 30'050}) {
      gate->allow_writing(allowance);
      std::size_t taken = 0;
      auto writer = spawn("writer", [&] {
        while (taken < text.size()) taken += both.client.write_some(std::string_view(text).substr(taken)).size();
        yield();
      });
      settle();
      EXPECT_THROW(writer.cancel().join(), WasCancelled);
      expected += text.substr(0, taken);
      gate->allow_writing(Gate::kAll);
      auto rest = spawn("rest", [&] { both.client.write_all("."); });
      expected += ".";
      EXPECT_TRUE(*both.server.read_exact(expected.size()) == expected) << allowance;
      expected.clear();
      rest.join();
    }
  });
}

TEST_F(TlsLimitTest, TurnsHaveLimits) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    auto reader = spawn("reader", [&] { return both.client.read_line(); });
    auto writer = spawn("writer", [&] { both.client.write_all("x\n"); });
    settle();
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    EXPECT_EQ(both.client.write_some("y", kNow).size(), 0U);
    EXPECT_THAT(what_of<Timedout>([&] { both.client.shut_down_writing(kNow); }), HasSubstr("timed out before it could end its stream"));
    gate->allow_writing(Gate::kAll);
    writer.join();
    EXPECT_EQ(*both.server.read_line(), "x");
    both.server.write_all("z\n");
    EXPECT_EQ(*reader.join(), "z");
  });
}

TEST_F(TlsLimitTest, AnEndThatWasCutShortGoesOn) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(3);
    EXPECT_THROW(both.client.shut_down_writing(kNow), Timedout);
    gate->allow_writing(Gate::kAll);
    both.client.shut_down_writing();
    EXPECT_EQ(both.server.read_line().why(), Why::closed);
  });
}

// What was to be written later goes first, and has no limit of its own.
TEST_F(TlsLimitTest, AnEndHasOneLimitForAllOfIt) {
  on_virtual_time([](VirtualClock& clock) {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(0);
    both.client.write_later("x");
    std::string end;
    auto writer = spawn("writer", [&] { end = what_of<Timedout>([&] { both.client.shut_down_writing(absl::Seconds(10)); }); });
    settle();
    clock.advance(absl::Seconds(6));
    gate->allow_writing(1 + 22);  // its record, and nothing behind it
    settle();
    EXPECT_EQ(gate->writable(), 0U);
    EXPECT_TRUE(writer.is_alive());
    clock.advance(absl::Seconds(4));
    settle();
    EXPECT_FALSE(writer.is_alive());
    EXPECT_THAT(end, HasSubstr("timed out before it could end its stream"));
    gate->allow_writing(Gate::kAll);
    writer.join();
    both.client.shut_down_writing();
    EXPECT_EQ(*both.server.read_all(10), "x");
  });
}

// What a limit has left of a request must go out while its writer waits for the answer.
TEST_F(TlsLimitTest, WhatIsLeftGoesOutWhileOneReads) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    auto server = spawn("server", [&] { both.server.write_all(*both.server.read_line() + "!\n"); });
    gate->allow_writing(10);
    EXPECT_EQ(both.client.write_some("request\n", kNow).size(), 8U);
    auto reader = spawn("reader", [&] { return *both.client.read_line(); });
    settle();
    EXPECT_TRUE(reader.is_alive());
    gate->allow_writing(Gate::kAll);
    EXPECT_EQ(reader.join(), "request!");
    server.join();
  });
}

TEST_F(TlsLimitTest, WhoReadsDoesNotWaitForRoomToWrite) {
  on_host([] {
    Gated sides = gated();
    Gate* const gate = sides.gate;
    Connected& both = sides.both;
    gate->allow_writing(10);
    EXPECT_EQ(both.client.write_some("request\n", kNow).size(), 8U);
    both.server.write_all("unasked\n");
    EXPECT_EQ(*both.client.read_line(), "unasked");
    EXPECT_EQ(both.client.read_line(kNow).why(), Why::timed_out);
    gate->allow_writing(Gate::kAll);
    both.client.write_all("next\n");
    EXPECT_EQ(*both.server.read_line(), "request");
    EXPECT_EQ(*both.server.read_line(), "next");
  });
}

TEST_F(TlsLimitTest, AStreamsOwnLimitIsKept) {
  on_host([] {
    Connected both = connected();
    TlsStream& client = both.client;
    TlsStream& server = both.server;
    client.set_timeout(kNow);
    EXPECT_EQ(client.read_line().why(), Why::timed_out);
    server.write_all("x\n");
    EXPECT_EQ(*client.read_line(), "x");
  });
}

}  // namespace
}  // namespace cooperative
