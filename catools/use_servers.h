#pragma once

// Where the process looks for process variables, when the program decides that and not its environment.
//
//     ca::Server server("simulation");
//     ca::use_servers({server.address()});      // before the first caget of the process
//
// It is the same as EPICS_CA_ADDR_LIST with these addresses and EPICS_CA_AUTO_ADDR_LIST=NO, which it sets: servers elsewhere are not asked, and
// programs that this one starts look there, too. An address is that of a server, with its port.
//
// Failure: throws Misuse once the process has used Channel Access, and for an address that is not IPv4. Thread safety: as setenv(3), so call it where nobody
// reads the environment on another thread, at the begin of the program.

#include <initializer_list>
#include <span>

#include "cooperative/io/address.h"

namespace catools::inline v0 {

void use_servers(std::span<const cooperative::Address> servers);
inline void use_servers(std::initializer_list<cooperative::Address> servers) { use_servers(std::span(servers.begin(), servers.size())); }

}  // namespace catools::inline v0
