// All that waits for the system, while signals interrupt it: EINTR is nobody's business but the library's. What a verb does it does all the same.
// FIBER_STRESS_SECONDS says how long; see fiber_storm.h.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/copy.h"
#include "cooperative/io/file.h"
#include "cooperative/io/file_watch.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/process.h"
#include "cooperative/io/resolve.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/whole_file.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/stress/fiber_storm.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;

// Sends SIGUSR1, without SA_RESTART, to the thread that made it and to the process, as long as it lives.
class Interruptions {
 public:
  Interruptions() {
    struct sigaction action {};
    action.sa_handler = [](int) { taken.fetch_add(1, std::memory_order_relaxed); };
    sigaction(SIGUSR1, &action, &before_);
    thread_ = std::thread([this, host = pthread_self()] {
      while (!is_over_.load(std::memory_order_relaxed)) {
        pthread_kill(host, SIGUSR1);
        ::kill(getpid(), SIGUSR1);
        std::this_thread::sleep_for(std::chrono::microseconds(30));
      }
    });
  }
  ~Interruptions() {
    is_over_.store(true, std::memory_order_relaxed);
    thread_.join();
    sigaction(SIGUSR1, &before_, nullptr);
  }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

  static inline std::atomic<int> taken{0};

 private:
  struct sigaction before_ {};
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

class InterruptedCallsTest : public FiberStressTest {
 protected:
  template <typename F>
  void interrupted(F&& body) {
    const int before = Interruptions::taken.load(std::memory_order_relaxed);
    repeat([&](Chance chance) {
      Thread::run("host", [&](Signal) {
        const Interruptions interruptions;
        body(chance);
      }).join();
    });
    EXPECT_GT(Interruptions::taken.load(std::memory_order_relaxed), before);
  }

  static std::string pattern(std::size_t size, unsigned seed) {
    std::minstd_rand random(seed);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  }

  mothreads::testing::ScratchFolder folder_;
};

TEST_F(InterruptedCallsTest, Connections) {
  interrupted([](Chance& chance) {
    Socket listener = listen(Address::loopback(0));
    for (int i = 0; i < 20; ++i) {
      Socket client;
      Socket server;
      in_parallel([&] { client = connect(listener.local_address(), absl::Seconds(20)); }, [&] { server = listener.accept(absl::Seconds(20)); });
      const std::string text = pattern(chance.below(300'000), i);
      std::string got;
      in_parallel(
          [&] {
            client.write_all(text, absl::Seconds(20));
            client.shut_down_writing();
          },
          [&] { got = *server.read_all(1'000'000, absl::Seconds(20)); });
      EXPECT_EQ(got, text);
      server.close();
      EXPECT_EQ(client.fill().why(), Why::closed);
    }
  });
}

TEST_F(InterruptedCallsTest, Messages) {
  interrupted([](Chance&) {
    Socket here = Socket::udp();
    Socket there = Socket::udp();
    there.bind(Address::loopback(0));
    auto ends = Socket::pair(SOCK_SEQPACKET);
    Socket& one = ends.first;
    Socket& other = ends.second;
    for (int i = 0; i < 200; ++i) {
      const std::string text = pattern(100, i);
      std::string room(200, ' ');
      const auto read = [&](Socket& from) { return room.substr(0, from.recv(std::as_writable_bytes(std::span(room)), absl::Seconds(20)).size()); };
      in_parallel([&] { here.send_to(text, there.local_address()); }, [&] { EXPECT_EQ(read(there), text); });
      in_parallel([&] { EXPECT_EQ(read(other), text); }, [&] { EXPECT_EQ(one.send(text).size(), text.size()); });
    }
  });
}

TEST_F(InterruptedCallsTest, Files) {
  interrupted([this](Chance& chance) {
    const std::string text = pattern(100'000 + chance.below(1'000'000), 3);
    write_file_atomically(folder_.path("from"), text, {.sync = false});
    folder_.make_cold("from");
    EXPECT_EQ(read_file(folder_.path("from"), 2'000'000), text);
    File from = File::open(folder_.path("from"));
    File to = File::open(folder_.path("to"), {.write = true, .create = true, .truncate = true});
    EXPECT_EQ(copy_file(from, to), text.size());
    to.write_at("xyz", 10);
    to.sync_data();
    std::string room(3, ' ');
    EXPECT_EQ(to.read_at(std::as_writable_bytes(std::span(room)), 10).size(), 3u);
    EXPECT_EQ(room, "xyz");
    // And out over a socket, by sendfile() and by splice().
    folder_.make_cold("from");
    Socket listener = listen(Address::loopback(0));
    Socket client = connect(listener.local_address());
    Socket server = listener.accept();
    std::string got;
    in_parallel(
        [&] {
          EXPECT_EQ(server.send_file(from.native(), 0, text.size(), absl::Seconds(20)), text.size());
          server.close();
        },
        [&] { got = *client.read_all(2'000'000, absl::Seconds(20)); });
    EXPECT_EQ(got, text);
  });
}

TEST_F(InterruptedCallsTest, Processes) {
  interrupted([](Chance& chance) {
    const std::string text = pattern(chance.below(400'000), 5);
    Process cat({"cat"}, {.input = Redirect::pipe(), .output = Redirect::pipe()});
    const auto [out, err, end] = cat.communicate(text, absl::Seconds(20));
    EXPECT_EQ(out, text);
    EXPECT_EQ(end, ProcessEnd::exited(0));
    Process sleeper({"sleep", "1000"});
    sleeper.stop();
    EXPECT_EQ(sleeper.end(), ProcessEnd::killed(SIGTERM));
  });
}

TEST_F(InterruptedCallsTest, Waits) {
  interrupted([this](Chance& chance) {
    PipeEnds pipe = make_pipe();
    for (int i = 0; i < 50; ++i) {
      in_parallel(
          [&] {
            chance.rest();
            pipe.writer.write_all("line\n");
          },
          [&] {
            const auto ready = poll_list({{pipe.reader.native(), Ready::in}}, absl::Seconds(20));
            EXPECT_EQ(ready.size(), 1u);
            EXPECT_EQ(*pipe.reader.read_line(absl::Seconds(20)), "line");
          });
      EXPECT_TRUE(poll_list({{pipe.reader.native(), Ready::in}}, chance.moment()).empty());
    }
    EXPECT_FALSE(resolve("127.0.0.1", 80, absl::Seconds(20)).empty());
    FileWatch watch(folder_.path(), Changed::created);
    folder_.write("new", "x");
    EXPECT_EQ(watch.next(absl::Seconds(20))->path, folder_.path("new"));
    std::filesystem::remove(folder_.path("new"));
    // Copied by splice().
    PipeEnds second = make_pipe();
    const std::string text = pattern(200'000, 9);
    std::string got;
    in_parallel(
        [&] {
          pipe.writer.write_all(text);
          pipe.writer.close();
        },
        [&] {
          EXPECT_EQ(copy(pipe.reader, second.writer, absl::Seconds(20)).size, text.size());
          second.writer.close();
        },
        [&] { got = *second.reader.read_all(1'000'000, absl::Seconds(20)); });
    EXPECT_EQ(got, text);
  });
}

}  // namespace
}  // namespace cooperative
