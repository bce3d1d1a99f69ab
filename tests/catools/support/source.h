#pragma once

// Servers of process variables, for tests that run against each of them.
//
//     template <typename Source>
//     class CagetTest : public ServedTest<Source> {};
//     TYPED_TEST_SUITE(CagetTest, Sources);
//     TYPED_TEST(CagetTest, Gets) { EXPECT_EQ(caget<double>(this->pv("double")), 3.5); }
//
// A Source is made by default, serves records.db until it is destroyed, and has kPrefix, with which its names begin; restart() kills it and serves
// the records of another file.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/program.h"

namespace catools::testing {

// Lets libca look for servers on loopback alone, at ports that were free when the program started. Before the first use of catools.
void use_loopback();
int port_of_ioc();

// The IOC of EPICS.
class SoftIoc {
 public:
  static constexpr std::string_view kPrefix = "ioc:";

  explicit SoftIoc(std::string_view records = "records.db");

  // As if the machine lost its power.
  void kill();
  // It answers no more, and closes nothing; until kill().
  void pause();
  // Of a file beside records.db.
  void start(std::string_view records = "records.db");
  void restart(std::string_view records = "records.db") {
    kill();
    start(records);
  }

 private:
  std::unique_ptr<mothreads::testing::Program> program_;
};

// Add the in-process server here: then all tests run against it, too.
using Sources = ::testing::Types<SoftIoc>;

template <typename Source>
class ServedTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { source_ = std::make_unique<Source>(); }
  static void TearDownTestSuite() { source_.reset(); }

  static std::string pv(std::string_view name) { return std::string(Source::kPrefix) + std::string(name); }
  static std::vector<std::string> pvs(std::initializer_list<std::string_view> names) {
    std::vector<std::string> all;
    for (const std::string_view name : names) all.push_back(pv(name));
    return all;
  }
  static Source& source() { return *source_; }

 private:
  inline static std::unique_ptr<Source> source_;
};

}  // namespace catools::testing
