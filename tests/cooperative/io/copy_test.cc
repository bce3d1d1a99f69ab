#include "cooperative/io/copy.h"

#include <sys/socket.h>

#include <cstddef>
#include <string>
#include <system_error>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/process.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "tests/cooperative/io/nothing_left_open.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Why;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + (i >> 9));
  return text;
}

// A stream of each kind, with the other side of it.
struct ToRead {
  Pipe pipe_reader, pipe_writer;
  Socket socket_reader, socket_writer;
  explicit ToRead(bool is_pipe) : is_pipe_(is_pipe) {
    auto [reader, writer] = make_pipe();
    pipe_reader = std::move(reader);
    pipe_writer = std::move(writer);
    std::tie(socket_reader, socket_writer) = Socket::pair();
  }
  Stream& reader() { return is_pipe_ ? static_cast<Stream&>(pipe_reader) : socket_reader; }
  Stream& writer() { return is_pipe_ ? static_cast<Stream&>(pipe_writer) : socket_writer; }

 private:
  bool is_pipe_;
};

// From a pipe or a socket, to a pipe or a socket.
class CopyTest : public testing::NothingLeftOpen, public ::testing::WithParamInterface<std::pair<bool, bool>> {};

TEST_P(CopyTest, AllOfItComesToTheEnd) {
  ToRead from(GetParam().first);
  ToRead to(GetParam().second);
  const std::string text = pattern(3 << 20);
  auto feeder = spawn("feeder", [&] {
    from.writer().write_all(text);
    from.writer().close();
  });
  auto reader = spawn("reader", [&] { return *to.reader().read_exact(text.size()); });
  const Copied copied = copy(from.reader(), to.writer());
  EXPECT_EQ(copied.size, text.size());
  EXPECT_EQ(copied.why, Why::closed);
  EXPECT_EQ(reader.join(), text);
  feeder.join();
  EXPECT_TRUE(to.writer().is_open());
}

TEST_P(CopyTest, WhatWasReadAheadGoesFirstAndNoMoreThanWasAskedFor) {
  ToRead from(GetParam().first);
  ToRead to(GetParam().second);
  from.writer().write_all("line\n123");
  EXPECT_EQ(*from.reader().read_line(), "line");
  from.writer().write_all("456789");
  const Copied copied = copy(from.reader(), to.writer(), {.max = 7});
  EXPECT_EQ(copied.size, 7u);
  EXPECT_EQ(copied.why, Why::ready);
  EXPECT_EQ(*to.reader().read_exact(7), "1234567");
  EXPECT_EQ(*from.reader().read_exact(2), "89");
}

TEST_P(CopyTest, ALimitLosesNothing) {
  ToRead from(GetParam().first);
  ToRead to(GetParam().second);
  const std::string text = pattern(2 << 20);
  auto feeder = spawn("feeder", [&] {
    from.writer().write_all(text);
    from.writer().close();
  });
  // Nobody reads: it stands still when all between is full.
  Signal limit;
  auto copier = spawn("copier", [&] { return copy(from.reader(), to.writer(), limit); });
  for (int i = 0; i < 100; ++i) yield();
  limit.go();
  const Copied first = copier.join();
  EXPECT_EQ(first.why, Why::stopped);
  EXPECT_GT(first.size, 0u);
  EXPECT_LT(first.size, text.size());
  auto reader = spawn("reader", [&] { return *to.reader().read_exact(text.size()); });
  const Copied second = copy(from.reader(), to.writer());
  EXPECT_EQ(first.size + second.size, text.size());
  EXPECT_EQ(reader.join(), text);
  feeder.join();
}

TEST_P(CopyTest, NobodyWhoReadsIsAnErrorAndNoSignal) {
  ToRead from(GetParam().first);
  ToRead to(GetParam().second);
  from.writer().write_all("x");
  to.reader().close();
  try {
    copy(from.reader(), to.writer());
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::broken_pipe);
  }
}

TEST_P(CopyTest, ClosingASideEndsIt) {
  ToRead from(GetParam().first);
  ToRead to(GetParam().second);
  auto copier = spawn("copier", [&] {
    try {
      return copy(from.reader(), to.writer()).why == Why::closed;
    } catch (const Closed&) {
      return true;
    }
  });
  yield();
  from.reader().close();
  EXPECT_TRUE(copier.join());
}

INSTANTIATE_TEST_SUITE_P(Kinds, CopyTest,
                         ::testing::Values(std::pair(true, true), std::pair(true, false), std::pair(false, true), std::pair(false, false)),
                         [](const auto& kinds) {
                           return std::string(kinds.param.first ? "pipe" : "socket") + "_to_" + (kinds.param.second ? "pipe" : "socket");
                         });

// What a server does that runs a program for each of its clients.
TEST(CopyToProcessTest, AProgramBetweenTwoSockets) {
  auto [client, server] = Socket::pair();
  const std::string text(1 << 20, 'a');
  auto user = spawn("user", [&, &client = client] {
    auto reader = spawn("reader", [&] { return client.read_all(text.size())->size(); });
    client.write_all(text);
    client.shut_down_writing();
    return reader.join();
  });
  Process upper({"tr", "a", "b"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
  auto in = spawn("in", [&, &server = server] {
    copy(server, upper.input());
    upper.input().close();
  });
  copy(upper.output(), server);
  server.close();
  in.join();
  EXPECT_EQ(user.join(), text.size());
  EXPECT_TRUE(upper.wait());
}

}  // namespace
}  // namespace cooperative
