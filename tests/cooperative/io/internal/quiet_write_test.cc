#include "cooperative/io/internal/quiet_write.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/nothing_left.h"

namespace cooperative::inline v0::internal::io {
namespace {

volatile sig_atomic_t sigpipes = 0;

// As the kernel knows how, and as it does not.
class QuietWriteTest : public mothreads::testing::NothingLeft, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    NothingLeft::SetUp();
    sigpipes = 0;
    struct sigaction counts {};
    counts.sa_handler = [](int) { sigpipes = sigpipes + 1; };
    sigaction(SIGPIPE, &counts, &before_);
    ASSERT_EQ(pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
  }
  void TearDown() override {
    sigaction(SIGPIPE, &before_, nullptr);
    for (const int end : ends_) ::close(end);
    NothingLeft::TearDown();
  }

  // Nobody reads any more; both ends are still there to be closed.
  void end_reader() {
    const int stand_in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(dup3(stand_in, ends_[0], O_CLOEXEC), ends_[0]);
    ::close(stand_in);
  }
  ssize_t write(std::string text) {
    const iovec piece{text.data(), text.size()};
    return writer_.write(ends_[1], &piece, 1);
  }

  QuietWriter writer_{GetParam()};
  int ends_[2];
  struct sigaction before_ {};
};

TEST_P(QuietWriteTest, WritesWhatItIsGiven) {
  EXPECT_EQ(write("hello"), 5);
  char text[8];
  EXPECT_EQ(::read(ends_[0], text, sizeof text), 5);
  EXPECT_EQ(std::string(text, 5), "hello");
}

TEST_P(QuietWriteTest, NobodyWhoReadsIsAnErrorAndNoSignal) {
  end_reader();
  EXPECT_EQ(write("x"), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(sigpipes, 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST_P(QuietWriteTest, TheMaskIsAsBefore) {
  end_reader();
  write("x");
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGPIPE), 0);
  raise(SIGPIPE);
  EXPECT_EQ(sigpipes, 1);
}

TEST_P(QuietWriteTest, ASignalThatWasPendingIsSomebodyElses) {
  sigset_t sigpipe;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr);
  raise(SIGPIPE);
  end_reader();
  EXPECT_EQ(write("x"), -1);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
  pthread_sigmask(SIG_UNBLOCK, &sigpipe, nullptr);
  EXPECT_EQ(sigpipes, 1);
}

TEST_P(QuietWriteTest, AFullPipeSaysThatItWouldBlock) {
  while (write(std::string(4096, 'x')) > 0) {
  }
  EXPECT_EQ(errno, EAGAIN);
}

TEST(QuietSpliceTest, NobodyWhoReadsIsAnErrorAndNoSignal) {
  sigpipes = 0;
  struct sigaction counts {};
  struct sigaction before {};
  counts.sa_handler = [](int) { sigpipes = sigpipes + 1; };
  sigaction(SIGPIPE, &counts, &before);
  int from[2];
  int to[2];
  ASSERT_EQ(pipe2(from, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(to, O_CLOEXEC), 0);
  ASSERT_EQ(::write(from[1], "x", 1), 1);
  ::close(to[0]);
  EXPECT_EQ(QuietWriter::splice_into(to[1], from[0], 1), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(sigpipes, 0);
  sigaction(SIGPIPE, &before, nullptr);
  for (const int end : {from[0], from[1], to[1]}) ::close(end);
}

INSTANTIATE_TEST_SUITE_P(Kernel, QuietWriteTest, ::testing::Bool(), [](const auto& kind) { return kind.param ? "knows" : "does_not"; });

}  // namespace
}  // namespace cooperative::internal::io
