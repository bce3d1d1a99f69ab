#include "cooperative/testing/memory_stream.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/io_error.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::Why;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::Le;

constexpr absl::Duration kAtOnce = absl::ZeroDuration();

// What is there now, and how reading ended: its reason, or its error.
std::string read(Stream& stream, const Until& until = kAtOnce) {
  std::array<char, 100> room;
  try {
    const Received got = stream.read_some(std::as_writable_bytes(std::span(room)), until);
    return got ? std::string(room.data(), got.size()) : std::string(to_string(got.why()));
  } catch (const IoError& error) {
    return error.code() == std::errc::connection_reset ? "reset" : error.what();
  }
}

// How writing ended.
std::string write(Stream& stream, std::string_view text) {
  try {
    stream.write_all(text);
    return "written";
  } catch (const IoError& error) {
    if (error.code() == std::errc::broken_pipe) return "broken pipe";
    return error.code() == std::errc::connection_reset ? "reset" : error.what();
  }
}

// --- time and order -----------------------------------------------------------------------------------------------------------

TEST(MemoryStreamTest, WhatOneSideWritesTheOtherReads) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair();
    EXPECT_EQ(write(link.first, "to two"), "written");
    EXPECT_EQ(write(link.second, "to one\n"), "written");
    EXPECT_EQ(read(link.second), "to two");
    EXPECT_EQ(*link.first.read_line(), "to one");
    EXPECT_EQ(read(link.first), "timed out");
    EXPECT_EQ(link.first.name(), "memory, side 1");
    EXPECT_EQ(link.second.name(), "memory, side 2");
  });
  EXPECT_EQ(world.elapsed(), absl::ZeroDuration());
}

TEST(MemoryStreamTest, EachWriteArrivesAfterTheLatency) {
  World world;
  world.run([&] {
    auto link = MemoryStream::pair({.latency = absl::Milliseconds(20)});
    link.first.write_all("a");
    sleep(absl::Milliseconds(5));
    link.first.write_all("b");
    link.first.shut_down_writing();
    EXPECT_EQ(read(link.second), "timed out");
    EXPECT_EQ(read(link.second, absl::Milliseconds(10)), "timed out");
    EXPECT_EQ(world.elapsed(), absl::Milliseconds(15));
    EXPECT_EQ(read(link.second, absl::Seconds(1)), "a");
    EXPECT_EQ(world.elapsed(), absl::Milliseconds(20));
    EXPECT_EQ(read(link.second, absl::Seconds(1)), "b");
    EXPECT_EQ(world.elapsed(), absl::Milliseconds(25));
    EXPECT_EQ(read(link.second), "closed");
  });
}

TEST(MemoryStreamTest, ChanceAddsToTheLatencyAndKeepsTheOrder) {
  for_each_seed(50, [](World& world) {
    world.run([&] {
      auto link = MemoryStream::pair({.latency = absl::Milliseconds(10), .latency_spread = absl::Milliseconds(10)});
      for (const char* text : {"a", "b", "c"}) link.first.write_all(text);
      EXPECT_EQ(*link.second.read_exact(3), "abc");
      EXPECT_THAT(world.elapsed(), AllOf(Ge(absl::Milliseconds(10)), Le(absl::Milliseconds(20))));
    });
  });
}

// How a text is cut into pieces.
std::vector<std::size_t> pieces(World& world, std::optional<std::uint64_t> seed = std::nullopt) {
  std::vector<std::size_t> sizes;
  world.run([&] {
    auto link = MemoryStream::pair({.pieces = Pieces::by_chance, .seed = seed});
    const std::string text(90, 'x');
    link.first.write_all(text);
    std::size_t size = 0;
    while (size < text.size()) {
      sizes.push_back(read(link.second).size());
      size += sizes.back();
    }
    EXPECT_EQ(size, text.size());
  });
  return sizes;
}

TEST(MemoryStreamTest, PiecesFollowFromTheSeed) {
  World one({.seed = 1});
  World same({.seed = 1});
  World other({.seed = 2});
  const auto first = pieces(one);
  EXPECT_THAT(first.size(), Gt(2U));
  EXPECT_EQ(pieces(same), first);
  EXPECT_NE(pieces(other), first);
  EXPECT_NE(pieces(one), first);  // the draws go on
  EXPECT_EQ(pieces(one, 7), pieces(other, 7));
}

TEST(MemoryStreamTest, AWriterWaitsForRoom) {
  World world;
  world.run([&] {
    auto link = MemoryStream::pair({.room = 4});
    try {
      link.first.write_all("abcdef", absl::Seconds(1));
      ADD_FAILURE() << "there was room";
    } catch (const WriteTimedout& error) {
      EXPECT_EQ(error.written(), 4U);
    }
    EXPECT_EQ(world.elapsed(), absl::Seconds(1));
    auto writer = spawn("writer", [&] { link.first.write_all("efghijkl"); });
    EXPECT_EQ(*link.second.read_exact(12), "abcdefghijkl");
    writer.join();
  });
}

TEST(MemoryStreamTest, ASignalEndsAWaitAndLosesNothing) {
  World world;
  world.run([&] {
    auto link = MemoryStream::pair({.latency = absl::Seconds(1)});
    link.first.write_all("late");
    Signal please_stop;
    auto stopper = Thread::run("stopper", [&](Signal) { please_stop.go(); });
    EXPECT_EQ(read(link.second, please_stop), "stopped");
    EXPECT_EQ(read(link.second, absl::Hours(1)), "late");
    stopper.join();
  });
}

// --- ends ---------------------------------------------------------------------------------------------------------------------

TEST(MemoryStreamTest, AfterAShutDownOfWritingTheOtherDirectionGoesOn) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair();
    link.first.write_all("last");
    link.first.shut_down_writing();
    EXPECT_EQ(write(link.first, "more"), "broken pipe");
    EXPECT_EQ(read(link.second), "last");
    EXPECT_EQ(read(link.second), "closed");
    EXPECT_EQ(write(link.second, "answer"), "written");
    EXPECT_EQ(read(link.first), "answer");
  });
}

TEST(MemoryStreamTest, AClosedSideThatHadReadEverythingEndsTheStream) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair();
    link.first.write_all("last");
    link.first.close();
    link.first.close();
    EXPECT_FALSE(link.first.is_open());
    EXPECT_TRUE(link.second.is_open());
    EXPECT_EQ(write(link.second, "answer"), "broken pipe");
    EXPECT_EQ(read(link.second), "last");
    EXPECT_EQ(read(link.second), "closed");
    EXPECT_THROW(static_cast<void>(link.first.read_line()), Closed);
    EXPECT_THROW(link.first.write_all("x"), Closed);
  });
}

TEST(MemoryStreamTest, AClosedSideThatHadBytesLeftResetsTheStream) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair({.latency = absl::Milliseconds(1)});
    link.second.write_all("never read");
    link.first.write_all("413");
    link.first.close();
    EXPECT_EQ(read(link.second, absl::Seconds(1)), "413");
    EXPECT_EQ(read(link.second, absl::Seconds(1)), "reset");
  });
}

TEST(MemoryStreamTest, ACutEndsBothSidesAfterWhatWasOnItsWay) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair({.latency = absl::Milliseconds(1)});
    link.first.write_all("last");
    link.first.cut();
    EXPECT_EQ(write(link.first, "more"), "reset");
    EXPECT_EQ(write(link.second, "more"), "reset");
    EXPECT_EQ(read(link.first), "reset");
    EXPECT_EQ(read(link.second, absl::Seconds(1)), "last");
    EXPECT_EQ(read(link.second), "reset");
    EXPECT_TRUE(link.first.is_open());
  });
}

TEST(MemoryStreamTest, ACutMayComeBehindEachByte) {
  for (std::uint64_t cut = 0; cut <= 9; ++cut) {
    World world;
    world.run([&] {
      auto link = MemoryStream::pair({.cut_after = cut});
      const std::string expected = std::string("question!").substr(0, cut);
      EXPECT_EQ(write(link.first, "question!"), cut == 9 ? "written" : "reset") << cut;
      if (cut > 0) {
        EXPECT_EQ(read(link.second), expected);
      }
      EXPECT_EQ(read(link.second), "reset") << cut;
    });
  }
}

TEST(MemoryStreamTest, ACutCountsWhatBothSidesHaveWritten) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair({.cut_after = 5});
    EXPECT_EQ(write(link.first, "abc"), "written");
    EXPECT_EQ(write(link.second, "def"), "reset");
    EXPECT_EQ(read(link.first), "de");
    EXPECT_EQ(read(link.second), "abc");
  });
}

TEST(MemoryStreamTest, WhoWaitsLearnsOfEachEnd) {
  for (const char* end : {"close", "shut down", "destroy", "cut"}) {
    for_each_seed(20, [&](World& world) {
      world.run([&] {
        auto link = MemoryStream::pair();
        std::optional<MemoryStream> ending(std::move(link.first));
        auto reader = Thread::run("reader", [&](Signal) { return read(link.second, {}); });
        sleep(absl::Milliseconds(world.random(2)));
        if (std::string_view(end) == "close") ending->close();
        if (std::string_view(end) == "shut down") ending->shut_down_writing();
        if (std::string_view(end) == "destroy") ending.reset();
        if (std::string_view(end) == "cut") ending->cut();
        EXPECT_EQ(reader.join(), std::string_view(end) == "cut" ? "reset" : "closed") << end;
      });
    });
  }
}

TEST(MemoryStreamTest, WhoWaitsForRoomLearnsOfTheEnd) {
  for_each_seed(20, [](World& world) {
    world.run([] {
      auto link = MemoryStream::pair({.room = 1});
      auto writer = Thread::run("writer", [&](Signal) { return write(link.first, "ab"); });
      sleep(absl::Milliseconds(1));
      link.second.close();
      EXPECT_EQ(writer.join(), "broken pipe");
    });
  });
}

TEST(MemoryStreamTest, AStreamThatWasClosedMayGoWhileItsFibersWait) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair();
    std::optional<MemoryStream> own(std::move(link.first));
    auto reader = spawn("reader", [&] { EXPECT_THROW(static_cast<void>(own->read_line()), Closed); });
    yield();
    own->close();
    own.reset();
    reader.join();
  });
}

TEST(MemoryStreamTest, ACancelledReaderLosesNothing) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair({.latency = absl::Seconds(1)});
    link.first.write_all("kept");
    auto reader = spawn("reader", [&] { static_cast<void>(read(link.second, {})); });
    yield();
    EXPECT_THROW(reader.stop().join(), WasCancelled);
    EXPECT_EQ(read(link.second, absl::Hours(1)), "kept");
  });
}

// --- use ----------------------------------------------------------------------------------------------------------------------

TEST(MemoryStreamTest, ItMayBeMoved) {
  World world;
  world.run([] {
    auto link = MemoryStream::pair();
    auto replaced = MemoryStream::pair();
    link.first.write_all("one\ntwo\n");
    EXPECT_EQ(*link.second.read_line(), "one");  // the second line is read ahead
    MemoryStream moved(std::move(link.second));
    EXPECT_EQ(*moved.read_line(), "two");
    EXPECT_FALSE(link.second.is_open());  // NOLINT: what was moved from says so
    link.second.close();
    EXPECT_THROW(static_cast<void>(link.second.read_line()), Misuse);
    replaced.first = std::move(moved);
    EXPECT_EQ(read(replaced.second), "closed");
    EXPECT_TRUE(replaced.first.is_open());
  });
}

TEST(MemoryStreamTest, OptionsThatMakeNoSenseAreMisuse) {
  EXPECT_THROW(static_cast<void>(MemoryStream::pair({.latency = -absl::Nanoseconds(1)})), Misuse);
  EXPECT_THROW(static_cast<void>(MemoryStream::pair({.latency = absl::InfiniteDuration()})), Misuse);
  EXPECT_THROW(static_cast<void>(MemoryStream::pair({.latency_spread = -absl::Nanoseconds(1)})), Misuse);
  EXPECT_THROW(static_cast<void>(MemoryStream::pair({.room = 0})), Misuse);
}

TEST(MemoryStreamTest, OutsideOfAWorldItWorksBetweenThreads) {
  auto link = MemoryStream::pair({.pieces = Pieces::by_chance, .room = 3});
  auto echo = Thread::run("echo", [&](Signal) {
    while (auto line = link.second.read_line()) link.second.write_all(*line + "!\n");
  });
  for (int i = 0; i < 100; ++i) {
    link.first.write_all("hello\n");
    EXPECT_EQ(*link.first.read_line(), "hello!");
  }
  link.first.close();
  echo.join();
}

TEST(MemoryStreamTest, ThreadsThatTalkMeetUnderEverySeed) {
  for_each_seed(100, [](World& world) {
    world.run([] {
      auto link = MemoryStream::pair({.latency_spread = absl::Milliseconds(3), .pieces = Pieces::by_chance, .room = 5});
      auto echo = Thread::run("echo", [&](Signal) {
        while (auto line = link.second.read_line()) link.second.write_all(*line + "\n");
        link.second.shut_down_writing();
      });
      auto writer = spawn("writer", [&] {
        for (int i = 0; i < 10; ++i) link.first.write_all("line " + std::to_string(i) + "\n");
        link.first.shut_down_writing();
      });
      for (int i = 0; i < 10; ++i) EXPECT_EQ(*link.first.read_line(), "line " + std::to_string(i));
      EXPECT_EQ(link.first.read_line().why(), Why::closed);
      writer.join();
      echo.join();
    });
  });
}

}  // namespace
}  // namespace cooperative::testing
