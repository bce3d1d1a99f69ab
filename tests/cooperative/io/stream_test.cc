#include "cooperative/io/stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::room_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// The steady clock, which counts who asks it.
class CountingClock final : public mothreads::Clock {
 public:
  CountingClock() : Clock(steady().timers(mothreads::internal::kAccess), steady().watch_timers(mothreads::internal::kAccess), /*is_real=*/false) {}
  mothreads::Instant now() const noexcept override {
    ++looks;
    return steady().now();
  }
  mutable int looks = 0;
};

// One that gives pieces as they were put in, one for each call, and then its end; and takes so many bytes at a time.
class Script final : public Stream {
 public:
  explicit Script(std::deque<std::string> pieces) : pieces_(std::move(pieces)) {}
  Script(Script&&) noexcept = default;
  Script& operator=(Script&&) noexcept = default;

  void close() override {}
  bool is_open() const override { return true; }
  std::string name() const override { return "script"; }

  std::string written;
  std::size_t room = 1000;
  VirtualClock* clock = nullptr;  // each step takes a second of it
  bool is_broken = false;
  std::uintptr_t farthest_from_page = 0;  // of what was to be written

 protected:
  void end_writing(mothreads::Limit) override {}
  Received receive(std::span<std::byte> into, mothreads::Limit) override {
    if (clock != nullptr) clock->advance(absl::Seconds(1));
    if (pieces_.empty()) return {0, Why::closed};
    std::string& piece = pieces_.front();
    const std::size_t size = std::min(into.size(), piece.size());
    std::memcpy(into.data(), piece.data(), size);
    piece.erase(0, size);
    if (piece.empty()) pieces_.pop_front();
    return {size, Why::ready};
  }
  Sent send_pieces(std::span<const std::string_view> pieces, mothreads::Limit) override {
    if (clock != nullptr) clock->advance(absl::Seconds(1));
    if (is_broken) throw IoError(EPIPE, name(), "send");
    std::size_t left = room;
    for (const std::string_view piece : pieces) {
      farthest_from_page = std::max(farthest_from_page, reinterpret_cast<std::uintptr_t>(piece.data()) % 4096);
      written += piece.substr(0, left);
      left -= std::min(left, piece.size());
    }
    return {room - left, Why::ready};
  }

 private:
  std::deque<std::string> pieces_;
};

std::pair<std::string, Why> told(const ReceivedText& text) { return {*text, text.why()}; }

class StreamTest : public testing::IoTest {};

// --- reading -----------------------------------------------------------------------------------------------------------------

// All ways to cut `text` in pieces of `size`.
std::deque<std::string> cut(const std::string& text, std::size_t size) {
  std::deque<std::string> pieces;
  for (std::size_t i = 0; i < text.size(); i += size) pieces.push_back(text.substr(i, size));
  return pieces;
}

TEST_F(StreamTest, DelimitersAreFoundHoweverTheTextIsCut) {
  // The second and the last begin again inside themselves.
  for (const std::string delimiter : {"\n", "aab", "\r\n\r\n", "abcabcabd", "0123456789abcdefghij"}) {
    const std::vector<std::string> texts{"", "aa", "abcabc", std::string(5000, 'x'), "ab", "\r", "0123456789"};
    std::string all;
    for (const auto& text : texts) all += text + delimiter;
    for (const std::size_t size : {1, 2, 3, 7, 4095, 4096, 4097, 100000}) {
      Script script(cut(all, size));
      for (const auto& text : texts) EXPECT_THAT(told(script.read_until(delimiter)), Pair(text, Why::ready)) << delimiter << " by " << size;
      EXPECT_THAT(told(script.read_until(delimiter)), Pair("", Why::closed));
    }
  }
}

TEST_F(StreamTest, LinesEndWithOrWithoutACarriageReturn) {
  Script script({"a\r", "\nb\n\r", "\n\n\rc\r\r\nlast"});
  std::vector<std::string> lines;
  while (const ReceivedText line = script.read_line()) lines.push_back(*line);
  EXPECT_THAT(lines, ElementsAre("a", "b", "", "", "\rc\r", "last"));
}

// The loop of the header's example lost it.
TEST_F(StreamTest, ALastLineWithoutAnEndIsALine) {
  for (const std::size_t size : {1, 2, 100}) {
    Script script(cut("one\ntwo", size));
    const ReceivedText one = script.read_line();
    EXPECT_THAT(told(one), Pair("one", Why::ready));
    EXPECT_TRUE(one.has_delimiter());
    const ReceivedText two = script.read_line();
    EXPECT_THAT(told(two), Pair("two", Why::ready));
    EXPECT_FALSE(two.has_delimiter());
    const ReceivedText end = script.read_line();
    EXPECT_THAT(told(end), Pair("", Why::closed));
    EXPECT_FALSE(end.has_delimiter());
    EXPECT_THAT(told(script.read_line()), Pair("", Why::closed));
  }
  // A carriage return ends nothing by itself.
  Script script({"one\r"});
  EXPECT_THAT(told(script.read_line()), Pair("one\r", Why::ready));
  EXPECT_THAT(told(Script({"one\r\n"}).read_line()), Pair("one", Why::ready));
  EXPECT_THAT(told(Script({"\n"}).read_line()), Pair("", Why::ready));
  EXPECT_THAT(told(Script({}).read_line()), Pair("", Why::closed));
}

TEST_F(StreamTest, ReadUntilIsStrictAboutItsDelimiter) {
  Script script({"one--two"});
  const ReceivedText one = script.read_until("--");
  EXPECT_THAT(told(one), Pair("one", Why::ready));
  EXPECT_TRUE(one.has_delimiter());
  const ReceivedText two = script.read_until("--");
  EXPECT_THAT(told(two), Pair("two", Why::closed));
  EXPECT_FALSE(two.has_delimiter());
  EXPECT_THAT(told(script.read_until("--")), Pair("", Why::closed));
}

TEST_F(StreamTest, ALastLineIsNoLongerThanOthers) {
  for (const std::string text : {"12345", "1234\r", "12345\r", "123456"}) {
    Script script({text});
    script.set_max_line(5);
    if (text.size() <= 5) {
      EXPECT_THAT(told(script.read_line()), Pair(text, Why::ready));
    } else {
      EXPECT_THROW(static_cast<void>(script.read_line()), TooLong) << text;
      EXPECT_EQ(script.buffered(), text);
    }
  }
}

TEST_F(StreamTest, ALineMayBeAsLongAsIsSaidAndNoLonger) {
  for (const std::string end : {"\n", "\r\n"}) {
    for (const std::size_t size : {1, 2, 100}) {
      Script script(cut("12345" + end + "123456" + end, size));
      script.set_max_line(5);
      EXPECT_THAT(told(script.read_line()), Pair("12345", Why::ready));
      EXPECT_THAT(what_of<TooLong>([&] { static_cast<void>(script.read_line()); }), HasSubstr("script: more than 5 bytes"));
      EXPECT_THAT(std::string(script.buffered()), HasSubstr("123456"));  // it is still there
      script.set_max_line(6);
      EXPECT_THAT(told(script.read_line()), Pair("123456", Why::ready));
    }
  }
  Script script({"ab", "--c"});
  script.set_max_line(2);
  EXPECT_THAT(told(script.read_until("--")), Pair("ab", Why::ready));
  Script without_limit({"ab\n"});
  without_limit.set_max_line(SIZE_MAX);
  EXPECT_THAT(told(without_limit.read_line()), Pair("ab", Why::ready));
  EXPECT_EQ(Script({}).max_line(), Stream::kDefaultMaxLine);
}

TEST_F(StreamTest, AnEmptyDelimiterIsRefused) {
  Script script({"a"});
  EXPECT_THROW(static_cast<void>(script.read_until("")), Misuse);
}

TEST_F(StreamTest, ExactlySoMuchOrWhatCameBeforeTheEnd) {
  for (const std::size_t size : {1, 2, 3, 10}) {
    Script script(cut("abcdefgh", size));
    EXPECT_THAT(told(script.read_exact(3)), Pair("abc", Why::ready));
    std::array<char, 3> into{};
    EXPECT_EQ(script.read_exact(room_of(into)).size(), 3u);
    EXPECT_EQ(std::string(into.data(), 3), "def");
    EXPECT_THAT(told(script.read_exact(0)), Pair("", Why::ready));
    EXPECT_THAT(told(script.read_exact(3)), Pair("gh", Why::closed));
    EXPECT_THAT(told(script.read_exact(3)), Pair("", Why::closed));
  }
  Script script({"ab"});
  std::array<char, 3> into{};
  const Received received = script.read_exact(room_of(into));
  EXPECT_EQ(received.size(), 2u);
  EXPECT_EQ(received.why(), Why::closed);
  EXPECT_EQ(into[1], 'b');
}

TEST_F(StreamTest, AllToTheEndUpToSoMuch) {
  EXPECT_THAT(told(Script({"ab", "cd"}).read_all(4)), Pair("abcd", Why::ready));
  EXPECT_THAT(told(Script({}).read_all(0)), Pair("", Why::ready));
  Script script({"ab", "cd", "e"});
  EXPECT_THROW(static_cast<void>(script.read_all(4)), TooLong);
  EXPECT_THAT(told(script.read_all(5)), Pair("abcde", Why::ready));
}

TEST_F(StreamTest, TheWaysToReadMayBeMixed) {
  Script script({"line\nabcdef--", "rest"});
  EXPECT_THAT(told(script.read_line()), Pair("line", Why::ready));
  EXPECT_EQ(script.buffered(), "abcdef--");
  std::array<char, 2> into{};
  EXPECT_EQ(script.read_some(room_of(into)).size(), 2u);
  EXPECT_THAT(told(script.read_exact(2)), Pair("cd", Why::ready));
  EXPECT_THAT(told(script.read_until("--")), Pair("ef", Why::ready));
  EXPECT_TRUE(script.fill());
  script.consume(1);
  EXPECT_THAT(told(script.read_all(100)), Pair("est", Why::ready));
}

TEST_F(StreamTest, ParsersSeeAndTakeWhatIsBuffered) {
  Script script({"ab", "cd"});
  EXPECT_EQ(script.buffered(), "");
  EXPECT_TRUE(script.fill());
  EXPECT_TRUE(script.fill());
  EXPECT_EQ(script.buffered(), "abcd");
  EXPECT_THAT(what_of<Misuse>([&] { script.consume(5); }), HasSubstr("script"));
  script.consume(3);
  EXPECT_EQ(script.buffered(), "d");
  EXPECT_EQ(script.fill().why(), Why::closed);
  EXPECT_EQ(script.buffered(), "d");
}

TEST_F(StreamTest, FillsUntilThereIsEnough) {
  Script script({"a", "b", "c"});
  EXPECT_TRUE(script.fill_until([](std::string_view come) { return come.size() >= 2; }));
  EXPECT_EQ(script.buffered(), "ab");
  EXPECT_TRUE(script.fill_until([](std::string_view) { return true; }));
  EXPECT_EQ(script.buffered(), "ab");
  EXPECT_EQ(script.fill_until([](std::string_view come) { return come.size() >= 9; }).why(), Why::closed);
  EXPECT_EQ(script.buffered(), "abc");
}

TEST_F(StreamTest, OneThatWasMovedFromHoldsNothing) {
  Script script({"line\nmore\n", "and"});
  EXPECT_THAT(told(script.read_line()), Pair("line", Why::ready));
  Script taker = std::move(script);
  EXPECT_EQ(script.buffered(), "");  // NOLINT: that is the question
  EXPECT_EQ(taker.buffered(), "more\n");
  script = std::move(taker);
  EXPECT_THAT(told(script.read_line()), Pair("more", Why::ready));
  EXPECT_THAT(told(script.read_all(9)), Pair("and", Why::ready));
}

// As cooperative/internal/stack/page_memory.h says.
TEST_F(StreamTest, MuchThatIsReadAheadBeginsAtAPage) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    for (const std::size_t size : {20'000, 60'000, 100'000}) {
      ends.second.write_all(std::string(size, 'x'));
      while (here.buffered().size() < size) EXPECT_TRUE(here.fill());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(here.buffered().data()) % 4096, 0u) << size;
      here.consume(size);
      EXPECT_EQ(here.fill(absl::ZeroDuration()).why(), Why::timed_out);  // and holds nothing
    }
  });
}

TEST_F(StreamTest, PartsOfAFileThatIsSentBeginAtAPage) {
  const mothreads::testing::ScratchFolder folder;
  const std::string text(300'000, 'x');
  folder.write("file", text);
  const int file = ::open(folder.path("file").c_str(), O_RDONLY | O_CLOEXEC);
  Script script({});
  script.room = 1'000'000;
  EXPECT_EQ(script.send_file(file, 0, text.size()), text.size());
  EXPECT_TRUE(script.written == text);
  EXPECT_EQ(script.farthest_from_page, 0u);
  ::close(file);
}

TEST_F(StreamTest, ALineIsFoundAfterAnotherFiberHasTakenItsBegin) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto liner = spawn("liner", [&] { return *here.read_line(); });
    there.write_all("a long begin of a line");
    yield_until_idle();
    EXPECT_EQ(*here.read_exact(10), "a long beg");
    EXPECT_EQ(*here.read_exact(12), "in of a line");
    there.write_all("x\n");
    EXPECT_EQ(liner.join(), "x");
  });
}

// --- limits ------------------------------------------------------------------------------------------------------------------

TEST_F(StreamTest, ALimitLosesNothing) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const auto expect_timeout = [&](auto read) {
      auto reader = spawn("reader", [&] { return read(here, Until(absl::Seconds(1))).why(); });
      yield_until_idle();
      clock.advance(absl::Seconds(1));
      EXPECT_EQ(reader.join(), Why::timed_out);
    };
    there.write_all("begin");
    expect_timeout([](Socket& socket, const Until& until) { return socket.read_line(until); });
    expect_timeout([](Socket& socket, const Until& until) { return socket.read_until("--", until); });
    expect_timeout([](Socket& socket, const Until& until) { return socket.read_exact(9, until); });
    expect_timeout([](Socket& socket, const Until& until) { return socket.read_all(100, until); });
    expect_timeout([](Socket& socket, const Until& until) { return socket.fill(until); });
    there.write_all(" and end\n");
    EXPECT_EQ(*here.read_line(), "begin and end");
    there.write_all("xyz");
    std::array<char, 5> into{};
    auto reader = spawn("reader", [&] { return here.read_exact(room_of(into), absl::Seconds(1)).size(); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(reader.join(), 3u);
    EXPECT_EQ(into[2], 'z');
  });
}

TEST_F(StreamTest, AStopIsToldApartFromTime) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const Signal stop;
    auto reader = spawn("reader", [&] { return here.read_line(stop).why(); });
    there.write_all("begin");
    yield_until_idle();
    stop.go();
    EXPECT_EQ(reader.join(), Why::stopped);
    EXPECT_EQ(here.buffered(), "begin");
  });
}

TEST_F(StreamTest, ALimitIsOfTheWholeCallAlsoWhereThereIsAlwaysMore) {
  on_virtual_time([](VirtualClock& clock) {
    const auto slow = [&] {
      Script script({"a", "b", "c", "d", "e", "f", "g", "h", "i\n"});
      script.clock = &clock;
      script.room = 1;
      return script;
    };
    const absl::Duration limit = absl::Seconds(3);
    std::array<char, 9> into{};
    Script script = slow();
    EXPECT_EQ(script.read_exact(room_of(into), limit).size(), 3u);
    script = slow();
    EXPECT_EQ(script.read_exact(9, limit).why(), Why::timed_out);
    EXPECT_EQ(script.buffered(), "abc");
    EXPECT_EQ(script.read_line(limit).why(), Why::timed_out);
    EXPECT_EQ(script.buffered(), "abcdef");
    EXPECT_EQ(script.read_all(100, absl::Seconds(2)).why(), Why::timed_out);
    EXPECT_EQ(script.buffered(), "abcdefgh");
    EXPECT_THAT(told(script.read_line(limit)), Pair("abcdefghi", Why::ready));
    script = slow();
    try {
      script.write_all("abcdef", limit);
      ADD_FAILURE() << "all was written";
    } catch (const WriteTimedout& timed_out) {
      EXPECT_EQ(timed_out.written(), 3u);
      EXPECT_EQ(script.written, "abc");
      EXPECT_THAT(timed_out.what(), HasSubstr("script: timed out after 3 of 6 bytes"));
    }
    const Signal stop;
    stop.go();
    EXPECT_THAT(what_of<WriteTimedout>([&] { script.write_all("xy", stop); }), HasSubstr("stopped after 1 of 2"));
    EXPECT_EQ(script.fill_until([](std::string_view) { return false; }, stop).why(), Why::stopped);
  });
}

TEST_F(StreamTest, ALimitOnWhatIsThereCostsNoLookAtTheClock) {
  on_thread([] {
    CountingClock clock;
    const mothreads::UseClock use(clock);
    Script script({"one\ntwo\n0123"});
    EXPECT_THAT(told(script.read_line(absl::Seconds(3))), Pair("one", Why::ready));
    EXPECT_EQ(clock.looks, 1);  // one call, one start
    EXPECT_THAT(told(script.read_line(absl::Seconds(3))), Pair("two", Why::ready));
    EXPECT_THAT(told(script.read_exact(2, absl::Seconds(3))), Pair("01", Why::ready));
    EXPECT_EQ(script.fill_until([](std::string_view there) { return there == "23"; }, absl::Seconds(3)).why(), Why::ready);
    EXPECT_THAT(told(script.read_exact(2, absl::Seconds(3))), Pair("23", Why::ready));
    EXPECT_EQ(clock.looks, 1);
  });
}

TEST_F(StreamTest, ASlowButMovingTransferTimesOut) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    auto feeder = spawn("feeder", [&] {
      while (true) {
        there.write_all("x");
        clock.advance(absl::Seconds(1));
        yield();
      }
    });
    EXPECT_EQ(here.read_exact(100'000, absl::Seconds(10)).why(), Why::timed_out);
    EXPECT_THAT(here.buffered().size(), ::testing::AllOf(::testing::Ge(9u), ::testing::Le(12u)));
    feeder.cancel();
  });
}

TEST_F(StreamTest, ZeroTakesAllThatIsThere) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::string much(20'000, 'x');  // several steps
    there.write_all(much + "\n");
    here.set_max_line(much.size());
    EXPECT_THAT(told(here.read_line(absl::ZeroDuration())), Pair(much, Why::ready));
    EXPECT_EQ(here.read_line(absl::ZeroDuration()).why(), Why::timed_out);
    there.write_all(much);
    EXPECT_EQ(here.read_exact(much.size(), absl::ZeroDuration())->size(), much.size());
  });
}

TEST_F(StreamTest, ACallWithoutALimitHasTheObjects) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    EXPECT_EQ(here.timeout(), std::nullopt);
    here.set_timeout(absl::Seconds(2));
    EXPECT_EQ(here.timeout(), absl::Seconds(2));
    auto reader = spawn("reader", [&] { return here.read_line().why(); });
    auto patient = spawn("patient", [&] { return here.read_line(absl::Seconds(5)).why(); });
    yield_until_idle();
    clock.advance(absl::Seconds(2));
    EXPECT_EQ(reader.join(), Why::timed_out);
    EXPECT_TRUE(patient.is_alive());
    clock.advance(absl::Seconds(3));
    EXPECT_EQ(patient.join(), Why::timed_out);
    here.set_timeout(std::nullopt);
    auto endless = spawn("endless", [&] { return here.read_line().why(); });
    yield_until_idle();
    clock.advance(absl::Hours(1));
    yield_until_idle();
    there.write_all("x\n");
    EXPECT_EQ(endless.join(), Why::ready);
  });
}

// --- writing -----------------------------------------------------------------------------------------------------------------

TEST_F(StreamTest, AllIsWrittenHoweverLittleGoesAtOnce) {
  for (const std::size_t room : {1, 2, 3, 1000}) {
    Script script({});
    script.room = room;
    const std::array<std::string_view, 6> pieces{"", "ab", "", "cdef", "g", ""};
    script.write_all(pieces);
    script.write_all("h");
    script.write_all("");
    script.write_all(std::span<const std::string_view>());
    script.write_all(std::as_bytes(std::span("ij", 2)));
    EXPECT_EQ(script.written, "abcdefghij");
  }
  Script script({});
  script.room = 2;
  EXPECT_EQ(script.write_some("abc").size(), 2u);
  EXPECT_EQ(script.write_some("").size(), 0u);
}

TEST_F(StreamTest, AWriteThatTimesOutSaysHowFarItCame) {
  on_virtual_time([](VirtualClock& clock) {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const std::string much(1 << 20, 'x');
    std::size_t written = 0;
    auto writer = spawn("writer", [&] {
      try {
        here.write_all(much, absl::Seconds(1));
      } catch (const WriteTimedout& timed_out) {
        written = timed_out.written();
      }
    });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    writer.join();
    EXPECT_GT(written, 0u);
    EXPECT_EQ(written, there.readable_bytes());
  });
}

TEST_F(StreamTest, WhatIsWrittenLaterGoesInOrderWithTheRest) {
  Script script({});
  script.write_later("a");
  script.write_later("b");
  EXPECT_EQ(script.written, "");
  script.write_all("c");
  EXPECT_EQ(script.written, "abc");
  script.write_later("d");
  EXPECT_EQ(script.write_some("e").size(), 1u);
  script.write_later("f");
  script.shut_down_writing();
  EXPECT_EQ(script.written, "abcdef");
  script.write_later(std::string(Stream::kMaxLater, 'x'));
  EXPECT_EQ(script.written, "abcdef");
  script.write_later("y");  // one too many
  EXPECT_EQ(script.written.size(), 6 + Stream::kMaxLater);
  script.flush();
  EXPECT_EQ(script.written.back(), 'y');
}

TEST_F(StreamTest, MuchGoesAtOnceBehindWhatWasKept) {
  Script script({});
  script.room = 100'000'000;
  script.write_later("a");
  const std::string much(10 * Stream::kMaxLater, 'x');
  script.write_later(much);
  EXPECT_EQ(script.written, "a" + much);
  script.write_later(std::string(Stream::kMaxLater, 'y'));
  EXPECT_EQ(script.written.back(), 'x');
  script.write_later("");
  script.flush();
  EXPECT_EQ(script.written, "a" + much + std::string(Stream::kMaxLater, 'y'));
}

TEST_F(StreamTest, AFlushThatFailsKeepsNothing) {
  Script script({});
  script.is_broken = true;
  script.write_later("lost");
  EXPECT_THROW(script.flush(), IoError);
  script.is_broken = false;
  script.write_all("then");
  EXPECT_EQ(script.written, "then");
}

TEST_F(StreamTest, AFlushThatTimesOutKeepsTheRest) {
  on_virtual_time([](VirtualClock& clock) {
    Script script({});
    script.clock = &clock;
    script.room = 1;
    script.write_later("abcdef");
    try {
      script.flush(absl::Seconds(2));
      ADD_FAILURE() << "all was written";
    } catch (const WriteTimedout& timed_out) {
      EXPECT_EQ(timed_out.written(), 2u);
    }
    EXPECT_THROW(script.write_all("g", absl::Seconds(2)), WriteTimedout);
    script.write_later("h");
    script.flush();
    EXPECT_EQ(script.written, "abcdefh");
  });
}

TEST_F(StreamTest, HalfAnEndIsTheOtherSidesEnd) {
  on_thread([] {
    auto ends = testing::tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    here.write_all("question");
    here.shut_down_writing();
    EXPECT_THAT(told(there.read_all(100)), Pair("question", Why::ready));
    there.write_all("answer");
    there.close();
    EXPECT_THAT(told(here.read_all(100)), Pair("answer", Why::ready));
  });
}

}  // namespace
}  // namespace cooperative
