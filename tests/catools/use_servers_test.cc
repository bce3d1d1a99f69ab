// In a program of its own: Channel Access reads its addresses once.

#include "catools/use_servers.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catools/caget.h"
#include "catools/server/server.h"
#include "cooperative/io/address.h"
#include "mothreads/misuse.h"

namespace catools::inline v0 {
namespace {

using cooperative::Address;
using ::testing::HasSubstr;

TEST(UseServersTest, AreTheOnesThatAreAskedAndAreChosenOnce) {
  try {
    use_servers({Address("::1", 5064)});
    FAIL();
  } catch (const mothreads::Misuse& problem) {
    EXPECT_THAT(problem.what(), HasSubstr("[::1]:5064"));
  }
  Server one("one");
  Server two("two");
  one.add<double>("SIM:ONE", 1.5);
  two.add<double>("SIM:TWO", 2.5);
  use_servers({Address("127.0.0.1", 1)});  // the last call before the first use counts
  use_servers({one.address(), two.address()});
  EXPECT_STREQ(std::getenv("EPICS_CA_AUTO_ADDR_LIST"), "NO");
  EXPECT_THAT(caget<double>({"SIM:ONE", "SIM:TWO"}), ::testing::ElementsAre(1.5, 2.5));
  EXPECT_THROW(use_servers({one.address()}), mothreads::Misuse);
}

}  // namespace
}  // namespace catools::inline v0
