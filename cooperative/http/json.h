#pragma once

// Bodies of JSON, by nlohmann-json (Debian's nlohmann-json3-dev): the target //cooperative/http:json, which //cooperative/http does not bring.
//
//     routes.post("/jobs", [&](http::Request& request) {
//       const nlohmann::json job = http::read_json(request, 1 << 20);
//       return http::json_response(201, {{"id", jobs.add(job.at("command"))}});
//     });

#include <cstddef>

#include <nlohmann/json.hpp>

#include "cooperative/http/message.h"

namespace cooperative::inline v0::http {

// So deep may arrays and objects stand in each other. What writes a value goes as deep on the stack of its fiber.
inline constexpr int kMaxJsonDepth = 100;

// All of the body. Throws Error, which a handler need not catch: 400 for what is no JSON, or deeper than kMaxJsonDepth, 413 for more than `max` bytes; and
// what Body::read_all() does. The Content-Type is not looked at.
nlohmann::json read_json(Request& request, std::size_t max);

// application/json. Throws nlohmann::json::type_error for a text that is no UTF-8.
Response json_response(int status, const nlohmann::json& value);

}  // namespace cooperative::http
