// Routes, and server-sent events: each beside a second way to the same answer.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/http/events.h"
#include "cooperative/http/message.h"
#include "cooperative/http/routes.h"
#include "mothreads/misuse.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/entry_parts.h"

namespace cooperative::inline v0::fuzz {

namespace {

struct Path {
  std::vector<std::string> components;
  bool has_end = false;
};

Path split(std::string_view text) {
  Path path;
  std::string component;
  for (const char c : text) {
    if (c != '/') component.push_back(c);
    if (c == '/' && !component.empty()) path.components.push_back(std::exchange(component, {}));
  }
  path.has_end = component.empty();
  if (!component.empty()) path.components.push_back(component);
  return path;
}

bool is_rest(const std::string& component) { return component.starts_with('{') && component.ends_with("...}"); }

// How it fits, one letter for each component, the smaller the better; nothing when it does not.
std::optional<std::string> fit(const Path& pattern, const Path& path) {
  std::string how;
  std::size_t i = 0;
  for (; i < pattern.components.size(); ++i) {
    const std::string& component = pattern.components[i];
    if (is_rest(component)) return i < path.components.size() || path.has_end ? std::optional(how + "c") : std::nullopt;
    if (i >= path.components.size()) return std::nullopt;
    if (component.starts_with('{')) {
      how += 'b';
    } else if (component == path.components[i]) {
      how += 'a';
    } else {
      return std::nullopt;
    }
  }
  if (i < path.components.size() || pattern.has_end != path.has_end) return std::nullopt;
  return how;
}

}  // namespace

void routes(std::string_view input) {
  http::Routes routes;
  std::vector<std::string> patterns;
  std::string chosen;
  while (patterns.size() < 16) {
    const std::string pattern(take_line(input));
    if (pattern.empty()) break;
    try {
      routes.get(pattern, [&chosen, pattern](http::Request&) {
        chosen = pattern;
        return http::Response::text(200, "");
      });
      patterns.push_back(pattern);
    } catch (const mothreads::Misuse&) {
    }
  }
  std::optional<http::Response> response;
  std::string raw_path;
  const std::string target(input);
  std::optional<Path> path;
  try {
    http::Request request = http::Request::make("GET", target);
    raw_path = request.raw_path();
    path = split(raw_path);
    response = routes.handle(request);
  } catch (const mothreads::Misuse&) {
    return;  // no target
  }
  bool leads_elsewhere = false;
  bool has_slash = false;
  for (std::string& component : path->components) {
    const std::optional<std::string> decoded = http::percent_decode(component);
    leads_elsewhere = leads_elsewhere || !decoded || *decoded == "." || *decoded == "..";
    component = decoded.value_or("");
    has_slash = has_slash || component.find('/') != std::string::npos;
  }
  if (!raw_path.starts_with('/')) return require(response->status == 404, "a path of another kind was served");
  if (leads_elsewhere) return require(response->status == 400, "a path that leads elsewhere was served");
  std::optional<std::string> best;
  std::string wanted;
  for (const std::string& pattern : patterns) {
    const auto how = fit(split(pattern), *path);
    if (how && (!best || *how < *best)) {
      best = how;
      wanted = pattern;
    }
  }
  if (best && best->ends_with('c') && has_slash && response->status == 400) return;
  require(response->status == (best ? 200 : 404), "a pattern that fits was not found, or another was");
  require(chosen == wanted, "a pattern that fits less well was found");
}

void event_stream(std::string_view input) {
  http::ServerEvent event;
  event.id = take_line(input);
  event.type = take_line(input);
  event.data = input;
  std::string text;
  try {
    text = http::format_event(event);
  } catch (const mothreads::Misuse&) {
    require(event.id.find_first_of(std::string_view("\r\0", 2)) != std::string::npos || event.type.find('\r') != std::string::npos,
            "an event was refused that could be sent");
    return;
  }
  // What a client makes of it (HTML, 9.2.6), and of what follows.
  text += "data: next\n\n";
  struct Got {
    std::string id, type, data;
  };
  std::vector<Got> got;
  std::string id, type, data;
  bool has_data = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find_first_of("\r\n", at);
    require(end != std::string::npos, "the last line has no end");
    const std::string line = text.substr(at, end - at);
    at = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
    if (line.empty()) {
      if (has_data) data.pop_back();
      if (has_data) got.push_back({id, type, data});
      type.clear();
      data.clear();
      has_data = false;
      continue;
    }
    const std::size_t colon = line.find(':');
    const std::string name = line.substr(0, colon);
    std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.erase(0, 1);
    if (name == "id") id = value;
    if (name == "event") type = value;
    if (name == "data") {
      data += value + "\n";
      has_data = true;
    }
  }
  require(got.size() == 2 && got[1].data == "next", "one event became another number of them");
  std::string lines;
  for (std::size_t i = 0; i < event.data.size(); ++i) {
    const bool is_end = event.data[i] == '\r' || event.data[i] == '\n';
    if (event.data.compare(i, 2, "\r\n") == 0) ++i;
    lines.push_back(is_end ? '\n' : event.data[i]);
  }
  require(got[0].id == event.id && got[0].type == event.type && got[0].data == lines, "a client sees another event");
}

}  // namespace cooperative::fuzz
