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

// A program that serves records.
class Served {
 public:
  // As if the machine lost its power.
  void kill();
  // The server answers no more, and closes nothing, until go_on() or kill().
  void pause();
  void go_on();
  // Of a file beside records.db.
  virtual void start(std::string_view records) = 0;
  void start() { start("records.db"); }
  void restart(std::string_view records = "records.db") {
    kill();
    start(records);
  }

 protected:
  Served() = default;
  ~Served() = default;  // ends the program

  std::unique_ptr<mothreads::testing::Program> program_;
};

// The IOC of EPICS.
class SoftIoc final : public Served {
 public:
  static constexpr std::string_view kPrefix = "ioc:";
  explicit SoftIoc(std::string_view records = "records.db") { SoftIoc::start(records); }
  using Served::start;
  void start(std::string_view records) override;
};

// The server of the library itself, by programs/served_records.cc.
class OwnServer final : public Served {
 public:
  static constexpr std::string_view kPrefix = "own:";
  explicit OwnServer(std::string_view records = "records.db") { OwnServer::start(records); }
  using Served::start;
  void start(std::string_view records) override;
};

using Sources = ::testing::Types<SoftIoc, OwnServer>;

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
