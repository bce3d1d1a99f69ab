#include "catools/server/put_refused.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catools/server/server.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/catools/server/ca_client.h"
#include "tests/catools/server/one_server.h"

namespace catools::inline v0 {
namespace {

using internal::Command;
using mothreads::Signal;
using mothreads::testing::LogLines;
using testing::CaClient;
using testing::payload_of;
using ::testing::ElementsAre;

constexpr std::uint16_t kDouble = 6;
constexpr std::uint32_t kNormal = 1;
constexpr std::uint32_t kPutFailed = 160;

class PutRefusedTest : public testing::OneServerTest {
 protected:
  static std::uint32_t put(CaClient& client, const CaClient::Channel& channel, double value) {
    return client.put(channel, kDouble, 1, payload_of<double>({value}));
  }
  // Does not wait for the answer.
  static void begin_put(CaClient& client, const CaClient::Channel& channel, double value, std::uint32_t id) {
    client.send({.command = Command::write_notify, .type = kDouble, .count = 1, .first = channel.id, .second = id}, payload_of<double>({value}));
  }
};

TEST_F(PutRefusedTest, AHandlerThatRefuses) {
  LogLines lines;
  Served<double> pv = server_->add<double>("PV", 1.0, {.on_put = [](double v) {
                                                        if (v < 0) throw PutRefused("must not be negative");
                                                        if (v > 9) throw std::runtime_error("a device has failed");
                                                      }});
  CaClient client(server_->address());
  const CaClient::Channel channel = client.create("PV").value();
  EXPECT_EQ(put(client, channel, 5), kNormal);
  EXPECT_EQ(pv.get(), 5);
  EXPECT_EQ(put(client, channel, -1), kPutFailed);
  EXPECT_EQ(put(client, channel, 10), kPutFailed);
  EXPECT_EQ(pv.get(), 5);
  EXPECT_EQ(server_->statistics().refused, 2U);
  EXPECT_EQ(lines.with("a put to \"PV\" by tester@here was refused: must not be negative").size(), 1U);
  EXPECT_EQ(lines.with("a device has failed").size(), 1U);
}

TEST_F(PutRefusedTest, AHandlerMayGiveAnotherValue) {
  Served<double> pv = server_->add<double>("PV", 1.0, {.on_put = [](double v) { return v > 9 ? 9 : v; }});
  CaClient client(server_->address());
  EXPECT_EQ(put(client, client.create("PV").value(), 100), kNormal);
  EXPECT_EQ(pv.get(), 9);
}

TEST_F(PutRefusedTest, AHandlerSetsOthers) {
  Served<double> beam = server_->add<double>("BEAM", 0.0);
  Served<double> set_point = server_->add<double>("SET", 0.0, {.on_put = [&](double v) { beam.set(v * 2); }});
  CaClient client(server_->address());
  const CaClient::Channel set = client.create("SET").value();
  client.send({.command = Command::write, .type = kDouble, .count = 1, .first = set.id, .second = 1}, payload_of<double>({3}));
  // The handler does not wait: the next read finds what it did.
  EXPECT_EQ(client.read(client.create("BEAM", 2).value(), kDouble).number_at<double>(0), 6);
  EXPECT_EQ(set_point.get(), 3);
}

TEST_F(PutRefusedTest, ThePutsOfOnePvComeOneAfterTheOther) {
  std::vector<double> begun;
  std::vector<Signal> goes_on(3);
  server_->add<double>("SLOW", 0.0, {.on_put = [&](double v) {
                                      begun.push_back(v);
                                      goes_on.at(begun.size() - 1).wait();
                                    }});
  server_->add<double>("OTHER", 0.0);
  CaClient client(server_->address());
  const CaClient::Channel slow = client.create("SLOW").value();
  const CaClient::Channel other = client.create("OTHER", 2).value();
  for (std::uint32_t i = 0; i < 3; ++i) begin_put(client, slow, i, i);
  EXPECT_EQ(put(client, other, 5), kNormal);  // the circuit goes on
  EXPECT_EQ(client.read(slow, kDouble).number_at<double>(0), 0);
  for (std::uint32_t i = 0; i < 3; ++i) {
    goes_on[i].go();
    EXPECT_EQ(client.next(Command::write_notify).header.second, i);
  }
  EXPECT_THAT(begun, ElementsAre(0, 1, 2));
}

TEST_F(PutRefusedTest, TheClientMayGoBeforeItsPut) {
  Signal begun;
  Signal goes_on;
  Signal ended;
  Served<double> pv = server_->add<double>("SLOW", 0.0, {.on_put = [&](double v) {
                                                          begun.go();
                                                          goes_on.wait();
                                                          ended.go();
                                                          return v;
                                                        }});
  {
    CaClient client(server_->address());
    begin_put(client, client.create("SLOW").value(), 4, 1);
    begun.wait();
  }
  goes_on.go();
  ended.wait();
  CaClient client(server_->address());
  EXPECT_EQ(client.read(client.create("SLOW").value(), kDouble).number_at<double>(0), 4);
}

// A handler that takes no please_stop is cancelled where it waits.
TEST_F(PutRefusedTest, AStopCancelsAHandlerThatWaits) {
  Signal begun;
  bool was_cancelled = false;
  Server server(ServerOptions{.name = "other", .drain = absl::ZeroDuration()});
  server.add<double>("SLOW", 0.0, {.on_put = [&](double) {
                                     begun.go();
                                     try {
                                       mothreads::NEVER.wait();
                                     } catch (const cooperative::FiberCancelled&) {
                                       was_cancelled = true;
                                       throw;
                                     }
                                   }});
  CaClient client(server.address());
  begin_put(client, client.create("SLOW").value(), 4, 1);
  begun.wait();
  server.stop().join();
  EXPECT_TRUE(was_cancelled);
}

}  // namespace
}  // namespace catools::inline v0
