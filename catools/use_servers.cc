#include "catools/use_servers.h"

#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include <fmt/core.h>

#include "catools/internal/context.h"
#include "mothreads/misuse.h"

namespace catools::inline v0 {

void use_servers(std::span<const cooperative::Address> servers) {
  if (internal::Context::is_made()) {
    throw mothreads::Misuse("use_servers() came after the first use of Channel Access, which has read its addresses: call it before the first caget");
  }
  std::string list;
  for (const cooperative::Address& server : servers) {
    if (server.family() != AF_INET) {
      throw mothreads::Misuse(fmt::format("use_servers() was given {}, but Channel Access speaks IPv4 alone: give an IPv4 address with its port", server.to_string()));
    }
    if (!list.empty()) list += ' ';
    list += server.to_string();
  }
  setenv("EPICS_CA_ADDR_LIST", list.c_str(), 1);
  setenv("EPICS_CA_AUTO_ADDR_LIST", "NO", 1);
}

}  // namespace catools::inline v0
