#include "catools/server/access_rights.h"

#include <gtest/gtest.h>

#include "catools/server/server.h"
#include "tests/catools/server/ca_client.h"
#include "tests/catools/server/one_server.h"

namespace catools::inline v0 {
namespace {

using internal::Command;
using testing::CaClient;
using testing::payload_of;

constexpr std::uint16_t kDouble = 6;
constexpr std::uint32_t kNormal = 1;
constexpr std::uint32_t kNoReadAccess = 368;
constexpr std::uint32_t kNoWriteAccess = 376;

class AccessRightsTest : public testing::OneServerTest {};

TEST_F(AccessRightsTest, EachOfThem) {
  const std::pair<AccessRights, unsigned> kTable[] = {
      {AccessRights::none, 0}, {AccessRights::read, 1}, {AccessRights::write, 2}, {AccessRights::read_write, 3}};
  for (const auto& [rights, number] : kTable) {
    const std::string name = "PV" + std::to_string(number);
    Served<double> pv = server_->add<double>(name, 1.0, {.access = rights});
    CaClient client(server_->address());
    const CaClient::Channel channel = client.create(name).value();
    EXPECT_EQ(channel.rights, number);
    EXPECT_EQ(client.read(channel, kDouble).header.first, (number & 1) != 0 ? kNormal : kNoReadAccess);
    EXPECT_EQ(client.put(channel, kDouble, 1, payload_of<double>({2})), (number & 2) != 0 ? kNormal : kNoWriteAccess);
    EXPECT_EQ(pv.get(), (number & 2) != 0 ? 2 : 1);
  }
}

TEST_F(AccessRightsTest, ClientsAreToldOfAChange) {
  Served<double> pv = server_->add<double>("PV", 1.0);
  CaClient client(server_->address());
  const CaClient::Channel channel = client.create("PV", 5).value();
  client.monitor(channel, kDouble, 8);
  EXPECT_EQ(client.next(Command::event_add).header.first, kNormal);
  pv.set_access(AccessRights::none);
  EXPECT_EQ(pv.access(), AccessRights::none);
  EXPECT_EQ(client.next(Command::access_rights).header, (internal::Header{.command = Command::access_rights, .first = 5}));
  EXPECT_EQ(client.next(Command::event_add).header.first, kNoReadAccess);
  pv.set(2);
  pv.set_access(AccessRights::read);
  EXPECT_EQ(client.next(Command::access_rights).header.second, 1U);
  EXPECT_EQ(client.next(Command::event_add).number_at<double>(0), 2);
}

}  // namespace
}  // namespace catools::inline v0
