#pragma once

// A server for each test, and nothing left of it afterwards.
//
//     class AccessRightsTest : public testing::OneServerTest {};
//     TEST_F(AccessRightsTest, ...) { server_->add<double>("PV", 1.0); }

#include <optional>

#include "catools/server/server.h"
#include "tests/catools/server/ca_client.h"

namespace catools::inline v0::testing {

class OneServerTest : public ServingTest {
 protected:
  void SetUp() override {
    ServingTest::SetUp();
    server_.emplace("server");
  }
  void TearDown() override {
    server_.reset();
    ServingTest::TearDown();
  }

  std::optional<Server> server_;
};

}  // namespace catools::inline v0::testing
