#pragma once

// What fuzzers feed, and what replays their finds as tests: each takes any bytes, and ends the program when something is wrong beyond what a
// sanitizer sees.

#include <cstdint>
#include <string_view>

namespace cooperative::inline v0::fuzz {

// One of them: the name of its corpus.
struct Entry {
  std::string_view name;
  void (*run)(std::string_view input);
};

// A server's connection. The first byte chooses the pieces in which the rest comes, and what the handler does with bodies.
void http_request(std::string_view input);
// A client's, likewise: two requests on one connection.
void http_response(std::string_view input);
// Either side of a WebSocket: by the first byte.
void websocket(std::string_view input);
// Lines: a target, and then header fields of conditions and ranges, against a made-up file.
void ranges(std::string_view input);

// What reads from a stream of bytes: lines, delimiters, messages behind their lengths. By the first byte.
void stream(std::string_view input);
// An address as text, and as the system writes it; a URL. By the first byte.
void address(std::string_view input);

// Lines: patterns to an empty one, and then a target.
void routes(std::string_view input);
// Lines: an event's id and type; what is left is its data.
void event_stream(std::string_view input);

// A Channel Access client's circuit. The first byte chooses the pieces in which the rest comes.
void ca_circuit(std::string_view input);
// A datagram of a Channel Access client that looks for names.
void ca_search(std::string_view input);

inline constexpr Entry kEntries[] = {
    {"http_request", http_request},
    {"http_response", http_response},
    {"websocket", websocket},
    {"ranges", ranges},
    {"stream", stream},
    {"address", address},
    {"routes", routes},
    {"event_stream", event_stream},
    {"ca_circuit", ca_circuit},
    {"ca_search", ca_search},
};

}  // namespace cooperative::fuzz
