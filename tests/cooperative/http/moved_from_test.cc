// Handles that were moved from: every verb says so, and none crashes.

#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/file.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "mothreads/misuse.h"
#include "tests/support/exceptions.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/support/exceptions.h"
#include "tests/support/scripted_stream.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Closed;
using mothreads::Misuse;
using mothreads::testing::what_of;
using ::testing::HasSubstr;

template <typename Verb>
void expect_misuse(Verb&& verb) {
  EXPECT_THAT(what_of<Misuse>(verb), HasSubstr("was moved from"));
}

TEST(MovedFromTest, Server) {
  Server before = serve_tcp(Address::loopback(0), [](Socket&) {});
  Server server = std::move(before);
  expect_misuse([&] { static_cast<void>(before.address()); });
  expect_misuse([&] { static_cast<void>(before.statistics()); });
  expect_misuse([&] { before.stop(); });
  expect_misuse([&] { before.join(absl::ZeroDuration()); });
  expect_misuse([&] { static_cast<void>(before.stopped()); });
  before = std::move(server);
  before.stop().join();
}

TEST(MovedFromTest, Site) {
  http::Site before = http::serve_http(Address::loopback(0), [](http::Request&) { return http::Response{}; });
  http::Site site = std::move(before);
  expect_misuse([&] { static_cast<void>(before.port()); });
  expect_misuse([&] { before.stop(); });
  expect_misuse([&] { before.join(absl::ZeroDuration()); });
  expect_misuse([&] { static_cast<void>(before.stopped()); });
  before = std::move(site);
  before.stop().join();
}

TEST(MovedFromTest, WebSocket) {
  testing::ScriptedStream stream({});
  http::WebSocket before = testing::server_side(stream);
  http::WebSocket socket = std::move(before);
  expect_misuse([&] { static_cast<void>(before.read(absl::ZeroDuration())); });
  expect_misuse([&] { before.write_text("a"); });
  expect_misuse([&] { before.write_binary("a"); });
  expect_misuse([&] { static_cast<void>(before.begin_text()); });
  expect_misuse([&] { before.ping(); });
  expect_misuse([&] { static_cast<void>(before.pongs()); });
  expect_misuse([&] { before.close(); });
  expect_misuse([&] { static_cast<void>(before.is_open()); });
  expect_misuse([&] { static_cast<void>(before.close_code()); });
  expect_misuse([&] { static_cast<void>(before.close_reason()); });
  expect_misuse([&] { static_cast<void>(before.protocol()); });
  before = std::move(socket);
  EXPECT_TRUE(before.is_open());
}

// A handler's ends with its connection, so it stays where it is.
TEST(MovedFromDeathTest, AHandlersWebSocketCannotBeMoved) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  testing::ScriptedStream stream({});
  http::WebSocket socket = testing::server_side(stream);
  http::WebSocket other = testing::server_side(stream);
  socket.keep_in_place(mothreads::internal::kAccess);
  EXPECT_DEATH({ const http::WebSocket mine = std::move(socket); }, "a handler's WebSocket was moved.*keep a pointer");
  EXPECT_DEATH(socket = std::move(other), "a handler's WebSocket was moved.*keep a pointer");
  static_assert(std::is_nothrow_move_constructible_v<http::WebSocket>);  // a Queue's items have to be
}

TEST(MovedFromTest, StreamsAreClosed) {
  File file = File::open("/dev/null");
  const File its = std::move(file);
  EXPECT_FALSE(file.is_open());
  EXPECT_THROW(static_cast<void>(file.read_line()), Closed);
  EXPECT_THROW(static_cast<void>(file.size()), Closed);
  PipeEnds ends = make_pipe();
  const Pipe reader = std::move(ends.reader);
  EXPECT_FALSE(ends.reader.is_open());
  EXPECT_THROW(static_cast<void>(ends.reader.read_line()), Closed);
  Socket socket(AF_INET, SOCK_STREAM);
  const Socket moved = std::move(socket);
  EXPECT_FALSE(socket.is_open());
  EXPECT_THROW(static_cast<void>(socket.read_line()), Closed);
  EXPECT_THROW(socket.bind(Address::loopback(0)), Closed);
}

TEST(MovedFromTest, ReadsIntoChars) {
  PipeEnds ends = make_pipe();
  ends.writer.write_all("abcdefgh");
  char three[3];
  EXPECT_EQ(ends.reader.read_some(std::span<char>(three)).size(), 3u);
  EXPECT_EQ(std::string_view(three, 3), "abc");
  std::string four(4, ' ');
  EXPECT_TRUE(ends.reader.read_exact(std::span<char>(four)));
  EXPECT_EQ(four, "defg");
}

}  // namespace
}  // namespace cooperative
