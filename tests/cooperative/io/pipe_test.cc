#include "cooperative/io/pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/wait_for.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/nothing_left_open.h"
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

class PipeTest : public testing::NothingLeftOpen {
 protected:
  static bool blocks(int descriptor) { return (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0; }

  Pipe reader_;
  Pipe writer_;

  void SetUp() override {
    NothingLeftOpen::SetUp();
    PipeEnds ends = make_pipe();
    reader_ = std::move(ends.reader);
    writer_ = std::move(ends.writer);
  }
  void TearDown() override {
    reader_.close();
    writer_.close();
    NothingLeftOpen::TearDown();
  }
};

TEST_F(PipeTest, LinesGoThrough) {
  writer_.write_all("one\ntwo\r\nrest");
  writer_.close();
  EXPECT_EQ(*reader_.read_line(), "one");
  EXPECT_EQ(*reader_.read_line(), "two");
  const ReceivedText rest = reader_.read_line();
  EXPECT_EQ(rest.why(), Why::ready);
  EXPECT_EQ(*rest, "rest");
  EXPECT_FALSE(rest.has_delimiter());
  EXPECT_EQ(reader_.read_line().why(), Why::closed);
}

TEST_F(PipeTest, AReaderWaitsForWhoWrites) {
  std::vector<std::string> order;
  auto reader = spawn("reader", [&] {
    order.push_back("reads");
    order.push_back(*reader_.read_line());
  });
  yield();
  order.push_back("writes");
  writer_.write_all("hello\n");
  reader.join();
  EXPECT_THAT(order, ElementsAre("reads", "writes", "hello"));
}

// The kernel tells of it by a hang-up alone, with nothing to be read.
TEST_F(PipeTest, AReaderThatWaitsLearnsOfTheEnd) {
  auto reader = spawn("reader", [&] { return reader_.read_line().why(); });
  yield();
  writer_.close();
  EXPECT_EQ(reader.join(), Why::closed);
}

TEST_F(PipeTest, AWriterThatWaitsLearnsThatNobodyReads) {
  auto writer = spawn("writer", [&] {
    return what_of<IoError>([&] { writer_.write_all(std::string(1 << 20, 'x')); });
  });
  yield();
  reader_.close();
  EXPECT_THAT(writer.join(), HasSubstr("cannot write to it: Broken pipe"));
}

TEST_F(PipeTest, NobodyWhoReadsIsAnErrorAndNoSignal) {
  reader_.close();
  try {
    writer_.write_all("x");
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::broken_pipe);
  }
}

TEST_F(PipeTest, MoreThanItHoldsGoesThrough) {
  std::string text(3 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  auto writer = spawn("writer", [&] {
    writer_.write_all(text);
    writer_.close();
  });
  EXPECT_EQ(*reader_.read_all(text.size()), text);
  writer.join();
}

TEST_F(PipeTest, ALimitLosesNoneOfALine) {
  writer_.write_all("half a ");
  EXPECT_EQ(reader_.read_line(absl::ZeroDuration()).why(), Why::timed_out);
  writer_.write_all("line\n");
  EXPECT_EQ(*reader_.read_line(), "half a line");
}

TEST_F(PipeTest, AReaderThatIsCancelledTakesNothingWithIt) {
  auto first = spawn("first", [&] { static_cast<void>(reader_.read_line()); });
  yield();
  writer_.write_all("x");
  yield();
  yield();
  first.cancel();
  EXPECT_THROW(first.join(), WasCancelled);
  writer_.write_all("y\n");
  EXPECT_EQ(*reader_.read_line(), "xy");
}

TEST_F(PipeTest, ALimitOfAWriteTellsHowMuchWasWritten) {
  const std::string text(1 << 20, 'x');
  std::size_t written = 0;
  try {
    writer_.write_all(text, absl::ZeroDuration());
    FAIL();
  } catch (const WriteTimedout& error) {
    written = error.written();
  }
  EXPECT_GT(written, 0u);
  EXPECT_LT(written, text.size());
  writer_.close();
  EXPECT_EQ(reader_.read_all(text.size())->size(), written);
}

TEST_F(PipeTest, ClosingItWakesWhoReads) {
  auto reader = spawn("reader", [&] { return what_of<Closed>([&] { static_cast<void>(reader_.read_line()); }); });
  yield();
  reader_.close();
  EXPECT_THAT(reader.join(), HasSubstr("a pipe was closed while a fiber waited"));
  EXPECT_THAT(what_of<Closed>([&] { static_cast<void>(reader_.read_line()); }), HasSubstr("a pipe is closed"));
}

TEST_F(PipeTest, ReadersHaveTheirTurnsInTheOrderTheyCame) {
  std::vector<std::string> order;
  std::vector<Fiber<void>> readers;
  for (const char* name : {"a", "b", "c"}) {
    readers.push_back(spawn(name, [&, name] {
      std::array<std::byte, 1> room;
      ASSERT_TRUE(reader_.read_some(room));
      order.push_back(name + std::string(1, static_cast<char>(room[0])));
    }));
  }
  yield();
  writer_.write_all("123");
  for (auto& reader : readers) reader.join();
  EXPECT_THAT(order, ElementsAre("a1", "b2", "c3"));
}

TEST_F(PipeTest, TwoCanBeWaitedForAtOnce) {
  auto [other, others_writer] = make_pipe();
  Readable first(reader_.descriptor());
  Readable second(other.descriptor());
  auto waiter = spawn("waiter", [&] { return wait_for_any(std::tie(first, second)).index(); });
  yield();
  others_writer.write_all("x");
  EXPECT_EQ(waiter.join(), 1u);
  EXPECT_EQ(*other.read_exact(1), "x");
}

TEST_F(PipeTest, OnAnotherThreadItIsMisuse) {
  EXPECT_EQ(reader_.read_line(absl::ZeroDuration()).why(), Why::timed_out);
  const std::string what = Thread::run("other", [&](Signal) {
                             return what_of<Misuse>([&] { static_cast<void>(reader_.read_line()); });
                           }).join();
  EXPECT_THAT(what, HasSubstr("a pipe was used on another thread"));
}

TEST_F(PipeTest, AnotherThreadMayAdoptIt) {
  EXPECT_EQ(reader_.read_line(absl::ZeroDuration()).why(), Why::timed_out);
  const int descriptor = reader_.release();
  writer_.write_all("hello\n");
  EXPECT_EQ(Thread::run("other", [&](Signal) { return *Pipe::adopt(descriptor).read_line(); }).join(), "hello");
}

// --- what others have, too ---------------------------------------------------------------------------------------------------

// Another descriptor of what the writer has, as another process would have it.
class AdoptedPipeTest : public PipeTest {
 protected:
  void SetUp() override {
    PipeTest::SetUp();
    descriptor_ = writer_.release();
    others_ = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  }
  void TearDown() override {
    ::close(others_);
    PipeTest::TearDown();
  }
  int descriptor_ = -1;
  int others_ = -1;
};

TEST_F(AdoptedPipeTest, ItBlocksAgainForOthersWhenItIsClosed) {
  EXPECT_TRUE(blocks(others_));
  Pipe adopted = Pipe::adopt(descriptor_);
  EXPECT_FALSE(blocks(others_));
  adopted.close();
  EXPECT_TRUE(blocks(others_));
}

TEST_F(AdoptedPipeTest, ItBlocksAgainForOthersWhenItIsDestroyedOrReplaced) {
  { const Pipe adopted = Pipe::adopt(descriptor_); }
  EXPECT_TRUE(blocks(others_));
  Pipe adopted = Pipe::adopt(fcntl(others_, F_DUPFD_CLOEXEC, 0));
  EXPECT_FALSE(blocks(others_));
  adopted = Pipe();
  EXPECT_TRUE(blocks(others_));
}

TEST_F(AdoptedPipeTest, ItBlocksAgainWhenItIsReleased) {
  Pipe adopted = Pipe::adopt(descriptor_);
  EXPECT_EQ(adopted.release(), descriptor_);
  EXPECT_TRUE(blocks(descriptor_));
  ::close(descriptor_);
}

TEST_F(PipeTest, ReleaseRefusesToLoseWhatWasReadAhead) {
  writer_.write_all("a\nb");
  EXPECT_EQ(*reader_.read_line(), "a");
  EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(reader_.release()); }), HasSubstr("would lose 1 bytes"));
  EXPECT_TRUE(reader_.is_open());
}

TEST_F(PipeTest, WhatIsNoDescriptorCannotBeAdopted) {
  EXPECT_THAT(what_of<IoError>([] { Pipe::adopt(-1); }), HasSubstr("descriptor -1: cannot make it non-blocking"));
}

TEST_F(PipeTest, ClosingOursLeavesTheStandardStreamsOpen) {
  const bool blocked = blocks(STDERR_FILENO);
  Pipe output = Pipe::standard_output();
  Pipe errors = Pipe::standard_error();
  output.close();
  errors.close();
  EXPECT_GE(fcntl(STDOUT_FILENO, F_GETFD), 0);
  EXPECT_EQ(blocks(STDERR_FILENO), blocked);
}

TEST_F(PipeTest, AFifoIsReadAndWritten) {
  const std::string path = ::testing::TempDir() + "/fifo_of_pipe_test";
  ::unlink(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  Pipe reader = Pipe::adopt(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Pipe writer = Pipe::adopt(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  auto line = spawn("reader", [&] { return *reader.read_line(); });
  yield();
  writer.write_all("through a fifo\n");
  EXPECT_EQ(line.join(), "through a fifo");
  ::unlink(path.c_str());
}

TEST_F(PipeTest, ATerminalGivesItsLinesOneByOne) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(master, 0);
  ASSERT_EQ(grantpt(master), 0);
  ASSERT_EQ(unlockpt(master), 0);
  Pipe user = Pipe::adopt(master);
  Pipe program = Pipe::adopt(::open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC));
  EXPECT_THAT(program.name(), HasSubstr("terminal"));
  user.write_all("one\ntwo\n");
  EXPECT_EQ(*program.read_line(), "one");
  EXPECT_EQ(*program.read_line(), "two");
  program.write_all("answer\n");
  EXPECT_EQ(*user.read_line(), "one");  // echoed
  EXPECT_THAT(what_of<Misuse>([&] { program.shut_down_writing(); }), HasSubstr("read and written through one descriptor"));
}

TEST_F(PipeTest, AFileCanBeAdopted) {
  const std::string path = ::testing::TempDir() + "/file_of_pipe_test";
  Pipe writer = Pipe::adopt(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  writer.write_all("line\n");
  writer.close();
  Pipe reader = Pipe::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(*reader.read_line(), "line");
  EXPECT_EQ(reader.read_line().why(), Why::closed);
  EXPECT_EQ(reader.read_line().why(), Why::closed);
  ::unlink(path.c_str());
}

TEST_F(PipeTest, EndingTheWritingClosesAWritersEnd) {
  writer_.shut_down_writing();
  EXPECT_FALSE(writer_.is_open());
  reader_.shut_down_writing();
  EXPECT_TRUE(reader_.is_open());
  EXPECT_EQ(reader_.read_line().why(), Why::closed);
}

TEST_F(PipeTest, ItsNameTellsItsEnd) {
  EXPECT_EQ(reader_.name(), "pipe " + std::to_string(reader_.native()) + " (to read)");
  EXPECT_EQ(writer_.name(), "pipe " + std::to_string(writer_.native()) + " (to write)");
  EXPECT_TRUE(reader_.is_reader());
  EXPECT_FALSE(reader_.is_writer());
  writer_.close();
  EXPECT_EQ(writer_.name(), "a closed pipe");
}

}  // namespace
}  // namespace cooperative
