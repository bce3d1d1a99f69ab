#include "cooperative/io/listen.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::what_of;
using ::testing::HasSubstr;

class ListenTest : public testing::IoTest {};

TEST_F(ListenTest, SeveralSocketsShareAnAddressWhereTheyAllSaySo) {
  on_thread([] {
    const Socket first = listen(Address::loopback(0), {.reuse_port = true});
    const Socket second = listen(first.local_address(), {.reuse_port = true});
    EXPECT_EQ(second.local_address(), first.local_address());
    EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(listen(first.local_address())); }), HasSubstr(first.local_address().to_string()));
  });
}

TEST_F(ListenTest, AUnixAddressInUseIsRefusedAndNamed) {
  on_thread([] {
    const Address at = Address::abstract("listen_test");
    const Socket listener = listen(at);
    EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(listen(at)); }), HasSubstr("listen_test"));
  });
}

// Each connection up to the backlog is made without an accept().
TEST_F(ListenTest, ConnectionsWaitInTheBacklog) {
  on_thread([] {
    Socket listener = listen(Address::loopback(0), {.backlog = 2});
    const Socket first = connect(listener.local_address());
    const Socket second = connect(listener.local_address());
    EXPECT_EQ(listener.accept().peer_address(), first.local_address());
    EXPECT_EQ(listener.accept().peer_address(), second.local_address());
  });
}

}  // namespace
}  // namespace cooperative
