#pragma once

// Searches: clients ask for names by datagrams, and the server answers for those that it has. It is silent about all others.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catools/server/internal/directory.h"
#include "catools/server/internal/wire.h"

namespace catools::inline v0::internal {

// The datagrams that answer one: none where no name is known. A malformed message ends the reading of a datagram; the searches before it are
// answered.
std::vector<std::string> answer_search(std::string_view datagram, const Directory& directory, std::uint16_t port);

// The answer for a name that is served.
void append_search_reply(std::string& out, const Header& request, std::uint16_t port);

}  // namespace catools::inline v0::internal
