#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "tests/support/io.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using testing::error_of;
using testing::tcp_pair;

using SocketTest = testing::IoTest;

TEST_F(SocketTest, AFileIsSent) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder;
    std::string text;
    for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i);
    folder.write("file", text);
    const int file = ::open(folder.path("file").c_str(), O_RDONLY | O_CLOEXEC);
    auto ends = tcp_pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    const auto sent = [&](off_t offset, std::size_t size) {
      here.write_later("<");
      auto reader = spawn("reader", [&] { return *there.read_until(">"); });
      there.set_max_line(10'000'000);
      const std::size_t count = here.send_file(file, offset, size);
      here.write_all(">");
      const std::string got = reader.join().substr(1);
      EXPECT_EQ(got.size(), count);
      return got;
    };
    for (const bool is_cold : {false, true}) {
      if (is_cold) folder.make_cold("file");
      EXPECT_TRUE(sent(0, text.size()) == text);
      EXPECT_TRUE(sent(1234, 700'000) == text.substr(1234, 700'000));
    }
    EXPECT_EQ(sent(static_cast<off_t>(text.size()) - 3, 100), text.substr(text.size() - 3)) << "to its end";
    EXPECT_EQ(sent(0, 0), "");
    EXPECT_EQ(here.option(IPPROTO_TCP, TCP_CORK), 0);
    here.set_option(IPPROTO_TCP, TCP_CORK, 1);
    EXPECT_EQ(here.send_file(file, 0, 100'000), 100'000u);
    EXPECT_EQ(here.option(IPPROTO_TCP, TCP_CORK), 1) << "the caller's own";
    EXPECT_EQ(error_of([&] { here.send_file(file, -1, 10); }), std::errc::invalid_argument);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 0) << "its position is others'";
    EXPECT_EQ(error_of([&] { here.send_file(-1, 0, 10); }), std::errc::bad_file_descriptor);
    ::close(file);
  });
}

// In whose place another is made meanwhile, which must not be taken for the one that has gone.
class PlaceOfSocket {
 public:
  explicit PlaceOfSocket(Socket first) : socket_(std::construct_at(reinterpret_cast<Socket*>(place_), std::move(first))) {}
  ~PlaceOfSocket() { std::destroy_at(socket_); }
  PlaceOfSocket(const PlaceOfSocket&) = delete;
  PlaceOfSocket& operator=(const PlaceOfSocket&) = delete;
  Socket& operator*() { return *socket_; }
  void replace(Socket next) {
    std::destroy_at(socket_);
    socket_ = std::construct_at(reinterpret_cast<Socket*>(place_), std::move(next));
  }

 private:
  alignas(Socket) std::byte place_[sizeof(Socket)];
  Socket* socket_;
};

TEST_F(SocketTest, ASocketMayGoWhileTheFileThatIsSentIsFetched) {
  on_thread([] {
    // No file at all, and never in memory: other threads are asked, which are all at something else.
    int ends_of_pipe[2];
    ASSERT_EQ(pipe2(ends_of_pipe, O_CLOEXEC), 0);
    for (const bool closes : {false, true}) {
      std::vector<Fiber<void>> busy;
      for (std::size_t i = 0; i < kFileThreads; ++i) {
        busy.push_back(spawn({.name = "busy", .start = Start::at_once}, [&] {
          char byte;
          FileCall call;
          static_cast<void>(call_for_file(call, [&] { return ::read(ends_of_pipe[0], &byte, 1); }));
        }));
      }
      auto ends = tcp_pair();
      auto others = tcp_pair();
      PlaceOfSocket here(std::move(ends.first));
      auto sender = spawn({.name = "sender", .start = Start::at_once}, [&] { (*here).send_file(ends_of_pipe[0], 0, 100'000); });
      ASSERT_TRUE(sender.is_alive());
      if (closes) (*here).close();
      here.replace(std::move(others.first));
      ASSERT_EQ(::write(ends_of_pipe[1], std::string(kFileThreads, 'x').data(), kFileThreads), static_cast<ssize_t>(kFileThreads));
      EXPECT_THROW(sender.join(), Closed);
      for (auto& one : busy) one.join();
      EXPECT_EQ((*here).option(IPPROTO_TCP, TCP_CORK), 0);
    }
    for (const int end : ends_of_pipe) ::close(end);
  });
}

TEST_F(SocketTest, ASocketMayGoWhileAFileWaitsForRoom) {
  on_thread([] {
    const mothreads::testing::ScratchFolder folder;
    folder.write("file", std::string(10 << 20, 'x'));
    const int file = ::open(folder.path("file").c_str(), O_RDONLY | O_CLOEXEC);
    for (const bool cancels : {false, true}) {
      auto ends = tcp_pair();
      auto others = tcp_pair();
      PlaceOfSocket here(std::move(ends.first));
      auto sender = spawn("sender", [&] { (*here).send_file(file, 0, 10 << 20); });
      while (ends.second.readable_bytes() == 0) yield();
      yield_until_idle();
      ASSERT_TRUE(sender.is_alive());
      (*here).close();
      here.replace(std::move(others.first));
      (*here).set_option(IPPROTO_TCP, TCP_CORK, 1);
      if (cancels) sender.cancel();
      EXPECT_ANY_THROW(sender.join());
      EXPECT_EQ((*here).option(IPPROTO_TCP, TCP_CORK), 1) << "the other's own";
    }
    ::close(file);
  });
}

}  // namespace
}  // namespace cooperative
