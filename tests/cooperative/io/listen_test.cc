#include "cooperative/io/listen.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "tests/support/exceptions.h"
#include "tests/support/io.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::what_of;
using ::testing::HasSubstr;

class ListenTest : public testing::IoTest {};

TEST_F(ListenTest, SeveralSocketsShareAnAddressWhereTheyAllSaySo) {
  const Socket first = listen(Address::loopback(0), {.reuse_port = true});
  const Socket second = listen(first.local_address(), {.reuse_port = true});
  EXPECT_EQ(second.local_address(), first.local_address());
  EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(listen(first.local_address())); }), HasSubstr(first.local_address().to_string()));
}

TEST_F(ListenTest, APathThatExistsIsRefusedAndNamed) {
  const mothreads::testing::ScratchFolder folder;
  const Address at = Address::unix_path(folder.path("socket"));
  const Socket listener = listen(at);
  EXPECT_THAT(what_of<IoError>([&] { static_cast<void>(listen(at)); }), HasSubstr(folder.path("socket")));
}

TEST_F(ListenTest, TheBacklogIsTheKernels) {
  Socket listener = listen(Address::loopback(0), {.backlog = 1});
  const Socket client = connect(listener.local_address());
  EXPECT_EQ(listener.accept().peer_address(), client.local_address());
}

}  // namespace
}  // namespace cooperative
