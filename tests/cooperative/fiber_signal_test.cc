// Handlers of signals that meet a fiber.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0 {
namespace {

volatile sig_atomic_t handled = 0;

// By the system call itself, in which no sanitizer lets handlers run.
void raise_here() { syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1); }

class FiberSignalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { handled = handled + 1; };
    sigaction(SIGUSR1, &action, &before_);
  }
  void TearDown() override { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// ThreadSanitizer puts a handler off, and would keep it for as long as the fiber waits.
TEST_F(FiberSignalTest, AHandlerDoesNotWaitForItsFiber) {
  mothreads::Signal end;
  auto fiber = spawn("meets the signal", [&] {
    raise_here();
    end.wait();
  });
  yield();
  yield();
  EXPECT_EQ(handled, 1);
  end.go();
  fiber.join();
}

TEST_F(FiberSignalTest, NorForTheNextFiberOnItsStack) {
  auto fiber = spawn("meets the signal", [] { raise_here(); });
  fiber.join();
  yield();
  EXPECT_EQ(handled, 1);
}

TEST_F(FiberSignalTest, NorForTheThreadsOwnStack) {
  mothreads::Signal end;
  auto fiber = spawn("other", [&] { end.wait(); });
  yield();
  raise_here();
  auto looks = spawn("looks", [] { return static_cast<int>(handled); });
  EXPECT_EQ(looks.join(), 1);
  end.go();
  fiber.join();
}

}  // namespace
}  // namespace cooperative
