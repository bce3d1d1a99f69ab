// What accept(2) says of connections that have failed before their turn is nobody else's.

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "tests/support/io.h"
#include "tests/support/sanitized.h"

#ifndef MOTHREADS_TESTS_SANITIZED

namespace {
// What it says before it does what it is there for. Linux itself does not say it on the loopback.
std::deque<int> errors_to_come;
}  // namespace

// Instead of the C library's. The sanitizers have theirs.
extern "C" int accept4(int listener, sockaddr* address, socklen_t* size, int flags) {
  if (!errors_to_come.empty()) {
    errno = errors_to_come.front();
    errors_to_come.pop_front();
    return -1;
  }
  return static_cast<int>(syscall(SYS_accept4, listener, address, size, flags));
}

namespace cooperative::inline v0 {
namespace {

using ::testing::SizeIs;

const std::deque<int> kOfOneConnection{ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};

class AcceptTest : public testing::IoTest {
 protected:
  void TearDown() override {
    errors_to_come.clear();
    IoTest::TearDown();
  }
};

TEST_F(AcceptTest, AConnectionThatFailedBeforeItsTurnIsPassedOver) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const Socket client = connect(listener.local_address());
    errors_to_come = kOfOneConnection;
    errors_to_come.push_back(EINTR);
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
    EXPECT_TRUE(errors_to_come.empty());
  });
}

TEST_F(AcceptTest, AlsoAmongMany) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const Socket a = connect(listener.local_address());
    const Socket b = connect(listener.local_address());
    errors_to_come = kOfOneConnection;
    EXPECT_THAT(listener.accept_many(10), SizeIs(2));
    Socket c = connect(listener.local_address());
    Socket d = connect(listener.local_address());
    const Socket first = listener.accept();
    errors_to_come = kOfOneConnection;
    EXPECT_THAT(listener.accept_many(10), SizeIs(1));
    EXPECT_TRUE(errors_to_come.empty());
  });
}

TEST_F(AcceptTest, WhatIsWrongWithTheListenerIsAnError) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0));
    const Socket client = connect(listener.local_address());
    errors_to_come = {EMFILE};
    EXPECT_THROW(listener.accept(), IoError);
    EXPECT_EQ(listener.accept().peer_address(), client.local_address());
  });
}

}  // namespace
}  // namespace cooperative

#endif
