// What other programs do not get.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/file_watch.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/os_signals.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/process.h"
#include "cooperative/io/socket.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

class InheritanceTest : public testing::IoTest {};

// What a scheduler waits with, too: its epoll, the one for lent descriptors, its bell, and the sources of changes, signals and ends.
TEST_F(InheritanceTest, NoneThatTheLibraryMakesIsInherited) {
  on_thread([] {
    const auto open_ones = [] {
      std::set<int> numbers;
      for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) numbers.insert(std::stoi(entry.path().filename()));
      return numbers;
    };
    const std::set<int> before = open_ones();
    PipeEnds pipe = make_pipe();
    auto reader = spawn("reader", [&] { EXPECT_EQ(*pipe.reader.read_line(), "x"); });
    auto poller = spawn("poller", [&] { poll_list({{STDIN_FILENO, Ready::pri}, {pipe.writer.native(), Ready::out}}); });
    Socket listener = listen(Address::loopback(0));
    Socket client = connect(listener.local_address());
    const Socket accepted = listener.accept();
    const FileWatch watch("/proc", Changed::created);
    const OsSignal signal(SIGUSR2);
    Process child({"true"});
    pipe.writer.write_all("x\n");
    reader.join();
    poller.join();
    int checked = 0;
    for (const int number : open_ones()) {
      if (before.contains(number)) continue;
      const int flags = fcntl(number, F_GETFD);
      if (flags < 0) continue;  // of the look itself
      ++checked;
      EXPECT_NE(flags & FD_CLOEXEC, 0) << std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(number));
    }
    EXPECT_GE(checked, 9);
    EXPECT_EQ(child.wait(), ProcessEnd::exited(0));
  });
}

}  // namespace
}  // namespace cooperative
