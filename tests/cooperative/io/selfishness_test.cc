#include "cooperative/io/selfishness.h"

#include <string>

#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/support/io.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using testing::take;

class SelfishnessTest : public testing::IoTest {
 protected:
  // How often others had a turn while a fiber received 20 bytes that were there, one by one.
  static int turns_during_20_reads() {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all(std::string(20, 'x'));
    int turns = 0;
    bool is_over = false;
    auto other = spawn("other", [&] {
      while (!is_over) {
        ++turns;
        yield();
      }
    });
    yield();  // it has begun
    turns = 0;
    auto reader = spawn("reader", [&] {
      turns = 0;
      for (int i = 0; i < 20; ++i) take(here, 1);
      is_over = true;
    });
    reader.join();
    other.join();
    return turns;
  }
};

TEST_F(SelfishnessTest, SoManyOperationsInARowThenOthersHaveATurn) {
  on_thread([] {
    EXPECT_EQ(selfishness(), 4u);
    EXPECT_EQ(turns_during_20_reads(), 4);
    Scheduler::current().set_options({.selfishness = 1});
    EXPECT_EQ(selfishness(), 1u);
    EXPECT_EQ(turns_during_20_reads(), 19);
    Scheduler::current().set_options({.selfishness = 16});
    EXPECT_EQ(turns_during_20_reads(), 1);
    Scheduler::current().set_options({.selfishness = 20});
    EXPECT_EQ(turns_during_20_reads(), 0);
  });
}

TEST_F(SelfishnessTest, IsOfAThread) {
  on_thread([] { Scheduler::current().set_options({.selfishness = 1}); });
  on_thread([] { EXPECT_EQ(selfishness(), 4u); });
}

TEST_F(SelfishnessTest, NoneIsRefused) {
  on_thread([] {
    EXPECT_THROW(Scheduler::current().set_options({.selfishness = 0}), Misuse);
    EXPECT_EQ(selfishness(), 4u);
  });
}

TEST_F(SelfishnessTest, AFiberMayHaveItsOwn) {
  on_thread([] {
    auto fiber = spawn("fiber", [] {
      EXPECT_EQ(set_max_selfish_acts(1), 0u);
      EXPECT_EQ(set_max_selfish_acts(2), 1u);
      auto ends = Socket::pair();
      Socket& there = ends.second;
      const auto switches = Scheduler::current().statistics().rounds;
      for (int i = 0; i < 10; ++i) there.write_all("x");
      return Scheduler::current().statistics().rounds - switches;
    });
    EXPECT_EQ(fiber.join(), 4u);
    // Who gets its place has the thread's again.
    auto next = spawn("next", [] { return set_max_selfish_acts(0); });
    EXPECT_EQ(next.join(), 0u);
  });
}

TEST_F(SelfishnessTest, AWaitBeginsAnew) {
  on_thread([] {
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all(std::string(8, 'x'));
    const auto rounds = [] { return Scheduler::current().statistics().rounds; };
    yield();
    for (int i = 0; i < 4; ++i) take(here, 1);
    yield();
    const auto before = rounds();
    for (int i = 0; i < 4; ++i) take(here, 1);
    EXPECT_EQ(rounds(), before);
  });
}

TEST_F(SelfishnessTest, ClosingASocketInThatTurnIsATypedError) {
  on_thread([] {
    Scheduler::current().set_options({.selfishness = 1});
    auto ends = Socket::pair();
    Socket& here = ends.first;
    Socket& there = ends.second;
    there.write_all("xy");
    auto reader = spawn("reader", [&] {
      take(here, 1);
      EXPECT_THROW(take(here, 1), Closed);
    });
    auto closer = spawn("closer", [&] { here.close(); });
    reader.join();
  });
}

}  // namespace
}  // namespace cooperative
