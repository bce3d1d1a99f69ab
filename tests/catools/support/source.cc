#include "tests/catools/support/source.h"

#include <csignal>
#include <cstdlib>

#include "tests/support/ports.h"

namespace catools::testing {
namespace {

struct Ports {
  int ioc = mothreads::testing::free_port();
  int own = mothreads::testing::free_port();
  int repeater = mothreads::testing::free_port();
};

const Ports& ports() {
  static const Ports chosen;
  return chosen;
}

// Every test that links this.
[[maybe_unused]] const bool is_ready = (use_loopback(), true);

}  // namespace

void use_loopback() {
  setenv("EPICS_CA_AUTO_ADDR_LIST", "NO", 1);
  setenv("EPICS_CA_ADDR_LIST", ("127.0.0.1:" + std::to_string(ports().ioc) + " 127.0.0.1:" + std::to_string(ports().own)).c_str(), 1);
  setenv("EPICS_CA_REPEATER_PORT", std::to_string(ports().repeater).c_str(), 1);
  setenv("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1", 1);
  setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO", 1);
  setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1", 1);
  setenv("EPICS_CAS_BEACON_PORT", std::to_string(ports().repeater).c_str(), 1);
  setenv("EPICS_CAS_SERVER_PORT", std::to_string(ports().ioc).c_str(), 1);
  unsetenv("EPICS_CA_NAME_SERVERS");
}

int port_of_ioc() { return ports().ioc; }

void SoftIoc::start(std::string_view records) {
  const std::string folder = std::string(std::getenv("TEST_SRCDIR")) + "/" + std::getenv("TEST_WORKSPACE") + "/tests/catools/";
  program_ = std::make_unique<mothreads::testing::Program>(
      "external/epics/bin/softIoc",
      std::vector<std::string>{"-m", "P=" + std::string(kPrefix), "-a", folder + "access.acf", "-d", folder + std::string(records)});
  program_->await_output("iocRun: All initialization complete");
}

void OwnServer::start(std::string_view records) {
  program_ = std::make_unique<mothreads::testing::Program>(
      "tests/catools/programs/served_records", std::vector<std::string>{std::string(kPrefix), std::string(records), std::to_string(ports().own)});
  program_->await_output("serving");
}

void Served::pause() { program_->send_signal(SIGSTOP); }
void Served::go_on() { program_->send_signal(SIGCONT); }

void Served::kill() {
  program_->send_signal(SIGKILL);
  program_->wait();
  program_.reset();
}

}  // namespace catools::testing
