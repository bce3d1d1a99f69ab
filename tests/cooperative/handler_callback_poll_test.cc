// Signal handlers that post to a scheduler whose thread is in somebody else's poll(): foreign_loop.h.

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/scheduler.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::kSanitized;

// What the handler of SIGUSR1 posts.
std::atomic<const HandlerCallback*> of_handler{nullptr};
std::atomic<int> handled{0};

class Handler {
 public:
  explicit Handler(const HandlerCallback& callback) {
    of_handler = &callback;
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) {
      of_handler.load()->post();
      ++handled;
    };
    sigaction(SIGUSR1, &action, &before_);
  }
  ~Handler() { sigaction(SIGUSR1, &before_, nullptr); }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

 private:
  struct sigaction before_ {};
};

bool is_readable(int descriptor) {
  pollfd watched{descriptor, POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

// As a loop of somebody else's that has nothing else to do.
void block_in_poll(int descriptor) {
  pollfd watched{descriptor, POLLIN, 0};
  while (::poll(&watched, 1, -1) != 1) EXPECT_EQ(errno, EINTR);
}

TEST(HandlerCallbackPollTest, AHandlerBeforeThePollMakesItReadable) {
  Thread::run("host", [](Signal) {
    ForeignLoop loop;
    int ran = 0;
    const HandlerCallback callback(Scheduler::current(), [&] { ++ran; });
    const Handler handler(callback);
    for (int round = 1; round <= 10; ++round) {
      EXPECT_EQ(loop.run_due(), std::nullopt);
      EXPECT_FALSE(is_readable(loop.descriptor()));
      raise(SIGUSR1);
      raise(SIGUSR1);
      EXPECT_TRUE(is_readable(loop.descriptor()));
      loop.run_due();
      EXPECT_EQ(ran, round);
    }
  }).join();
}

TEST(HandlerCallbackPollTest, AHandlerThatInterruptsThePollEndsIt) {
  Signal may_poll;
  pthread_t thread{};
  auto host = Thread::run("host", [&](Signal) {
    ForeignLoop loop;
    int ran = 0;
    const HandlerCallback callback(Scheduler::current(), [&] { ++ran; });
    const Handler handler(callback);
    loop.run_due();
    thread = pthread_self();
    may_poll.go();
    block_in_poll(loop.descriptor());
    loop.run_due();
    EXPECT_EQ(ran, 1);
  });
  may_poll.wait();
  pthread_kill(thread, SIGUSR1);  // it polls, or is about to
  host.join();
}

// The handler may find a thread anywhere, also inside a ring of the bell that another post asked for.
TEST(HandlerCallbackPollTest, NoneIsLostWhereHandlersInterruptThreadsThatPost) {
  constexpr int kSignals = kSanitized ? 300 : 1'000;
  std::optional<Scheduler> there;
  Signal is_there;
  Signal enough;
  std::atomic<int> posted{0};
  std::atomic<int> runs{0};  // of the HandlerCallback
  std::atomic<int> ran{0};
  auto host = Thread::run("host", [&](Signal) {
    ForeignLoop loop;
    const HandlerCallback callback(Scheduler::current(), [&] { ++runs; });
    const Handler handler(callback);
    there.emplace(Scheduler::current());
    is_there.go();
    bool is_done = false;
    enough.then([&] { there->callback([&] { is_done = true; }); });
    loop.run_due();
    while (!is_done) {
      block_in_poll(loop.descriptor());
      loop.run_due();
    }
  });
  is_there.wait();
  std::vector<mothreads::ThreadHandle<void>> posters;
  std::atomic<pthread_t> threads[2]{};
  for (auto& thread : threads) {
    posters.push_back(Thread::run("poster", [&](const Signal& please_stop) {
      thread = pthread_self();
      while (!please_stop) {
        if (posted - ran > 10) {  // so that the host polls most of the time
          mothreads::testing::give_way();
          continue;
        }
        ++posted;
        there->callback([&] { ++ran; });
      }
    }));
  }
  for (auto& thread : threads) mothreads::testing::await([&] { return thread.load() != pthread_t{}; });
  // Each must bring a run that began after it.
  for (int i = 0; i < kSignals; ++i) {
    const int handled_before = handled;
    const int runs_before = runs;
    pthread_kill(threads[i % 2], SIGUSR1);
    mothreads::testing::await([&] { return handled > handled_before && runs > runs_before; });
  }
  for (auto& poster : posters) poster.stop().join();
  enough.go();
  host.join();
  EXPECT_EQ(ran.load(), posted.load());
}

}  // namespace
}  // namespace cooperative
