#include "cooperative/io/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
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
#include "cooperative/in_parallel.h"
#include "cooperative/io/internal/file_ring.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/whole_file.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/on_file_host.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FileTest : public testing::OnFileHost {
 protected:
  static std::span<std::byte> bytes_of(std::string& text) { return std::as_writable_bytes(std::span(text)); }

  // No two places of it look the same.
  static std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    std::mt19937 random(7);
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
  }
  void write(std::string_view text, const std::string& name = "file") { write_file_atomically(path(name), text, {.sync = false}); }
  void make_cold() { folder_.make_cold("file"); }
};

// The system would open what is before the zero byte.
TEST_P(FileTest, APathWithAZeroByteIsRefused) {
  on_host([this] {
    write("text");
    const std::string bad = path() + std::string("\0.other", 7);
    const auto expect_refusal = [&](auto act) {
      try {
        act();
        ADD_FAILURE() << "it was taken";
      } catch (const IoError& error) {
        EXPECT_EQ(error.code(), std::errc::invalid_argument);
        EXPECT_THAT(error.what(), HasSubstr("file\\x00.other\": cannot "));
      }
    };
    expect_refusal([&] { File::open(bad); });
    expect_refusal([&] { File::create(bad); });
    expect_refusal([&] { read_file(bad, 100); });
    expect_refusal([&] { write_file_atomically(bad, "x"); });
    EXPECT_EQ(read_file(path(), 100), "text");
    EXPECT_THAT(names(), ElementsAre("file"));
  });
}

// --- at a place --------------------------------------------------------------------------------------------------------------

// shrapnel's test of aio: one byte, and 5 MiB with reads anywhere.
TEST_P(FileTest, WhatIsWrittenIsReadAgain) {
  on_host([this] {
    for (const std::size_t size : {std::size_t{1}, std::size_t{5} << 20}) {
      const std::string text = pattern(size);
      File file = File::open(path(), {.write = true, .create = true, .truncate = true});
      file.write_at(text, 0);
      EXPECT_EQ(file.size(), size);
      for (const bool cold : {false, true}) {
        if (cold) make_cold();
        std::string again(size, '\0');
        EXPECT_TRUE(file.read_at(bytes_of(again), 0));
        EXPECT_EQ(again, text);
      }
    }
  });
}

TEST_P(FileTest, AnyPartOfItIsRead) {
  on_host([this] {
    const std::string text = pattern(1 << 20);
    write(text);
    make_cold();
    const File opened = File::open(path());
    File file = File::open(path());
    std::mt19937 random(1);
    for (int i = 0; i < 100; ++i) {
      const std::size_t offset = random() % text.size();
      const std::size_t size = random() % (text.size() - offset) + 1;
      std::string part(size, '\0');
      ASSERT_TRUE(file.read_at(bytes_of(part), offset));
      ASSERT_EQ(part, text.substr(offset, size));
    }
  });
}

TEST_P(FileTest, TheEndOfTheFileIsAResult) {
  on_host([this] {
    write("12345");
    File file = File::open(path());
    std::string room(10, '\0');
    Received got = file.read_at(bytes_of(room), 3);
    EXPECT_EQ(got.why(), Why::closed);
    EXPECT_EQ(room.substr(0, got.size()), "45");
    got = file.read_at(bytes_of(room), 100);
    EXPECT_EQ(got.why(), Why::closed);
    EXPECT_EQ(got.size(), 0u);
    EXPECT_TRUE(file.read_at(std::span<std::byte>(), 100)) << "nothing was asked for";
  });
}

// The opposite of shrapnel's: sizes are rounded up nowhere, and requests to one file do not collide.
TEST_P(FileTest, ManyFibersWriteTheirPartsAndNothingElse) {
  on_host([this] {
    const std::string text = pattern(64 * 777);
    File file = File::open(path(), {.write = true, .create = true});
    std::vector<Fiber<void>> writers;
    for (std::size_t i = 0; i < 64; ++i) {
      writers.push_back(spawn("writer", [&, i] { file.write_at(std::string_view(text).substr(i * 777, 777), i * 777); }));
    }
    for (auto& writer : writers) writer.join();
    EXPECT_EQ(file.size(), text.size());
    make_cold();
    std::vector<Fiber<void>> readers;
    for (std::size_t i = 0; i < 64; ++i) {
      readers.push_back(spawn("reader", [&, i] {
        std::string part(777, '\0');
        ASSERT_TRUE(file.read_at(bytes_of(part), i * 777));
        EXPECT_EQ(part, text.substr(i * 777, 777));
      }));
    }
    for (auto& reader : readers) reader.join();
  });
}

TEST_P(FileTest, SeveralPlacesAtOnce) {
  on_host([this] {
    File file = File::open(path(), {.write = true, .create = true});
    const std::string_view pieces[]{"one", "", "twotwo", "three"};
    file.write_at(pieces, 2);
    std::string a(4, '\0');
    std::string b(1, '\0');
    std::string c(9, '\0');
    const std::span<std::byte> places[]{bytes_of(a), {}, bytes_of(b), bytes_of(c)};
    EXPECT_TRUE(file.read_at(places, 2));
    EXPECT_EQ(a + "|" + b + "|" + c, "onet|w|otwothree");
  });
}

// Past the system's memory: every one of them waits.
TEST_P(FileTest, MoreFibersReadThanMayBeUnderWay) {
  on_host([this] {
    constexpr std::size_t kBlock = 4096;
    constexpr std::size_t kReaders = internal::io::FileRing::kMaxReads + 50;
    const std::string text = pattern(kReaders * kBlock);
    write(text);
    File file = File::open(path(), {.direct = true});
    std::vector<Fiber<void>> readers;
    for (std::size_t i = 0; i < kReaders; ++i) {
      readers.push_back(spawn("reader", [&, i] {
        const std::unique_ptr<std::byte, void (*)(void*)> room(static_cast<std::byte*>(std::aligned_alloc(kBlock, kBlock)), std::free);
        ASSERT_TRUE(file.read_at({room.get(), kBlock}, i * kBlock));
        EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(room.get()), kBlock), std::string_view(text).substr(i * kBlock, kBlock));
      }));
    }
    for (auto& reader : readers) reader.join();
  });
}

// The disk has its memory until it is done.
TEST_P(FileTest, AReaderThatIsCancelledEndsWhenTheDiskIsDone) {
  on_host([this] {
    constexpr std::size_t kBlock = 4096;
    write(pattern(64 * kBlock));
    File file = File::open(path(), {.direct = true});
    std::vector<Fiber<void>> readers;
    for (std::size_t i = 0; i < 64; ++i) {
      readers.push_back(spawn("reader", [&, i] {
        const std::unique_ptr<std::byte, void (*)(void*)> room(static_cast<std::byte*>(std::aligned_alloc(kBlock, kBlock)), std::free);
        while (true) ASSERT_TRUE(file.read_at({room.get(), kBlock}, i * kBlock));
      }));
    }
    yield();
    for (auto& reader : readers) reader.cancel();
    for (auto& reader : readers) EXPECT_THROW(reader.join(), WasCancelled);
  });
}

TEST_P(FileTest, OthersRunMeanwhile) {
  on_host([this] {
    int turns = 0;
    bool done = false;
    auto other = spawn("other", [&] {
      while (!done) {
        ++turns;
        yield();
      }
    });
    File file = File::open(path(), {.write = true, .create = true});
    file.write_at(pattern(1 << 20), 0);
    file.sync();
    done = true;
    other.join();
    EXPECT_GT(turns, 0);
  });
}

// Where nothing counts as being in memory.
TEST_P(FileTest, OthersRunWhileADiskIsRead) {
  write(pattern(100'000));
  cooperative::testing::World world({.seed = 4});
  world.run([this] {
    int turns = 0;
    bool done = false;
    auto other = spawn("other", [&] {
      while (!done) {
        ++turns;
        yield();
      }
    });
    File file = File::open(path(), absl::Seconds(5));
    const int before = turns;
    std::string text(100'000, ' ');
    EXPECT_EQ(file.read_at(bytes_of(text), 0).size(), text.size());
    EXPECT_GT(turns, before);
    EXPECT_EQ(text, pattern(100'000));
    done = true;
    other.join();
  });
}

// --- as a stream -------------------------------------------------------------------------------------------------------------

TEST_P(FileTest, LinesAreRead) {
  on_host([this] {
    write("one\ntwo\r\n\nlast");
    make_cold();
    File file = File::open(path());
    EXPECT_EQ(*file.read_line(), "one");
    EXPECT_EQ(file.position(), 4u);
    EXPECT_EQ(*file.read_line(), "two");
    EXPECT_EQ(*file.read_line(), "");
    const ReceivedText last = file.read_line();
    EXPECT_EQ(last.why(), Why::ready);
    EXPECT_EQ(*last, "last");
    EXPECT_FALSE(last.has_delimiter());
    EXPECT_EQ(file.read_line().why(), Why::closed);
  });
}

TEST_P(FileTest, ThePositionIsSought) {
  on_host([this] {
    write("0123456789\n");
    File file = File::open(path());
    EXPECT_EQ(*file.read_exact(2), "01");
    EXPECT_EQ(file.position(), 2u);
    file.seek(7);
    EXPECT_EQ(*file.read_line(), "789");
    file.seek(0);
    EXPECT_EQ(*file.read_line(), "0123456789");
    file.seek_to_end();
    EXPECT_EQ(file.position(), 11u);
    EXPECT_EQ(file.read_line().why(), Why::closed);
  });
}

// As if nothing had been looked ahead.
TEST_P(FileTest, WhatIsWrittenGoesWhereReadingStood) {
  on_host([this] {
    write("one\ntwo\nthree\n");
    File file = File::open(path(), {.write = true});
    EXPECT_EQ(*file.read_line(), "one");
    file.write_all("TWO\n");
    EXPECT_EQ(*file.read_line(), "three");
    EXPECT_EQ(read_file(path(), 100), "one\nTWO\nthree\n");
  });
}

TEST_P(FileTest, AppendingGoesToTheEndWhereverThatIs) {
  on_host([this] {
    File first = File::open(path(), {.write = true, .create = true, .append = true});
    File second = File::open(path(), {.write = true, .append = true});
    first.write_all("a");
    second.write_all("b");
    first.write_all("c");
    EXPECT_EQ(read_file(path(), 100), "abc");
    EXPECT_EQ(first.position(), 3u);
  });
}

TEST_P(FileTest, TwoWhoReadGetEachByteOnce) {
  on_host([this] {
    const std::string text = pattern(1 << 20);
    write(text);
    make_cold();
    File file = File::open(path());
    std::size_t total = 0;
    std::uint64_t sum = 0;
    const auto read = [&] {
      std::array<std::byte, 1000> room;
      while (const Received more = file.read_some(room)) {
        total += more.size();
        for (std::size_t i = 0; i < more.size(); ++i) sum += static_cast<std::uint64_t>(room[i]);
      }
    };
    in_parallel(read, read, read);
    std::uint64_t expected = 0;
    for (const char byte : text) expected += static_cast<unsigned char>(byte);
    EXPECT_EQ(total, text.size());
    EXPECT_EQ(sum, expected);
  });
}

TEST_P(FileTest, NothingIsWrittenAfterTheEndOfWriting) {
  on_host([this] {
    File file = File::create(path());
    file.write_all("x");
    file.shut_down_writing();
    EXPECT_THAT(what_of<Closed>([&] { file.write_all("y"); }), HasSubstr("nothing is written after shut_down_writing()"));
  });
}

TEST_P(FileTest, WhatIsWrittenLaterIsWrittenAtOnce) {
  on_host([this] {
    File file = File::create(path());
    for (int i = 0; i < 100; ++i) file.write_later("line\n");
    EXPECT_EQ(file.size(), 0u);
    file.flush();
    EXPECT_EQ(file.size(), 500u);
  });
}

// pycos' socket_afile: what comes through a socket is a file's content, line by line.
TEST_P(FileTest, ASocketsLinesGoIntoAFile) {
  on_host([this] {
    std::string text;
    for (int i = 0; i < 3000; ++i) text += "line " + std::to_string(i * i) + "\n";
    write(text, "from");
    auto [here, there] = Socket::pair();
    auto sender = spawn("sender", [&, &there = there] {
      File from = File::open(path("from"));
      while (auto line = from.read_line()) {
        const std::string_view pieces[]{*line, "\n"};
        there.write_all(pieces);
      }
      there.close();
    });
    File to = File::create(path("to"));
    while (auto line = here.read_line()) to.write_later(*line + "\n");
    to.flush();
    sender.join();
    EXPECT_EQ(read_file(path("to"), text.size()), text);
  });
}

// --- the whole ---------------------------------------------------------------------------------------------------------------

TEST_P(FileTest, ItsSizeIsChanged) {
  on_host([this] {
    File file = File::open(path(), {.write = true, .create = true});
    file.write_all("12345");
    file.truncate(3);
    EXPECT_EQ(file.size(), 3u);
    file.truncate(5);
    EXPECT_EQ(read_file(path(), 5), std::string("123\0\0", 5));
    file.sync();
    file.sync_data();
  });
}

TEST_P(FileTest, OptionsThatContradictEachOtherAreRefused) {
  EXPECT_THAT(what_of<Misuse>([&] { File::open(path(), {.read = false}); }), HasSubstr("neither to read nor to write"));
  EXPECT_THAT(what_of<Misuse>([&] { File::open(path(), {.create = true}); }), HasSubstr("say {.write = true}"));
  EXPECT_THAT(what_of<Misuse>([&] { File::open(path(), {.write = true, .exclusive = true}); }), HasSubstr("say {.create = true}"));
  EXPECT_THAT(names(), IsEmpty());
}

TEST_P(FileTest, OnlyANewOneIsMadeExclusively) {
  on_host([this] {
    const FileOptions options{.write = true, .create = true, .exclusive = true, .permissions = 0640};
    File::open(path(), options);
    struct stat status {};
    ASSERT_EQ(stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0640u);
    EXPECT_THAT(what_of<IoError>([&] { File::open(path(), options); }), HasSubstr("cannot open it: File exists"));
  });
}

TEST_P(FileTest, ErrorsNameTheFile) {
  on_host([this] {
    EXPECT_EQ(what_of<IoError>([&] { File::open(path("none")); }), "file \"" + path("none") + "\": cannot open it: No such file or directory");
    std::string room(1, '\0');
    File file = File::create(path());
    EXPECT_EQ(what_of<IoError>([&] { static_cast<void>(file.read_at(bytes_of(room), 0)); }),
              "file \"" + path() + "\": cannot read from it: Bad file descriptor");
    file.close();
    EXPECT_EQ(what_of<Closed>([&] { static_cast<void>(file.read_at(bytes_of(room), 0)); }), "a file is closed: cannot read from it");
    EXPECT_THAT(what_of<IoError>([] { File::adopt(-1); }), HasSubstr("descriptor -1"));
    File folder = File::open(folder_.path());
    EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(folder.read_at(bytes_of(room), 0)); }), HasSubstr("Is a directory"));
  });
}

// shrapnel's, which asks for EFBIG; the system would kill who does not handle SIGXFSZ.
TEST_P(FileTest, MoreThanTheProcessMayWriteIsAnErrorAndNoSignal) {
  on_host([this] {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{1000, before.rlim_max};
    File file = File::create(path());
    setrlimit(RLIMIT_FSIZE, &small);
    std::error_code code;
    try {
      file.write_at(std::string(1001, 'x'), 0);
    } catch (const IoError& error) {
      code = error.code();
    }
    const std::string truncated = what_of<IoError>([&] { file.truncate(1001); });
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(code, std::errc::file_too_large);
    EXPECT_THAT(truncated, HasSubstr("File too large"));
    EXPECT_EQ(file.size(), 1000u) << "as much as was allowed";
  });
}

TEST_P(FileTest, AFifoOfThatNameHangsNobody) {
  on_host([this] {
    ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
    File file = File::open(path());
    std::string room(1, '\0');
    EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(file.read_at(bytes_of(room), 0)); }), HasSubstr("Illegal seek"));
    file.close();
    EXPECT_THAT(what_of<IoError>([&] { File::open(path(), {.read = false, .write = true}); }), HasSubstr("cannot open it"));
  });
}

TEST_P(FileTest, FilesOfTheKernelsAreRead) {
  on_host([] {
    EXPECT_THAT(read_file("/proc/self/status", 1 << 20), HasSubstr("Name:\t"));
    File file = File::open("/proc/self/status");
    EXPECT_THAT(*file.read_line(), HasSubstr("Name:"));
  });
}

TEST_P(FileTest, ClosingItLetsGoOnWhatIsUnderWay) {
  on_host([this] {
    const std::string text = pattern(1 << 20);
    File file = File::create(path());
    auto writer = spawn("writer", [&] { file.write_at(text, 0); });
    yield();
    file.close();
    writer.join();
    EXPECT_EQ(read_file(path(), text.size()), text);
  });
}

TEST_P(FileTest, ALimitThatHasComeWritesNothing) {
  on_host([this] {
    Signal gone;
    gone.go();
    File file = File::create(path());
    try {
      file.write_at("x", 0, gone);
      // A thread of the pool was quicker than the limit.
      EXPECT_EQ(file.size(), 1u);
    } catch (const WriteTimedout& error) {
      EXPECT_EQ(error.written(), 0u);
      EXPECT_EQ(file.size(), 0u);
    }
  });
}

TEST_P(FileTest, AFiberThatIsCancelledLeavesTheFileWhole) {
  on_host([this] {
    const std::string text = pattern(100'000);
    File file = File::create(path());
    auto writer = spawn("writer", [&] {
      while (true) file.write_all(text);
    });
    yield();
    writer.cancel();
    EXPECT_THROW(writer.join(), WasCancelled);
    EXPECT_EQ(file.position(), file.size()) << "it stands behind what was written";
    file.write_all("end");
    EXPECT_THAT(read_file(path(), 64 << 20), ::testing::EndsWith("end"));
  });
}

// Its fibers end after the pool has been told to stop.
TEST_P(FileTest, AtTheEndOfItsThreadAFiberStillWrites) {
  struct WritesAtItsEnd {
    std::string path;
    ~WritesAtItsEnd() { write_file_atomically(path, "written at the end"); }
  };
  for (const bool is_first : {true, false}) {
    on_host([&] {
      if (!is_first) write("before", "another");
      spawn("writer", [path = path()] {
        const WritesAtItsEnd last{path};
        sleep(absl::InfiniteDuration());
      }).release();
      yield();
    });
    on_host([this] { EXPECT_EQ(read_file(path(), 100), "written at the end"); });
    std::filesystem::remove(path());
  }
}

TEST_P(FileTest, TheSameInATestWorld) {
  cooperative::testing::World world({.seed = 3});
  world.run([this] {
    write_file_atomically(path(), "text\n", {.sync = false});
    EXPECT_EQ(*File::open(path()).read_line(), "text");
  });
}

// --- files as wholes ---------------------------------------------------------------------------------------------------------

TEST_P(FileTest, ACopyIsTheSame) {
  on_host([this] {
    const std::string text = pattern(3 << 20);
    write(text);
    File from = File::open(path());
    File to = File::open(path("copy"), {.write = true, .create = true});
    EXPECT_EQ(*from.read_exact(5), text.substr(0, 5));
    EXPECT_EQ(copy_file(from, to, 1000), 1000u);
    EXPECT_EQ(from.position(), 1005u);
    EXPECT_EQ(to.position(), 1000u);
    EXPECT_EQ(copy_file(from, to), text.size() - 1005);
    EXPECT_EQ(read_file(path("copy"), text.size()), text.substr(5));
  });
}

// A file of the kernel's says that it is empty, and one that appends takes no ranges.
TEST_P(FileTest, ACopyGoesThroughMemoryWhereItMust) {
  on_host([this] {
    File kernels = File::open("/proc/self/cmdline");
    File to = File::create(path("of_kernel"));
    EXPECT_GT(copy_file(kernels, to), 0u);
    write(pattern(200'000));
    File from = File::open(path());
    File appended = File::open(path("of_kernel"), {.write = true, .append = true});
    const std::uint64_t before = appended.size();
    EXPECT_EQ(copy_file(from, appended, 150'000), 150'000u);
    EXPECT_EQ(read_file(path("of_kernel"), 1 << 20).substr(before), pattern(200'000).substr(0, 150'000));
  });
}

INSTANTIATE_TEST_SUITE_P(Ring, FileTest, ::testing::Bool(), [](const auto& ring) { return ring.param ? "with_io_uring" : "without"; });

}  // namespace
}  // namespace cooperative
