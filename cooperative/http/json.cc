#include "cooperative/http/json.h"

#include <string>

#include <fmt/core.h>

namespace cooperative::inline v0::http {

nlohmann::json read_json(Request& request, std::size_t max) {
  const std::string text = request.body().read_all(max);
  const auto look = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxJsonDepth) throw Error(400, fmt::format("{}: JSON that is deeper than {}", request.peer(), kMaxJsonDepth));
    return true;
  };
  try {
    return nlohmann::json::parse(text, look);
  } catch (const nlohmann::json::exception& error) {  // no JSON, or a number that is too large
    throw Error(400, fmt::format("{}: no JSON: {}", request.peer(), error.what()));
  }
}

Response json_response(int status, const nlohmann::json& value) { return Response::json(status, value.dump()); }

}  // namespace cooperative::http
